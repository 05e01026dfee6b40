/*
 * The limit: what the kernel leaves to do for a server that has one core. It
 * reads 64 KiB, changes the case of ASCII in place, and writes.
 *
 * What a client does not take is kept, and until it has, nothing more is read
 * from this client.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
    int fd;
    char *waiting; /* what the client has not taken yet, or 0 */
    size_t from, to;
};

static char buffer[1 << 16];
static int epoll;

static void failed(const char *what)
{
    perror(what);
    exit(1);
}

static void upper(char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] -= (unsigned char)(bytes[i] - 'a') < 26 ? 'a' - 'A' : 0;
}

static void watch(struct connection *c, int operation, unsigned what)
{
    struct epoll_event event = {what, {.ptr = c}};

    if (epoll_ctl(epoll, operation, c->fd, &event))
        failed("epoll_ctl");
}

static void end(struct connection *c)
{
    close(c->fd);
    free(c->waiting);
    free(c);
}

static void answer(struct connection *c)
{
    ssize_t took, got = recv(c->fd, buffer, sizeof buffer, 0);

    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            end(c);
        return;
    }
    upper(buffer, got);
    took = send(c->fd, buffer, got, MSG_NOSIGNAL);
    if (took < 0 && errno != EAGAIN) {
        end(c);
        return;
    }
    if (took < 0)
        took = 0;
    if (took < got) {
        c->from = 0;
        c->to = got - took;
        c->waiting = malloc(c->to);
        if (!c->waiting)
            failed("malloc");
        memcpy(c->waiting, buffer + took, c->to);
        watch(c, EPOLL_CTL_MOD, EPOLLOUT);
    }
}

static void resume(struct connection *c)
{
    ssize_t took = send(c->fd, c->waiting + c->from, c->to - c->from,
                        MSG_NOSIGNAL);

    if (took < 0) {
        if (errno != EAGAIN)
            end(c);
        return;
    }
    c->from += took;
    if (c->from == c->to) {
        free(c->waiting);
        c->waiting = 0;
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
    }
}

static void begin(int listener)
{
    struct connection *c;
    int on = 1, fd = accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c = calloc(1, sizeof *c);
    if (!c)
        failed("calloc");
    c->fd = fd;
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

int main(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    struct epoll_event events[512];
    struct connection door = {0};

    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    door.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (door.fd < 0 || bind(door.fd, (struct sockaddr *)&here, sizeof here))
        failed("bind");
    epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(&door, EPOLL_CTL_ADD, EPOLLIN);
    if (listen(door.fd, 1024))
        failed("listen");
    for (;;) {
        int ready = epoll_wait(epoll, events, 512, -1);

        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;

            if (c == &door)
                begin(door.fd);
            else if (c->waiting)
                resume(c);
            else
                answer(c);
        }
    }
}
