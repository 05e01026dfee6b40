/*
 * The limit: what the kernel leaves to do for a server that has one core. It reads 64
 * KiB, changes the case of ASCII in place, and writes. What a client does not take is
 * kept, and until it has, nothing more is read from this client.
 *
 * With the word "udp", it answers datagrams: up to 64 of them are read by one call, and
 * sent by another.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BATCH 64
#define SIZE 65536

struct connection {
    int fd;
    char *kept; /* an answer that the client has not taken yet, or 0 */
    size_t length;
};

static char buffers[BATCH][SIZE];
static int epoll;

static void upper(char *text, ssize_t length)
{
    for (ssize_t i = 0; i < length; i++)
        text[i] -= (unsigned char)(text[i] - 'a') < 26 ? 'a' - 'A' : 0;
}

static void answerDatagrams(int fd)
{
    static struct mmsghdr all[BATCH];
    static struct iovec parts[BATCH];
    static struct sockaddr_in peers[BATCH];

    for (int got = 0; got >= 0; got = sendmmsg(fd, all, got, 0)) {
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){buffers[i], SIZE};
            all[i].msg_hdr = (struct msghdr){.msg_name = &peers[i],
                                             .msg_namelen = sizeof peers[i],
                                             .msg_iov = &parts[i],
                                             .msg_iovlen = 1};
        }
        got = recvmmsg(fd, all, BATCH, MSG_WAITFORONE, 0);
        for (int i = 0; i < got; i++) {
            parts[i].iov_len = all[i].msg_len;
            upper(buffers[i], all[i].msg_len);
        }
    }
    err(1, "datagrams");
}

static void watch(struct connection *c, int operation, unsigned what)
{
    struct epoll_event event = {what, {.ptr = c}};

    if (epoll_ctl(epoll, operation, c->fd, &event))
        err(1, "epoll_ctl");
}

/* Send an answer: what was kept of one, or else one to what has come. Return 0 at the
 * end of the connection. */
static int answer(struct connection *c)
{
    char *text = c->kept ? c->kept : buffers[0];
    ssize_t took, length = c->kept ? (ssize_t)c->length : recv(c->fd, text, SIZE, 0);

    if (length <= 0)
        return length < 0 && errno == EAGAIN;
    if (!c->kept)
        upper(text, length);
    took = send(c->fd, text, length, MSG_NOSIGNAL);
    if (took < 0 && errno != EAGAIN)
        return 0;
    c->length = length - (took < 0 ? 0 : took);
    if (c->length) {
        if (!c->kept)
            watch(c, EPOLL_CTL_MOD, EPOLLOUT);
        c->kept = memmove(c->kept ? c->kept : malloc(c->length),
                          text + length - c->length, c->length);
    } else if (c->kept) {
        free(c->kept);
        c->kept = 0;
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
    }
    return 1;
}

static void begin(int fd)
{
    struct connection *c = calloc(1, sizeof *c);
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->fd = fd;
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

int main(int argc, char **argv)
{
    int udp = argc > 1 && !strcmp(argv[1], "udp");
    struct sockaddr_in here = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, ""};
    struct epoll_event events[512];
    struct connection listener = {
        .fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0)};

    if (bind(listener.fd, (struct sockaddr *)&here, sizeof here) ||
        (!udp && listen(listener.fd, 1024)))
        err(1, "listen");
    if (udp)
        answerDatagrams(listener.fd);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(&listener, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        int ready = epoll_wait(epoll, events, 512, -1);

        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;

            if (c == &listener)
                begin(accept4(c->fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC));
            else if (!answer(c)) {
                close(c->fd);
                free(c->kept);
                free(c);
            }
        }
    }
}
