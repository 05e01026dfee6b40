/*
 * The load: it asks one server, checks every byte of each answer, and prints as one line
 * of JSON what it has counted.
 *
 *   load KIND tcp|tls|resume|udp PORT CONNECTIONS SECONDS WINDOW RATE CLIENTS REQUEST
 *       ANSWER TEXT
 *
 * REQUEST and ANSWER are files: what is sent, over and over, and what has to come back.
 * With "resume", all connections resume one TLS session. The kinds are:
 *
 * stream: each connection keeps up to WINDOW requests on their way, and none may be
 *     lost; or RATE datagrams are sent in a second, evenly, whatever comes back: "share"
 *     is how much of them is answered. Where so many CLIENTS more send the file TEXT
 *     without end, each round trip is timed.
 * connect: connect, send, read the answer, end our side, wait for the end of the other,
 *     close; CONNECTIONS are open at a time.
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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

#define GRACE 60    /* A run that takes so many seconds longer has failed. */
#define LARGE 16384 /* A request of so many bytes is better sent without a copy. */
#define LOST 2      /* A datagram without an answer after so many seconds has none. */

static char buffer[1 << 18];
static struct bytes {
    char *at; /* The text, and behind it as much more of it as fills the buffer. */
    size_t length;
    int file;
} request, answer;

/* Requests that were begun, bytes of the last that were sent, all that have come. */
struct connection {
    int fd, unchecked;
    SSL *tls;
    size_t asked, sent, received;
    double askedAt;
};

static size_t asked, received; /* Of all connections together. */
static double times[1 << 20];  /* How long answers took, in seconds. */
static size_t timed;
static double began, ended, done; /* When was counted, and what was received then. */

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
static int counted(double seconds)
{
    static double start;
    double time = now();

    if (!start)
        start = time + (seconds < 1 ? seconds / 4 : .25);
    if (!began && time >= start) {
        began = time;
        done = -(double)received;
    } else if (began && !ended && time >= began + seconds && done + received > 0) {
        ended = time;
        done += received;
    }
    return ended != 0;
}

/* "ran" is for how long this process had a core, "waited" for how long it was ready and
 * another had it, as /proc/PID/schedstat tells. */
static void report(void)
{
    double ran, waited, each = answer.length;
    FILE *file = fopen("/proc/self/schedstat", "r");

    if (!file || fscanf(file, "%lf %lf", &ran, &waited) != 2)
        failed("schedstat");
    printf("{\"ran\": %.6f, \"waited\": %.6f, ", ran / 1e9, waited / 1e9);
    printf("\"perSecond\": %.6f, \"share\": %.6f, \"times\": [",
           done / each / (ended - began), received / each / asked);
    for (size_t i = 0; i < timed; i++)
        printf("%s%.6f", i ? ", " : "", times[i]);
    puts("]}");
}

static struct bytes contents(const char *path)
{
    struct bytes bytes = {.file = open(path, O_RDONLY | O_CLOEXEC)};

    bytes.length = lseek(bytes.file, 0, SEEK_END);
    bytes.at = malloc(bytes.length + sizeof buffer);
    if (bytes.file < 0 || pread(bytes.file, bytes.at, bytes.length, 0) < 0)
        failed(path);
    for (size_t i = 0; i < sizeof buffer; i++)
        bytes.at[bytes.length + i] = bytes.at[i];
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
    in_addr_t from = INADDR_LOOPBACK + count++ % 200;
    struct sockaddr_in here = {AF_INET, 0, {htonl(from)}, ""};
    struct sockaddr_in there = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, ""};
    struct connection c = {.fd = socket(AF_INET, type | SOCK_CLOEXEC, 0)};
    int on = 1;

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

/* Tell how many answers have come. */
static size_t answered(const struct connection *c)
{
    return c->received / answer.length;
}

/* Read what has come, and check it against what has to come next. Return whether there
 * may be more. */
static int receive(struct connection *c)
{
    size_t from = c->received % answer.length;
    ssize_t got = c->tls ? SSL_read(c->tls, buffer, sizeof buffer)
                         : recv(c->fd, buffer, sizeof buffer, 0);
    int error = c->tls && got <= 0 ? SSL_get_error(c->tls, got) : SSL_ERROR_NONE;

    if (error == SSL_ERROR_WANT_READ || (!c->tls && got < 0 && errno == EAGAIN))
        return 0;
    if (got < 0 || (error != SSL_ERROR_NONE && error != SSL_ERROR_ZERO_RETURN))
        failed("receive");
    if (got == 0)
        errx(1, "the server closed the connection after %zu answers", answered(c));
    if (!c->unchecked) {
        if (memcmp(buffer, answer.at + from, got))
            errx(1, "a wrong answer after byte %zu: \"%.*s\"", from,
                 (int)(got < 60 ? got : 60), buffer);
        c->received += got;
        received += got;
        if (c->received > c->asked * answer.length)
            errx(1, "more came than was asked for");
    }
    return c->tls || type == SOCK_DGRAM || got == sizeof buffer;
}

/* Send all that the window and the socket take. */
static void ask(struct connection *c, size_t window)
{
    while (c->sent || c->asked < answered(c) + window) {
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
    while (!answered(c))
        receive(c);
}

static void stream(int count, double seconds, size_t window, double rate, int clients,
                   struct bytes text)
{
    struct connection *all = calloc(count + clients, sizeof *all);
    struct epoll_event events[512];
    int epoll = epoll_create1(EPOLL_CLOEXEC), lost = 0;
    double start = now(), heard = start;

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
    while (!lost && (!ended || asked * answer.length != received)) {
        int ready = epoll_wait(epoll, events, 512, rate ? 0 : 10);

        if (counted(seconds))
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
            if (clients && c->asked == answered(c)) {
                if (began && c->asked && timed < sizeof times / sizeof *times)
                    times[timed++] = now() - c->askedAt;
                c->askedAt = now();
            }
            ask(c, window);
        }
        if (type == SOCK_DGRAM) {
            heard = ready ? now() : heard;
            lost = now() - heard > (rate && ended ? .2 : LOST);
            for (int i = 0; rate && !ended && i < count; i++)
                ask(&all[i], (now() - start) * rate / count - answered(&all[i]));
            if (rate)
                usleep(50);
        }
    }
    if (lost && (!rate || !ended))
        errx(1, "%zu datagrams have no answer", asked - received / answer.length);
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
        over = counted(seconds);
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
    if (argc != 12)
        errx(1, "eleven arguments; see the head of load.c");
    int count = atoi(argv[4]);
    double seconds = atof(argv[5]);

    port = atoi(argv[3]);
    request = contents(argv[9]);
    answer = contents(argv[10]);
    signal(SIGPIPE, SIG_IGN);
    alarm(seconds + GRACE);
    if (!strcmp(argv[2], "udp"))
        type = SOCK_DGRAM;
    else if (strcmp(argv[2], "tcp"))
        secure(!strcmp(argv[2], "resume"));
    if (!strcmp(argv[1], "connect"))
        dialAndClose(count, seconds);
    else
        stream(count, seconds, atol(argv[6]), atof(argv[7]), atoi(argv[8]),
               contents(argv[11]));
    return 0;
}
