/*
 * The load: it asks one server, checks every byte of each answer, and prints as one line
 * of JSON what it has counted.
 *
 *   load KIND tcp|tls|resume|udp PORT CONNECTIONS SECONDS REQUEST ANSWER WINDOW TEXT
 *       CLIENTS
 *
 * REQUEST and ANSWER are files: what is sent, over and over, and what has to come back.
 * With "resume", all connections resume one TLS session. The kinds are:
 *
 * stream: each connection keeps up to WINDOW requests on their way. Where so many
 *     CLIENTS more send the file TEXT without end, each round trip is timed.
 * connect: connect, send, read the answer, end our side, wait for the end of the other,
 *     close; CONNECTIONS are open at a time.
 * idle: open the connections, ask on each (SECONDS is -1) or on the last one only, say
 *     "open", and hold them until standard input ends.
 * window: each socket keeps WINDOW datagrams on their way, and none may be lost.
 * rate: WINDOW datagrams are sent in a second, evenly, whatever comes back; "share" is
 *     how much of them is answered.
 *
 * One thread, nothing but system calls, OpenSSL and memcmp() on the way. The first
 * quarter of a second is not counted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GRACE 60    /* A run that takes so many seconds longer has failed. */
#define LARGE 16384 /* A request of so many bytes is better sent without a copy. */
#define BATCH 32    /* So many datagrams are sent or received by one call. */
#define SIZE 2048   /* No datagram is longer. */
#define LOST 2      /* What has no answer after so many seconds has none. */

static struct bytes {
    char *at;
    size_t length;
    int file;
} request, answer;

/* Requests that were begun, answers that have come, and bytes of the next of each. */
struct connection {
    int fd, unchecked;
    SSL *tls;
    unsigned long asked, answered;
    size_t sent, received;
    double askedAt;
};

static unsigned long asked, answered, received; /* Of all connections together. */
static double times[1 << 20]; /* How long answers took, in seconds. */
static size_t timed;
static double began, ended, done; /* When was counted, and how much was done then. */

static char buffer[1 << 18];
static int port, type = SOCK_STREAM;
static SSL_CTX *context;     /* or 0, without TLS */
static SSL_SESSION *session; /* to resume, or 0 */

static void failed(const char *what)
{
    unsigned long error = ERR_get_error();

    errx(1, "%s: %s", what, error ? ERR_reason_error_string(error) : strerror(errno));
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

/* Begin or end to count, if it is time. Return whether it has ended. */
static int counted(double seconds, double count)
{
    static double start;
    double time = now();

    if (!start)
        start = time + (seconds < 1 ? seconds / 4 : .25);
    if (!began && time >= start) {
        began = time;
        done = -count;
    } else if (began && !ended && time >= began + seconds && done + count > 0) {
        ended = time;
        done += count;
    }
    return ended != 0;
}

static void report(void)
{
    printf("{\"perSecond\": %.6f, \"share\": %.6f, \"times\": [",
           done / (ended - began), (double)answered / asked);
    for (size_t i = 0; i < timed; i++)
        printf("%s%.6f", i ? ", " : "", times[i]);
    puts("]}");
}

static struct bytes contents(const char *path)
{
    struct bytes bytes = {.file = open(path, O_RDONLY | O_CLOEXEC)};
    struct stat status;

    if (fstat(bytes.file, &status))
        failed(path);
    bytes.length = status.st_size;
    bytes.at = malloc(bytes.length + 1);
    if (pread(bytes.file, bytes.at, bytes.length, 0) != status.st_size)
        failed(path);
    return bytes;
}

static void handshake(struct connection *c)
{
    if (c->tls && SSL_connect(c->tls) != 1)
        failed("handshake");
    if (session && !SSL_session_reused(c->tls))
        errx(1, "a session was not resumed");
}

/* Connect; over TLS, only begin the handshake. */
static struct connection dial(void)
{
    /* A connection that we close keeps its ports for a minute, and an address has only
     * 28,000: so each comes from another address. */
    static unsigned count;
    struct sockaddr_in here = {.sin_family = AF_INET}, there = here;
    struct connection c = {.fd = socket(AF_INET, type | SOCK_CLOEXEC, 0)};
    int on = 1;

    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK + count++ % 200);
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    there.sin_port = htons(port);
    setsockopt(c.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(c.fd, (struct sockaddr *)&here, sizeof here) ||
        connect(c.fd, (struct sockaddr *)&there, sizeof there))
        failed("connect");
    if (!context)
        return c;
    c.tls = SSL_new(context);
    SSL_set_fd(c.tls, c.fd);
    SSL_set_session(c.tls, session);
    fcntl(c.fd, F_SETFL, O_NONBLOCK);
    SSL_connect(c.tls);
    fcntl(c.fd, F_SETFL, 0);
    return c;
}

