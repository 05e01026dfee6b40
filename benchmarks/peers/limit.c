/*
 * The limit: what the kernel leaves to do for a server that has one core. It reads 64
 * KiB, changes the case of ASCII in place, and writes. What a client does not take is
 * kept, and until it has, nothing more is read from this client.
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

struct connection {
    int fd;
    char *kept; /* an answer that the client has not taken yet, or 0 */
    size_t from, to;
};

static char buffer[1 << 16];
static int epoll;

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
    ssize_t took, length = c->to - c->from;

    if (!c->kept) {
        length = recv(c->fd, buffer, sizeof buffer, 0);
        if (length <= 0)
            return length < 0 && errno == EAGAIN;
        for (ssize_t i = 0; i < length; i++)
            buffer[i] -= (unsigned char)(buffer[i] - 'a') < 26 ? 'a' - 'A' : 0;
    }
    took = send(c->fd, c->kept ? c->kept + c->from : buffer, length, MSG_NOSIGNAL);
    if (took < 0 && errno != EAGAIN)
        return 0;
    took = took < 0 ? 0 : took;
    if (c->kept && took == length) {
        free(c->kept);
        c->kept = 0;
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
    } else if (!c->kept && took < length) {
        c->from = 0;
        c->to = length - took;
        c->kept = memcpy(malloc(c->to), buffer + took, c->to);
        watch(c, EPOLL_CTL_MOD, EPOLLOUT);
    } else if (c->kept)
        c->from += took;
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

int main(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    struct epoll_event events[512];
    struct connection listener = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (bind(listener.fd, (struct sockaddr *)&here, sizeof here) ||
        listen(listener.fd, 1024))
        err(1, "listen");
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
