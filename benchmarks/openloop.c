/* An open-loop HTTP/1.1 load generator: requests fall due at a constant rate, whether or not the server keeps up.
 *
 * usage: openloop PORT RATE CONNECTIONS WARMUP_SECONDS SECONDS < request
 *
 * Law of this file: a latency runs from the moment the request was DUE to the last byte of its response. A request
 * that finds no idle connection waits in line and its wait counts, so a stall of the server is seen by every request
 * that fell due meanwhile (no coordinated omission). One thread, keep-alive, one request at a time on a connection,
 * connections used in turn. Any answer but 2xx, any broken connection and any unanswered request is an error.
 * wrk has no rate. h2load --rps sends each client's requests in bursts 10 ms apart and counts from the moment of sending.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
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

/* Requests fall due in small groups, one per tick: a wake-up of its own for each of them would cost the core that
 * generator and origin share twice what the requests themselves cost, and would measure that core instead. */
#ifndef TICK
#define TICK 250000 /* nanoseconds */
#endif

#define PATIENCE 10000000000LL /* nanoseconds that late answers are waited for after the end */

enum { HEAD_MAX = 16384, CONNECTIONS_MAX = 4096, REQUEST_MAX = 65536 };

typedef struct {
    int fd, busy;
    int64_t due, left; /* left: body bytes still to come, -1 while the head is read */
    size_t used;
    char head[HEAD_MAX + 1];
} Connection;

static char request[REQUEST_MAX];
static size_t request_size;
static struct sockaddr_in server;
static int poller, count;
static Connection *connections;
static int idle[CONNECTIONS_MAX], idle_first, idle_count;
static uint32_t *latencies, *lags;
static int64_t done_count, due_count, errors, reconnects, record_from, lost_count;

/* Requests that a broken connection took with it: when, and from which local port. */
enum { LOST_MAX = 4096 };
static struct { int64_t at; int port; } lost[LOST_MAX];

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void put_idle(int index) {
    connections[index].busy = 0;
    idle[(idle_first + idle_count++) % CONNECTIONS_MAX] = index;
}

static void open_connection(int index) {
    Connection *c = &connections[index];
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&server, sizeof server)) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
}

static void reopen(int index) {
    close(connections[index].fd);
    open_connection(index);
}

static void note_lost(int fd) {
    struct sockaddr_in local;
    socklen_t size = sizeof local;
    if (lost_count == LOST_MAX || getsockname(fd, (struct sockaddr *)&local, &size)) return;
    lost[lost_count].at = now();
    lost[lost_count++].port = ntohs(local.sin_port);
}

/* Send the oldest due request on the connection that has been idle longest. */
static void dispatch(int64_t due, int64_t sent) {
    int index = idle[idle_first];
    Connection *c = &connections[index];
    idle_first = (idle_first + 1) % CONNECTIONS_MAX;
    idle_count--;
    c->busy = 1;
    c->due = due;
    c->left = -1;
    c->used = 0;
    if (due >= record_from) lags[due_count] = (uint32_t)((sent - due) / 100);
    if (due >= record_from) due_count++;
    if (write(c->fd, request, request_size) != (ssize_t)request_size) {
        if (due >= record_from) note_lost(c->fd);
        errors += due >= record_from;
        reopen(index);
        put_idle(index);
    }
}

static void finish(int index, int64_t at) {
    Connection *c = &connections[index];
    int ok = !memcmp(c->head, "HTTP/1.1 2", 10);
    int last = strcasestr(c->head, "\r\nconnection: close") != NULL;
    if (c->due >= record_from) {
        if (ok) latencies[done_count++] = (uint32_t)((at - c->due) / 100);
        else errors++;
    }
    if (last) {
        reconnects++;
        reopen(index);
    }
    put_idle(index);
}

static void lose(int index) {
    Connection *c = &connections[index];
    int was_busy = c->busy;
    if (was_busy && c->due >= record_from) note_lost(c->fd);
    errors += was_busy && c->due >= record_from;
    reconnects++;
    reopen(index);
    if (was_busy) put_idle(index);
}

/* Take in what came; true when the response is complete, -1 when it cannot be read. */
static int take(Connection *c, size_t size) {
    if (c->left >= 0) return (c->left -= (int64_t)size) <= 0;
    c->used += size;
    c->head[c->used] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return c->used == HEAD_MAX ? -1 : 0;
    size_t extra = c->used - (size_t)(end + 4 - c->head);
    end[2] = 0;
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    if (!length) return -1;
    c->left = strtoll(length + 17, NULL, 10) - (int64_t)extra;
    return c->left <= 0;
}