/* Fill the buffer: with how many bytes, 0 at the end, or -1 if none is there. */
static ssize_t fill(struct connection *c)
{
    ssize_t got = c->tls ? SSL_read(c->tls, buffer, sizeof buffer)
                         : recv(c->fd, buffer, sizeof buffer, 0);
    int error = c->tls && got <= 0 ? SSL_get_error(c->tls, got) : SSL_ERROR_NONE;

    if (error == SSL_ERROR_WANT_READ || (!c->tls && got < 0 && errno == EAGAIN))
        return -1;
    if (got < 0 || (error != SSL_ERROR_NONE && error != SSL_ERROR_ZERO_RETURN))
        failed("receive");
    return got;
}

/* Send: how many bytes, or -1 if the socket takes none. */
static ssize_t give(struct connection *c, const struct bytes *what)
{
    size_t length = what->length - c->sent;
    off_t from = c->sent;
    ssize_t took;

    /* sendfile() does not copy: what it saves keeps us ahead of the limit. */
    took = c->tls ? SSL_write(c->tls, what->at + from, length)
           : what->length < LARGE
               ? send(c->fd, what->at + from, length, MSG_NOSIGNAL)
               : sendfile(c->fd, what->file, &from, length);
    if (took > 0)
        c->sent = (c->sent + took) % what->length;
    else if (c->tls ? SSL_get_error(c->tls, took) != SSL_ERROR_WANT_WRITE
                    : errno != EAGAIN)
        failed("send");
    return took > 0 ? took : -1;
}

/* Check what has come against so many bytes of the answer, from some place on. */
static void check(const char *text, size_t length, size_t expected, size_t from)
{
    if (length != expected || memcmp(text, answer.at + from, length))
        errx(1, "a wrong answer after byte %zu: \"%.*s\"", from,
             (int)(length < 60 ? length : 60), text);
}

/* Read what has come, and check it against what has to come next. Return whether there
 * may be more. */
static int receive(struct connection *c)
{
    ssize_t got = fill(c);

    if (got == 0)
        errx(1, "the server closed the connection after %lu answers", c->answered);
    for (ssize_t part = 0, from = 0; from < got && !c->unchecked; from += part) {
        part = answer.length - c->received;
        if (part > got - from)
            part = got - from;
        if (c->answered == c->asked)
            errx(1, "more came than was asked for");
        check(buffer + from, part, part, c->received);
        received += part;
        c->received = (c->received + part) % answer.length;
        c->answered += !c->received;
        answered += !c->received;
    }
    return c->tls ? got > 0 : got == sizeof buffer;
}

/* Send all that the window and the socket take. */
static void ask(struct connection *c, unsigned long window)
{
    while (c->sent || c->asked - c->answered < window) {
        int first = !c->sent;
        ssize_t took = give(c, &request);

        c->asked += first && took > 0;
        asked += first && took > 0;
        if (took < 0 || (!c->tls && c->sent))
            return;
    }
}

/* Ask, if nothing was asked yet, and wait for the answer. */
static void converse(struct connection *c)
{
    ask(c, 1);
    while (!c->answered)
        receive(c);
}

static void stream(int count, double seconds, unsigned long window,
                   struct bytes text, int clients)
{
    struct connection *all = calloc(count + clients, sizeof *all);
    struct epoll_event events[512];
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    for (int i = 0; i < count + clients; i++) {
        struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLET, {.ptr = &all[i]}};

        all[i] = dial();
        all[i].unchecked = i >= count;
        handshake(&all[i]);
        fcntl(all[i].fd, F_SETFL, O_NONBLOCK);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event))
            failed("epoll_ctl");
    }
    /* At the end nothing more is asked; all that was asked has to be answered. */
    while (window || asked != answered) {
        int ready = epoll_wait(epoll, events, 512, 10);

        if (counted(seconds, (double)received / answer.length))
            window = 0;
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;

            if (events[i].events & ~EPOLLOUT)
                while (receive(c))
                    ;
            if (c->unchecked) {
                while (give(c, &text) > 0)
                    ;
                continue;
            }
            if (clients && c->asked == c->answered) {
                if (began && c->asked && timed < sizeof times / sizeof *times)
                    times[timed++] = now() - c->askedAt;
                c->askedAt = now();
            }
            ask(c, window);
        }
    }
    report();
}

/* The connections stand in a ring. When one is opened, the one a part of the ring
 * before has most probably been answered, and the one before the next has been closed
 * by the server: nothing has to be waited for with epoll, and the load stays lighter
 * than the servers. */
