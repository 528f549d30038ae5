/* A load at a fixed rate, open loop: a request is due at its time whether or not the one before was answered, and its
 * latency counts from that time, so that a slow gateway cannot hide behind a waiting caller. One thread, epoll.
 *
 *   steady PORT REQUESTS RATE SECONDS CONNECTIONS
 *
 * REQUESTS has records (length in decimal, line feed, that many bytes), sent in turn; due times are spread evenly with a
 * jitter of half a step, and a connection carries one request at a time (a due request waits for a free one); one that the
 * gateway closed while idle is opened anew. Prints a line of JSON: microseconds. Loopback only. Made for tests/bench: it knows Content-Length answers and nothing else. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX (64 << 10)
struct record { char *bytes; size_t size; };
struct connection { int fd; int busy; int64_t due; size_t got; char answer[ANSWER_MAX]; };

static struct record *requests;
static size_t request_count;

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}
static void fail(const char *what) { perror(what); exit(1); }
static void read_requests(const char *path) {
    FILE *file = fopen(path, "rb");
    size_t size;
    if (!file) fail(path);
    while (fscanf(file, "%zu", &size) == 1 && fgetc(file) == '\n') {
        requests = realloc(requests, (request_count + 1) * sizeof *requests);
        requests[request_count].size = size;
        requests[request_count].bytes = malloc(size);
        if (fread(requests[request_count++].bytes, 1, size, file) != size) fail("a record is cut");
    }
    fclose(file);
}
static int opened(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || connect(fd, (void *)&to, sizeof to)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}
static void send_all(int fd, const char *p, size_t n) {
    while (n) { ssize_t w = write(fd, p, n); if (w < 0) { if (errno == EINTR) continue; fail("write"); } p += w; n -= (size_t)w; }
}
/* The whole length of an answer, 0 while its head is not there. */
static size_t whole(struct connection *c) {
    char *end = memmem(c->answer, c->got, "\r\n\r\n", 4), *at = c->answer;
    if (!end) return 0;
    for (; at && at < end; at = memchr(at, '\n', (size_t)(end - at)), at = at ? at + 1 : NULL)
        if (!strncasecmp(at, "content-length:", 15)) return (size_t)(end - c->answer) + 4 + strtoul(at + 15, NULL, 10);
    return (size_t)(end - c->answer) + 4;
}
static int by_size(const void *a, const void *b) { int64_t x = *(const int64_t *)a, y = *(const int64_t *)b; return (x > y) - (x < y); }

int main(int argc, char **argv) {
    if (argc < 6) { fprintf(stderr, "steady PORT REQUESTS RATE SECONDS CONNECTIONS\n"); return 2; }
    int port = atoi(argv[1]), count = atoi(argv[5]);
    double rate = atof(argv[3]), seconds = atof(argv[4]);
    size_t total = (size_t)(rate * seconds), sent = 0, answered = 0, failed = 0;
    int64_t *latency = calloc(total + 1, sizeof *latency);
    struct connection *connections = calloc((size_t)count, sizeof *connections);
    struct epoll_event event = {.events = EPOLLIN}, events[64];
    int epoll = epoll_create1(0);
    prctl(PR_SET_TIMERSLACK, 1);
    read_requests(argv[2]);
    for (int i = 0; i < count; i++) connections[i].fd = -1;
    double step = 1e6 / rate;
    int64_t start = now_us() + 1000, due = start, quit = start + (int64_t)(seconds * 1e6) + 10000000;
    while (answered < total && now_us() < quit) {
        struct connection *idle = NULL;
        for (int i = 0; i < count && !idle; i++) if (!connections[i].busy) idle = &connections[i];
        if (sent < total && idle && now_us() >= due) {
            struct record *request = &requests[sent % request_count];
            if (idle->fd < 0) {
                idle->fd = opened(port);
                event.data.ptr = idle;
                epoll_ctl(epoll, EPOLL_CTL_ADD, idle->fd, &event);
            }
            idle->busy = 1; idle->due = due; idle->got = 0;
            send_all(idle->fd, request->bytes, request->size);
            sent++;
            due = start + (int64_t)(step * ((double)sent + ((double)rand() / RAND_MAX - 0.5) * 0.5));
            continue;
        }
        struct timespec wait = {1, 0};
        if (sent < total && idle) {
            int64_t left = due - now_us();
            if (left < 0) left = 0;
            wait.tv_sec = left / 1000000; wait.tv_nsec = left % 1000000 * 1000;
        }
        int ready = epoll_pwait2(epoll, events, 64, &wait, NULL);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            ssize_t n = read(c->fd, c->answer + c->got, ANSWER_MAX - c->got);
            if (n <= 0 && !c->busy) { close(c->fd); c->fd = -1; continue; }
            if (n <= 0) { fprintf(stderr, "the gateway closed a connection with a request on it\n"); return 1; }
            c->got += (size_t)n;
            size_t size = whole(c);
            if (!c->busy || (size && c->got > size) || size > ANSWER_MAX) { fprintf(stderr, "an answer that nobody asked for\n"); return 1; }
            if (!size || c->got < size) continue;
            if (strncmp(c->answer + 8, " 200", 4)) failed++;
            latency[answered++] = now_us() - c->due;
            c->busy = 0;
        }
    }
    qsort(latency, answered, sizeof *latency, by_size);
    if (!answered) { fprintf(stderr, "nothing was answered\n"); return 1; }
    printf("{\"requests\":%zu,\"failed\":%zu,\"p50_us\":%ld,\"p99_us\":%ld,\"p999_us\":%ld,\"max_us\":%ld}\n", answered, failed + total - answered,
           (long)latency[answered / 2], (long)latency[answered * 99 / 100], (long)latency[answered * 999 / 1000], (long)latency[answered - 1]);
    return 0;
}