static void readable(int index) {
    static char scratch[262144];
    Connection *c = &connections[index];
    int in_head = c->left < 0;
    ssize_t size = in_head ? read(c->fd, c->head + c->used, HEAD_MAX - c->used) : read(c->fd, scratch, sizeof scratch);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0 || !c->busy) {
        lose(index);
        return;
    }
    int complete = take(c, (size_t)size);
    if (complete < 0) {
        fprintf(stderr, "a response without Content-Length, or with a head that is too long\n");
        exit(1);
    }
    if (complete) finish(index, now());
}

/* When the request of that number falls due: at a constant rate, rounded up to the next tick. */
static int64_t due_at(int64_t start, int64_t number, double rate) {
    return start + ((int64_t)((double)number / rate * 1e9) + TICK - 1) / TICK * TICK;
}

static void await(int64_t until) {
    struct epoll_event events[256];
    int64_t rest = until - now();
    struct timespec timeout = {.tv_sec = 0, .tv_nsec = 0};
    if (rest > 0) {
        timeout.tv_sec = rest / 1000000000;
        timeout.tv_nsec = rest % 1000000000;
    }
    int ready = epoll_pwait2(poller, events, 256, &timeout, NULL);
    for (int i = 0; i < ready; i++) readable((int)events[i].data.u32);
}

static int order(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double quantile(uint32_t *sorted, int64_t size, double q) {
    return size ? sorted[(int64_t)(q * (double)(size - 1) + 0.5)] / 10.0 : 0.0;
}

static void report(double seconds) {
    int64_t unanswered = due_count - done_count - errors;
    qsort(latencies, (size_t)done_count, sizeof *latencies, order);
    qsort(lags, (size_t)due_count, sizeof *lags, order);
    printf("{\"due\":%lld,\"requests\":%lld,\"errors\":%lld,\"unanswered\":%lld,\"reconnects\":%lld,\"seconds\":%.3f,"
           "\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,\"lag_p99_us\":%.1f,\"lost\":[",
           (long long)due_count, (long long)done_count, (long long)errors, (long long)unanswered,
           (long long)reconnects, seconds, quantile(latencies, done_count, .5), quantile(latencies, done_count, .9),
           quantile(latencies, done_count, .99), quantile(latencies, done_count, .999),
           quantile(latencies, done_count, 1), quantile(lags, due_count, .99));
    for (int64_t i = 0; i < lost_count; i++)
        printf("%s[%.6f,%d]", i ? "," : "", (double)lost[i].at / 1e9, lost[i].port);
    printf("]}\n");
}

static volatile sig_atomic_t stopped;

static void stop(int signal) {
    (void)signal;
    stopped = 1;
}

int main(int argc, char **argv) {
    if (argc != 6) return fprintf(stderr, "usage: openloop PORT RATE CONNECTIONS WARMUP SECONDS < request\n"), 2;
    double rate = atof(argv[2]), warmup = atof(argv[4]), seconds = atof(argv[5]);
    count = atoi(argv[3]);
    if (rate <= 0 || count < 1 || count > CONNECTIONS_MAX || seconds <= 0) return fprintf(stderr, "bad argument\n"), 2;
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    request_size = fread(request, 1, sizeof request, stdin);
    prctl(PR_SET_TIMERSLACK, 1UL); /* the default rounds every wait up by 50 us */
    size_t slots = (size_t)(rate * (seconds + 1)) + 1024;
    latencies = calloc(slots, sizeof *latencies);
    lags = calloc(slots, sizeof *lags);
    connections = calloc((size_t)count, sizeof *connections);
    if (!latencies || !lags || !connections || (poller = epoll_create1(0)) < 0) die("start");
    for (int i = 0; i < count; i++) {
        connections[i].left = -1;
        open_connection(i);
        put_idle(i);
    }
    int64_t start = now(), sent = 0;
    record_from = start + (int64_t)(warmup * 1e9);
    int64_t end = record_from + (int64_t)(seconds * 1e9), give_up = end + PATIENCE;
    signal(SIGTERM, stop); /* ends the load early: what is due by then is all there is */
    for (;;) {
        int64_t due = due_at(start, sent, rate), at = now();
        if (stopped && at < end) {
            seconds = (double)(at - record_from) / 1e9;
            end = at;
            give_up = end + PATIENCE;
        }
        if (due < end && due <= at && idle_count) {
            dispatch(due, at);
            sent++;
            continue;
        }
        if (due >= end && (idle_count == count || at >= give_up)) break;
        if (at >= give_up) break;
        await(due >= end || !idle_count ? give_up : due);
    }
    for (int64_t due; (due = due_at(start, sent, rate)) < end; sent++) due_count += due >= record_from;
    report(seconds);
    return 0;
}
