/*
 * The load of the benchmarks: it asks one server, checks every byte of each
 * answer, and prints what it has counted as one line of JSON.
 *
 *   load stream  PORT CONNECTIONS SECONDS REQUEST ANSWER WINDOW
 *   load connect PORT CONNECTIONS SECONDS REQUEST ANSWER
 *   load idle    PORT CONNECTIONS ASK     REQUEST ANSWER
 *
 * REQUEST and ANSWER are files: what is sent, over and over, and what has to
 * come back for it.
 *
 * stream: each connection keeps up to WINDOW requests on their way. With a
 * WINDOW of 1 and a request of one line, these are round trips.
 * connect: connect, send, read the answer, end our side, wait for the end of
 * the other, close; CONNECTIONS are open at a time.
 * idle: open the connections, ask on each (ASK is 1) or on the last one only
 * (0), say "open", and hold them until standard input ends.
 *
 * One thread, nothing but system calls and memcmp() on the way. The first quarter
 * of a second is not counted. The share of its core that it has used is told, so
 * that everybody can see whether this program was what was measured.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A run that takes so many seconds longer than it should has failed. */
#define PATIENCE 60

/* From how many bytes on a request is better sent without copying it. */
#define LARGE 16384

static struct bytes {
    char *at;
    size_t length;
    int file;
} request, answer;

/* What one connection has sent and received, in whole requests and bytes of the
 * next. */
struct connection {
    int fd;
    unsigned long asked, answered;
    size_t sent, received;
};

static char buffer[1 << 18];
static int port;

static void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static void failed(const char *what)
{
    fail("%s: %s", what, strerror(errno));
}

static void tooLate(int number)
{
    static const char message[] = "the answers did not come in time\n";

    (void)number;
    (void)!write(2, message, sizeof message - 1);
    _exit(1);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

/* The processor time that we have used, and the time for which we have waited
 * until somebody else left our core, in seconds. */
static struct cost {
    double used, waited;
} cost(void)
{
    struct cost cost = {0, 0};
    double ran, waited;
    struct timespec time;
    FILE *file = fopen("/proc/self/schedstat", "r");

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    cost.used = time.tv_sec + time.tv_nsec * 1e-9;
    if (file) {
        if (fscanf(file, "%lf %lf", &ran, &waited) == 2)
            cost.waited = waited * 1e-9;
        fclose(file);
    }
    return cost;
}

static struct bytes contents(const char *path)
{
    struct bytes bytes;
    struct stat status;
    FILE *file = fopen(path, "rb");

    if (!file || fstat(fileno(file), &status))
        failed(path);
    bytes.length = status.st_size;
    bytes.at = malloc(bytes.length + 1);
    if (!bytes.at || fread(bytes.at, 1, bytes.length, file) != bytes.length)
        failed(path);
    bytes.file = dup(fileno(file));
    fclose(file);
    return bytes;
}

static int dial(void)
{
    /* Each connection that we close keeps its pair of ports for a minute. One
     * address has 28,000; so each comes from another address. */
    static unsigned count;
    struct sockaddr_in here = {.sin_family = AF_INET};
    struct sockaddr_in there = {.sin_family = AF_INET};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        failed("socket");
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK + count++ % 200);
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    there.sin_port = htons(port);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&here, sizeof here))
        failed("bind");
    if (connect(fd, (struct sockaddr *)&there, sizeof there))
        failed("connect");
    return fd;
}

/* Check bytes that have come against those that have to come next. */
static void check(struct connection *c, const char *bytes, size_t length)
{
    while (length) {
        size_t part = answer.length - c->received;

        if (part > length)
            part = length;
        if (c->answered == c->asked + (c->sent > 0))
            fail("more came than was asked for: \"%.*s\"",
                 (int)(length < 60 ? length : 60), bytes);
        if (memcmp(bytes, answer.at + c->received, part)) {
            size_t good = 0;

            while (bytes[good] == answer.at[c->received + good])
                good++;
            fail("a wrong answer at byte %zu: \"%.*s\" for \"%.*s\"",
                 c->received + good,
                 (int)(part - good < 30 ? part - good : 30), bytes + good,
                 (int)(part - good < 30 ? part - good : 30),
                 answer.at + c->received + good);
        }
        bytes += part;
        length -= part;
        c->received += part;
        if (c->received == answer.length) {
            c->received = 0;
            c->answered++;
        }
    }
}

/* Read all that has come. */
static void hear(struct connection *c)
{
    ssize_t got;

    do {
        got = recv(c->fd, buffer, sizeof buffer, 0);
        if (got < 0) {
            if (errno == EAGAIN)
                return;
            failed("recv");
        }
        if (got == 0)
            fail("the server closed the connection after %lu answers",
                 c->answered);
        check(c, buffer, got);
    } while (got == sizeof buffer);
}

/* Send all that the window and the socket take. */
static void say(struct connection *c, unsigned long window, int more)
{
    while (c->sent || (more && c->asked - c->answered < window)) {
        size_t length = request.length - c->sent;
        off_t from = c->sent;
        /* sendfile() does not copy: what it saves keeps us ahead of the limit. */
        ssize_t took =
            request.length < LARGE
                ? send(c->fd, request.at + from, length, MSG_NOSIGNAL)
                : sendfile(c->fd, request.file, &from, length);

        if (took < 0) {
            if (errno == EAGAIN)
                return;
            failed("send");
        }
        c->sent += took;
        if (c->sent == request.length) {
            c->sent = 0;
            c->asked++;
        }
        if ((size_t)took < length)
            return;
    }
}