static void dialAndClose(int count, double seconds)
{
    struct connection *c, *ring = calloc(count, sizeof *ring);
    int askLater = context ? count / 3 : 0, receiveLater = count / (context ? 3 : 2);
    long opened = 0, begun = 0, heard = 0, closed = 0, over = 0;
    ssize_t got;

    do {
        if (opened - closed == count || over) {
            c = &ring[closed++ % count];
            /* Over TLS, the end of the stream has a message before it. */
            while ((got = recv(c->fd, buffer, sizeof buffer, 0)) > 0 && c->tls)
                ;
            if (got != 0)
                errx(1, "no clean end of the stream");
            close(c->fd);
            SSL_free(c->tls);
        }
        over = counted(seconds, closed);
        if (!over)
            ring[opened++ % count] = dial();
        while (opened - begun > (over ? 0 : askLater)) {
            c = &ring[begun++ % count];
            handshake(c);
            ask(c, 1);
        }
        while (begun - heard > (over ? 0 : receiveLater)) {
            c = &ring[heard++ % count];
            converse(c);
            if (c->tls)
                SSL_shutdown(c->tls);
            else
                shutdown(c->fd, SHUT_WR);
        }
    } while (closed < opened);
    report();
}

static void idle(int count, int askAll)
{
    for (int i = 0; i < count; i++) {
        struct connection c = dial();

        handshake(&c);
        /* The last answer shows that all before have been accepted. */
        if (askAll || i == count - 1)
            converse(&c);
    }
    puts("open");
    fflush(stdout);
    alarm(0);
    (void)!read(0, buffer, 1);
}

/* Tell how many datagrams a call has passed on, by what it returns. */
static int passed(int result)
{
    if (result < 0 && errno != EAGAIN)
        failed("datagrams");
    return result < 0 ? 0 : result;
}

static void datagrams(int count, double seconds, double number, int atRate)
{
    struct iovec text = {request.at, request.length}, rooms[BATCH];
    struct mmsghdr out[BATCH] = {0}, in[BATCH] = {0};
    struct pollfd *sockets = calloc(count, sizeof *sockets);
    long *waiting = calloc(count, sizeof *waiting);
    double start = now(), heard = start, time;
    struct timespec pause = {0, 50000};

    for (int i = 0; i < BATCH; i++) {
        rooms[i] = (struct iovec){buffer + i * SIZE, SIZE};
        out[i].msg_hdr = (struct msghdr){.msg_iov = &text, .msg_iovlen = 1};
        in[i].msg_hdr = (struct msghdr){.msg_iov = &rooms[i], .msg_iovlen = 1};
    }
    for (int i = 0; i < count; i++)
        sockets[i] = (struct pollfd){.fd = dial().fd, .events = POLLIN};
    /* At the end nothing more is asked; what is on its way may still be answered. */
    while (!ended || (asked > answered && now() - heard < (atRate ? .2 : LOST))) {
        counted(seconds, answered);
        time = now();
        for (int i = 0, got = BATCH; i < count; i++, got = BATCH) {
            int fd = sockets[i].fd, sent = 0;
            int due = atRate ? ((time - start) * number - asked) / (count - i)
                             : number - waiting[i];

            due = due < BATCH ? due : BATCH;
            if (due > 0 && !ended)
                sent = passed(sendmmsg(fd, out, due, MSG_DONTWAIT));
            asked += sent;
            waiting[i] += sent;
            while (got == BATCH) {
                got = passed(recvmmsg(fd, in, BATCH, MSG_DONTWAIT, 0));
                for (int j = 0; j < got; j++)
                    check(buffer + j * SIZE, in[j].msg_len, answer.length, 0);
                heard = got ? time : heard;
                answered += got;
                waiting[i] -= got;
            }
        }
        if (!atRate && !ended && time - heard > LOST)
            break;
        ppoll(sockets, count, &pause, 0);
    }
    if (answered > asked)
        errx(1, "more came than was asked for");
    if (!answered || (!atRate && asked > answered))
        errx(1, "%lu datagrams have no answer", asked - answered);
    report();
}

/* Speak TLS 1.3 only, with the same cipher and group to every server. */
static void secure(int resume)
{
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set1_groups_list(context, "X25519");
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, 1 << 16);
    if (resume) {
        struct connection c = dial();

        handshake(&c);
        converse(&c);
        session = SSL_get1_session(c.tls);
    }
}

int main(int argc, char **argv)
{
    if (argc != 11)
        errx(1, "ten arguments; see the head of load.c");
    int count = atoi(argv[4]);
    double seconds = atof(argv[5]);

    port = atoi(argv[3]);
    request = contents(argv[6]);
    answer = contents(argv[7]);
    signal(SIGPIPE, SIG_IGN);
    alarm(seconds + GRACE);
    if (!strcmp(argv[2], "udp"))
        type = SOCK_DGRAM;
    else if (strcmp(argv[2], "tcp"))
        secure(!strcmp(argv[2], "resume"));
    if (!strcmp(argv[1], "stream"))
        stream(count, seconds, atol(argv[8]), contents(argv[9]), atoi(argv[10]));
    else if (!strcmp(argv[1], "connect"))
        dialAndClose(count, seconds);
    else if (!strcmp(argv[1], "idle"))
        idle(count, seconds < 0);
    else
        datagrams(count, seconds, atof(argv[8]), !strcmp(argv[1], "rate"));
    return 0;
}
