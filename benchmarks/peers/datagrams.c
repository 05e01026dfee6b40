/*
 * The limit for datagrams: what the kernel leaves to do for a server that has one core.
 * It reads up to 64 datagrams by one call, changes the case of ASCII in place, and sends
 * those that this has changed, by one call again. No answer is longer than its text.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <sys/socket.h>

#define BATCH 64
#define SIZE 65536

static char buffers[BATCH][SIZE];

int main(void)
{
    static struct mmsghdr in[BATCH], out[BATCH];
    static struct iovec parts[BATCH];
    static struct sockaddr_in peers[BATCH];
    struct sockaddr_in here = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&here, sizeof here))
        err(1, "bind");
    for (;;) {
        int count = 0, got;

        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){buffers[i], SIZE};
            in[i].msg_hdr = (struct msghdr){.msg_name = &peers[i],
                                            .msg_namelen = sizeof peers[i],
                                            .msg_iov = &parts[i],
                                            .msg_iovlen = 1};
        }
        got = recvmmsg(fd, in, BATCH, MSG_WAITFORONE, 0);
        for (int i = 0; i < got; i++) {
            int changed = 0;

            for (unsigned j = 0; j < in[i].msg_len; j++) {
                int lower = (unsigned char)(buffers[i][j] - 'a') < 26;

                buffers[i][j] -= lower ? 'a' - 'A' : 0;
                changed |= lower;
            }
            parts[i].iov_len = in[i].msg_len;
            if (changed)
                out[count++].msg_hdr = in[i].msg_hdr;
        }
        /* What cannot be sent is lost, and those that follow it are not. */
        for (int sent = 0; sent < count;) {
            int took = sendmmsg(fd, out + sent, count - sent, MSG_DONTWAIT);

            sent += took > 0 ? took : 1;
        }
    }
}
