/*
 * The load of datagrams: it asks one server over UDP, checks every byte of each answer,
 * and prints what it has counted as one line of JSON.
 *
 *   datagrams window|rate udp PORT SOCKETS SECONDS REQUEST ANSWER NUMBER
 *
 * REQUEST and ANSWER are files: the datagram that is sent, and the one that has to come.
 *
 * window: each socket keeps NUMBER of them on their way. None may be lost: a server can
 * hold all of them in its buffer.
 * rate: NUMBER are sent in a second, evenly, whatever comes back; "share" is how much of
 * them is answered.
 *
 * One thread, which sends and receives many by one call. Of "perSecond", the
 * first quarter of a second is not counted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32  /* So many are sent or received by one call. */
#define SIZE 2048 /* None is longer. */
#define SOCKETS 64
#define LOST 2    /* What has no answer after so many seconds has none. */

static char request[SIZE], answer[SIZE], received[BATCH][SIZE];
static struct iovec sends, receives[BATCH];
static struct mmsghdr out[BATCH], in[BATCH];
static struct pollfd sockets[SOCKETS];
static size_t answerLength;

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static size_t contents(const char *path, char *into)
{
    FILE *file = fopen(path, "r");

    if (!file)
        err(1, "%s", path);
    return fread(into, 1, SIZE, file);
}

/* Send so many, at most BATCH, and return how many the system has taken. */
static int ask(int fd, int count)
{
    int sent = count > 0 ? sendmmsg(fd, out, count < BATCH ? count : BATCH, 0) : 0;

    if (sent < 0 && errno != EAGAIN)
        err(1, "send");
    return sent < 0 ? 0 : sent;
}

/* Check what has come, at most BATCH, and return how many it was. */
static int receive(int fd)
{
    int got = recvmmsg(fd, in, BATCH, MSG_DONTWAIT, 0);

    if (got < 0 && errno != EAGAIN)
        err(1, "receive");
    for (int i = 0; i < got; i++)
        if (in[i].msg_len != answerLength || memcmp(received[i], answer, answerLength))
            errx(1, "a wrong answer: \"%.*s\"", (int)in[i].msg_len, received[i]);
    return got < 0 ? 0 : got;
}

static void dial(int count, int port)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)};

    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (connect(fd, (struct sockaddr *)&there, sizeof there))
            err(1, "connect");
        sockets[i] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
}

int main(int argc, char **argv)
{
    if (argc < 9)
        errx(1, "eight arguments; see the head of datagrams.c");
    int atRate = !strcmp(argv[1], "rate"), count = atoi(argv[4]);
    double seconds = atof(argv[5]), number = atof(argv[8]);
    double start, began = 0, ended = 0, heard, time;
    unsigned long asked = 0, answered = 0, before = 0, counted = 0;
    long waiting[SOCKETS] = {0};
    struct timespec pause = {0, 50000};

    if (count > SOCKETS)
        errx(1, "too many sockets");
    sends = (struct iovec){request, contents(argv[6], request)};
    answerLength = contents(argv[7], answer);
    for (int i = 0; i < BATCH; i++) {
        receives[i] = (struct iovec){received[i], SIZE};
        out[i].msg_hdr = (struct msghdr){.msg_iov = &sends, .msg_iovlen = 1};
        in[i].msg_hdr = (struct msghdr){.msg_iov = &receives[i], .msg_iovlen = 1};
    }
    dial(count, atoi(argv[3]));
    start = heard = now();
    /* At the end nothing more is asked; what is on its way may still be answered. */
    while (!ended || (asked > answered && now() - heard < (atRate ? .2 : LOST))) {
        time = now();
        if (!began && time >= start + (seconds < 1 ? seconds / 4 : .25)) {
            began = time;
            before = answered;
        } else if (began && !ended && time >= began + seconds) {
            ended = time;
            counted = answered - before;
        }
        for (int i = 0; i < count; i++) {
            double due = atRate ? ((time - start) * number - asked) / (count - i)
                                : number - waiting[i];
            int sent = ended ? 0 : ask(sockets[i].fd, (int)due), got;

            asked += sent;
            waiting[i] += sent;
            while ((got = receive(sockets[i].fd)) > 0) {
                answered += got;
                waiting[i] -= got;
                heard = time;
                if (got < BATCH)
                    break;
            }
        }
        if (!atRate && !ended && time - heard > LOST)
            errx(1, "%lu datagrams have no answer", asked - answered);
        ppoll(sockets, count, &pause, 0);
    }
    if (answered > asked)
        errx(1, "more came than was asked for");
    if (!answered || (!atRate && asked > answered))
        errx(1, "%lu datagrams have no answer", asked - answered);
    printf("{\"total\": %lu, \"perSecond\": %.6f, \"share\": %.6f, \"times\": []}\n",
           answered, counted / (ended - began), (double)answered / asked);
    return 0;
}
