/* A DynamoDB-shaped upstream that costs as little as a server can: one thread, epoll, one read and one write a request,
 * nothing allocated on the way. Compiled by tests/bench/world.py: stub PORT [THROTTLE_EVERY]
 *
 * Answers 200 with a valid x-amz-crc32: 187 bytes, or 7.7 KB when X-Amz-Target ends in .Query, .Scan or .BatchGetItem;
 * with THROTTLE_EVERY=N every Nth answer is a ProvisionedThroughputExceededException. Request bodies are read and
 * ignored. Loopback only. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAXFD 8192
#define HDRMAX 16384
struct conn { size_t hlen; long body_left; int big; char h[HDRMAX]; };
static struct conn *conns[MAXFD];
static char small_r[2048], big_r[16384], thr_r[2048], sink[1 << 18];
static size_t small_n, big_n, thr_n;

static uint32_t crc32b(const char *p, size_t n) {
    uint32_t c = ~0u;
    while (n--) { c ^= (unsigned char)*p++; for (int k = 0; k < 8; k++) c = (c >> 1) ^ (0xEDB88320u & -(c & 1)); }
    return ~c;
}
static size_t build(char *out, const char *status, const char *body) {
    size_t n = strlen(body);
    return (size_t)sprintf(out,
        "HTTP/1.1 %s\r\nServer: Server\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
        "Content-Type: application/x-amz-json-1.0\r\nContent-Length: %zu\r\nConnection: keep-alive\r\n"
        "x-amzn-RequestId: 3OB1RPRRPKVP0LJJSU1OCPIMRBVV4KQNSO5AEMVJF66Q9ASUAAJG\r\nx-amz-crc32: %u\r\n\r\n%s",
        status, n, crc32b(body, n), body);
}
static char *find_hdr(char *h, size_t n, const char *name) { /* value start or NULL */
    size_t l = strlen(name);
    for (char *p = h, *e = h + n; p && p < e;) {
        if ((size_t)(e - p) > l && !strncasecmp(p, name, l) && p[l] == ':') { p += l + 1; while (*p == ' ') p++; return p; }
        p = memchr(p, '\n', (size_t)(e - p)); if (p) p++;
    }
    return NULL;
}
static void drop(int ep, int fd) { epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL); close(fd); free(conns[fd]); conns[fd] = NULL; }
static int send_all(int fd, const char *p, size_t n) {
    while (n) { ssize_t w = write(fd, p, n); if (w < 0) { if (errno == EAGAIN || errno == EINTR) continue; return -1; } p += w; n -= (size_t)w; }
    return 0;
}
int main(int argc, char **argv) {
    int port = argc > 1 ? atoi(argv[1]) : 9001;
    unsigned long every = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, served = 0;
    char body[9000], *p = body;
    small_n = build(small_r, "200 OK", "{\"Item\":{\"pk\":{\"S\":\"dag#example_dag\"},\"sk\":{\"S\":\"run#2026-01-01T00:00:00\"},\"state\":{\"S\":\"success\"},\"attempt\":{\"N\":\"3\"},\"payload\":{\"S\":\"0123456789abcdef0123456789abcdef0123456789abcdef\"}}}");
    p += sprintf(p, "{\"Count\":40,\"ScannedCount\":40,\"Items\":[");
    for (int i = 0; i < 40; i++)
        p += sprintf(p, "%s{\"pk\":{\"S\":\"dag#example_dag\"},\"sk\":{\"S\":\"run#%05d\"},\"state\":{\"S\":\"success\"},\"attempt\":{\"N\":\"3\"},\"payload\":{\"S\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789\"}}", i ? "," : "", i);
    sprintf(p, "]}");
    big_n = build(big_r, "200 OK", body);
    thr_n = build(thr_r, "400 Bad Request", "{\"__type\":\"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException\",\"message\":\"The level of configured provisioned throughput for the table was exceeded.\"}");

    int ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1, ep = epoll_create1(0);
    setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(ls, (void *)&a, sizeof a) || listen(ls, 1024)) { perror("bind/listen"); return 1; }
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = ls}, evs[256];
    epoll_ctl(ep, EPOLL_CTL_ADD, ls, &ev);
    fprintf(stderr, "stub on 127.0.0.1:%d small=%zu big=%zu\n", port, small_n, big_n);
    for (;;) {
        int n = epoll_wait(ep, evs, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = evs[i].data.fd;
            if (fd == ls) {
                int c;
                while ((c = accept4(ls, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    if (c >= MAXFD) { close(c); continue; }
                    setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    conns[c] = calloc(1, sizeof(struct conn));
                    struct epoll_event ce = {.events = EPOLLIN, .data.fd = c};
                    epoll_ctl(ep, EPOLL_CTL_ADD, c, &ce);
                }
                continue;
            }
            struct conn *c = conns[fd];
            if (c->body_left > 0) {
                ssize_t r = read(fd, sink, sizeof sink);
                if (r <= 0) { if (r < 0 && errno == EAGAIN) continue; drop(ep, fd); continue; }
                c->body_left -= r;
            } else {
                ssize_t r = read(fd, c->h + c->hlen, HDRMAX - c->hlen);
                if (r <= 0) { if (r < 0 && errno == EAGAIN) continue; drop(ep, fd); continue; }
                c->hlen += (size_t)r;
                char *end = memmem(c->h, c->hlen, "\r\n\r\n", 4);
                if (!end) { if (c->hlen == HDRMAX) drop(ep, fd); continue; }
                size_t hl = (size_t)(end - c->h) + 4;
                char *cl = find_hdr(c->h, hl, "content-length"), *tg = find_hdr(c->h, hl, "x-amz-target");
                c->big = 0;
                if (tg) { char *d = memchr(tg, '.', 40); if (d) c->big = !strncmp(d, ".Query", 6) || !strncmp(d, ".Scan", 5) || !strncmp(d, ".BatchGetItem", 13); }
                c->body_left = (cl ? atol(cl) : 0) - (long)(c->hlen - hl);
            }
            if (c->body_left > 0) continue;
            c->body_left = 0; c->hlen = 0; served++;
            int rc = (every && served % every == 0) ? send_all(fd, thr_r, thr_n)
                   : c->big ? send_all(fd, big_r, big_n) : send_all(fd, small_r, small_n);
            if (rc) drop(ep, fd);
        }
    }
}