static void sayAll(int fd)
{
    size_t sent = 0;

    while (sent < request.length) {
        ssize_t took = send(fd, request.at + sent, request.length - sent,
                            MSG_NOSIGNAL);

        if (took < 0)
            failed("send");
        sent += took;
    }
}

static void hearAll(int fd)
{
    struct connection c = {.fd = fd, .asked = 1};

    while (!c.answered) {
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);

        if (got < 0)
            failed("recv");
        if (got == 0)
            fail("the server closed the connection");
        check(&c, buffer, got);
    }
}

/* How many bytes of requests have been answered. */
static double sum(const struct connection *connections, int count)
{
    double answers = 0;

    for (int i = 0; i < count; i++)
        answers += connections[i].answered +
                   (double)connections[i].received / answer.length;
    return answers * request.length;
}

static void report(double bytes, double seconds, struct cost from, struct cost to)
{
    printf("{\"perSecond\": %.3f, \"bytesPerSecond\": %.0f,"
           " \"load\": %.4f, \"waited\": %.4f}\n",
           bytes / request.length / seconds, bytes / seconds,
           (to.used - from.used) / seconds, (to.waited - from.waited) / seconds);
}

static void stream(int count, double seconds, unsigned long window)
{
    struct connection *connections = calloc(count, sizeof *connections);
    struct epoll_event events[512];
    double began = 0, before = 0, bytes = 0, end = 0;
    struct cost atFirst = {0, 0}, atLast = {0, 0};
    int epoll = epoll_create1(EPOLL_CLOEXEC), left = count;
    double warmUp;

    for (int i = 0; i < count; i++) {
        struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLET,
                                    {.ptr = &connections[i]}};

        connections[i].fd = dial();
        fcntl(connections[i].fd, F_SETFL, O_NONBLOCK);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event))
            failed("epoll_ctl");
    }
    warmUp = now() + (seconds < 1 ? seconds / 4 : .25);
    while (left) {
        int ready = epoll_wait(epoll, events, 512, 10);
        double time = now();

        if (!began && time >= warmUp) {
            before = sum(connections, count);
            atFirst = cost();
            began = now();
        } else if (began && !end && time >= began + seconds) {
            bytes = sum(connections, count) - before;
            atLast = cost();
            end = time;
        }
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;

            if (events[i].events & ~EPOLLOUT)
                hear(c);
            say(c, window, !end);
        }
        if (end) {
            /* Nothing more is asked; all that was asked has to be answered. */
            left = 0;
            for (int i = 0; i < count; i++)
                left += connections[i].sent ||
                        connections[i].asked != connections[i].answered;
        }
    }
    report(bytes, end - began, atFirst, atLast);
}

/* The connections stand in a ring. When one is started, the one half a ring
 * before has most probably been answered, and the one before the next has been
 * closed by the server: nothing has to be waited for with epoll, and the load
 * stays lighter than the servers. */
static void dialAndClose(int count, double seconds)
{
    int *ring = malloc(count * sizeof *ring);
    long asked = 0, heard = 0, closed = 0, before = 0, counted = 0;
    double began = 0, end = 0;
    struct cost atFirst = {0, 0}, atLast = {0, 0};
    double warmUp = now() + (seconds < 1 ? seconds / 4 : .25);

    do {
        double time = now();

        if (!began && time >= warmUp) {
            before = closed;
            atFirst = cost();
            began = time;
        } else if (began && !end && time >= began + seconds) {
            counted = closed - before;
            atLast = cost();
            end = time;
        }
        if (asked - closed == count || end) {
            int fd = ring[closed++ % count];

            if (recv(fd, buffer, sizeof buffer, 0) != 0)
                fail("no clean end of the stream");
            close(fd);
        }
        if (!end) {
            ring[asked % count] = dial();
            sayAll(ring[asked++ % count]);
        }
        while (asked - heard > (end ? 0 : count / 2)) {
            int fd = ring[heard++ % count];

            hearAll(fd);
            shutdown(fd, SHUT_WR);
        }
    } while (closed < asked);
    report(counted * (double)request.length, end - began, atFirst, atLast);
}

static void idle(int count, int ask)
{
    int *fds = malloc(count * sizeof *fds);

    for (int i = 0; i < count; i++) {
        fds[i] = dial();
        /* The last answer shows that all before have been accepted. */
        if (ask || i == count - 1) {
            sayAll(fds[i]);
            hearAll(fds[i]);
        }
    }
    puts("open");
    fflush(stdout);
    alarm(0);
    (void)!read(0, buffer, 1);
}

int main(int argc, char **argv)
{
    double seconds;
    int count;

    if (argc < 7)
        fail("usage: load stream|connect|idle PORT CONNECTIONS SECONDS|ASK"
             " REQUEST ANSWER [WINDOW]");
    port = atoi(argv[2]);
    count = atoi(argv[3]);
    seconds = atof(argv[4]);
    request = contents(argv[5]);
    answer = contents(argv[6]);
    signal(SIGALRM, tooLate);
    signal(SIGPIPE, SIG_IGN);
    alarm(seconds + PATIENCE);
    if (!strcmp(argv[1], "stream"))
        stream(count, seconds, argc > 7 ? strtoul(argv[7], 0, 10) : 1);
    else if (!strcmp(argv[1], "connect"))
        dialAndClose(count, seconds);
    else if (!strcmp(argv[1], "idle"))
        idle(count, seconds != 0);
    else
        fail("no such scene: %s", argv[1]);
    return 0;
}
