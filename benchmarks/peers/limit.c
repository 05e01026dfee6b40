/*
 * The limit: what the kernel leaves to do for a server that has one core. It reads up
 * to 64 KiB, changes the case of ASCII in place, and writes. A client that does not take
 * its answers keeps all others waiting.
 *
 * With the word "udp", it answers datagrams: up to 64 of them are read by one call, and
 * sent by another.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BATCH 64
#define SIZE 65536

static char buffers[BATCH][SIZE];

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
            all[i].msg_hdr = (struct msghdr){
                .msg_name = &peers[i], .msg_namelen = sizeof peers[i],
                .msg_iov = &parts[i], .msg_iovlen = 1};
        }
        got = recvmmsg(fd, all, BATCH, MSG_WAITFORONE, 0);
        for (int i = 0; i < got; i++) {
            parts[i].iov_len = all[i].msg_len;
            upper(buffers[i], all[i].msg_len);
        }
    }
    err(1, "datagrams");
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {EPOLLIN, {.fd = fd}};
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        err(1, "epoll_ctl");
}

static void answerStreams(int listener)
{
    struct epoll_event events[512];
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    watch(epoll, listener);
    for (int ready = 0;; ready = epoll_wait(epoll, events, 512, -1))
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            ssize_t length;

            if (fd == listener) {
                watch(epoll, accept4(fd, 0, 0, SOCK_CLOEXEC));
                continue;
            }
            length = recv(fd, buffers[0], SIZE, 0);
            upper(buffers[0], length);
            if (length <= 0 || send(fd, buffers[0], length, MSG_NOSIGNAL) < 0)
                close(fd);
        }
}

int main(int argc, char **argv)
{
    int udp = argc > 1 && !strcmp(argv[1], "udp");
    int fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    struct sockaddr_in here = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, ""};

    if (bind(fd, (struct sockaddr *)&here, sizeof here) || (!udp && listen(fd, 1024)))
        err(1, "listen");
    if (udp)
        answerDatagrams(fd);
    answerStreams(fd);
}
