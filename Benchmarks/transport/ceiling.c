// The ceiling of a LAN: what multicast could move if a session needed no protocol at all.
//
//   ceiling send ADDRESS FILE MBPS TRAIN    FILE in symbols of 1408 bytes, each in a datagram of 1440, TRAIN of
//                                           them per system call (GSO); at most MBPS * 10^6 bytes/s, 0: no limit
//   ceiling receive ADDRESS                 GRO on; each symbol is copied once to its place in a ring of buffers
//
// A receiver that is listening prints "ready"; at the end it prints one line of JSON: megabytes per second from
// the first symbol to the last, the share of symbols that never came, and how long the gaps were on average.
// Nothing is asked for again: with loss the ceiling is the rate at which symbols still arrive.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 32,
    SYMBOL_BYTES = 1408,
    DATAGRAM_BYTES = HEADER_BYTES + SYMBOL_BYTES,
    LONGEST_TRAIN = 45,                                     // 45 * 1440 fit into one UDP datagram's 65507 bytes
    CHUNK_BYTES = 4 << 20,
    RING_CHUNKS = 64,                                       // 256 MiB, a session's default pool
    RING_SYMBOLS = CHUNK_BYTES / SYMBOL_BYTES * RING_CHUNKS,
    SEND_BUFFER = 4 << 20,
    RECEIVE_BUFFER = 64 << 20,
    PORT = 9078,
    END_MARKS = 100,                                        // the end is told for a second: some are lost
    END_MARK_GAP = 10000,                                   // µs
    SILENCE_SECONDS = 10,                                   // a receiver gives up after so long without a datagram
    RETRY_GAP = 50,                                         // µs
};
static const char group[] = "239.192.78.1";

struct header {
    uint32_t number;                                        // of the symbol; END in an end mark
    uint32_t count;                                         // how many symbols there are
    uint8_t rest[HEADER_BYTES - 8];
};
static const uint32_t END = UINT32_MAX;

static void fail(const char *what) {
    fprintf(stderr, "ceiling: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_socket(void) {
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0) fail("socket");
    return s;
}

static void set(int s, int level, int option, const void *value, socklen_t length, const char *name) {
    if (setsockopt(s, level, option, value, length)) fail(name);
}

static struct sockaddr_in endpoint(const char *address) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    if (!inet_aton(address, &a.sin_addr)) fail(address);
    return a;
}

static uint8_t *read_whole(const char *path, size_t *length) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status)) fail(path);
    *length = (size_t)status.st_size;
    uint8_t *bytes = malloc(*length + SYMBOL_BYTES);        // the last symbol is padded
    if (!bytes) fail("malloc");
    for (size_t at = 0; at < *length;) {
        ssize_t n = read(file, bytes + at, *length - at);
        if (n <= 0) fail(path);
        at += (size_t)n;
    }
    memset(bytes + *length, 0, SYMBOL_BYTES);
    close(file);
    return bytes;
}

static void transmit(int s, const void *bytes, size_t length) {
    while (send(s, bytes, length, 0) < 0) {
        if (errno != ENOBUFS && errno != EAGAIN) fail("send");
        usleep(RETRY_GAP);
    }
}

static void send_file(const char *address, const char *path, double limit, int train) {
    size_t length;
    const uint8_t *file = read_whole(path, &length);
    const uint32_t count = (uint32_t)((length + SYMBOL_BYTES - 1) / SYMBOL_BYTES);
    const int s = open_socket(), off = 0, segment = DATAGRAM_BYTES, buffer = SEND_BUFFER;
    struct sockaddr_in own = endpoint(address), to = endpoint(group);
    set(s, IPPROTO_IP, IP_MULTICAST_IF, &own.sin_addr, sizeof own.sin_addr, "IP_MULTICAST_IF");
    set(s, IPPROTO_IP, IP_MULTICAST_LOOP, &off, sizeof off, "IP_MULTICAST_LOOP");
    set(s, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer, "SO_SNDBUFFORCE");
    if (train > 1) set(s, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment, "UDP_SEGMENT");
    if (connect(s, (struct sockaddr *)&to, sizeof to)) fail("connect");

    static uint8_t out[LONGEST_TRAIN * DATAGRAM_BYTES];
    const double began = now();
    for (uint32_t next = 0; next < count;) {
        size_t filled = 0;
        for (int car = 0; car < train && next < count; car++, next++, filled += DATAGRAM_BYTES) {
            const struct header header = {.number = next, .count = count};
            memcpy(out + filled, &header, HEADER_BYTES);
            memcpy(out + filled + HEADER_BYTES, file + (size_t)next * SYMBOL_BYTES, SYMBOL_BYTES);
        }
        while (limit > 0 && (double)next * SYMBOL_BYTES > (now() - began) * limit * 1e6) usleep(RETRY_GAP);
        transmit(s, out, filled);
    }
    printf("{\"MBps\": %.3f}\n", (double)length / (now() - began) / 1e6);
    for (int mark = 0; mark < END_MARKS; mark++, usleep(END_MARK_GAP)) {
        const struct header end = {.number = END, .count = count};
        transmit(s, &end, sizeof end);
    }
}

static void receive_file(const char *address) {
    const int s = open_socket(), on = 1, buffer = RECEIVE_BUFFER;
    struct sockaddr_in at = endpoint(group);
    struct ip_mreqn membership = {.imr_multiaddr = at.sin_addr, .imr_address = endpoint(address).sin_addr};
    struct timeval patience = {.tv_sec = SILENCE_SECONDS};
    set(s, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer, "SO_RCVBUFFORCE");
    set(s, SOL_UDP, UDP_GRO, &on, sizeof on, "UDP_GRO");
    if (bind(s, (struct sockaddr *)&at, sizeof at)) fail("bind");
    set(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership, "IP_ADD_MEMBERSHIP");

    const size_t ring_bytes = (size_t)RING_SYMBOLS * SYMBOL_BYTES;
    uint8_t *ring = mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (ring == MAP_FAILED) fail("mmap");
    static uint8_t in[1 << 16];
    uint64_t got = 0, gaps = 0;
    uint32_t expected = 0, count = 0;
    double first = 0, last = 0;
    struct header header;
    puts("ready");
    fflush(stdout);
    for (;;) {
        ssize_t n = recv(s, in, sizeof in, 0);
        if (n < 0 && errno == EAGAIN) {
            if (got == 0) continue;
            break;
        }
        if (n < 0) fail("recv");
        if (n == HEADER_BYTES) break;
        if (got == 0) {
            first = now();
            set(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience, "SO_RCVTIMEO");
        }
        for (ssize_t offset = 0; offset + DATAGRAM_BYTES <= n; offset += DATAGRAM_BYTES, got++) {
            memcpy(&header, in + offset, HEADER_BYTES);
            gaps += header.number != expected;
            expected = header.number + 1;
            count = header.count;
            memcpy(ring + (size_t)(header.number % RING_SYMBOLS) * SYMBOL_BYTES, in + offset + HEADER_BYTES, SYMBOL_BYTES);
        }
        last = now();
    }
    if (got == 0) {
        fprintf(stderr, "ceiling: %s got nothing\n", address);
        exit(1);
    }
    gaps += expected != count;                              // what is missing at the very end is a gap as well
    const double lost = (double)count - (double)got;
    printf("{\"MBps\": %.3f, \"lost_percent\": %.4f, \"mean_burst\": %.4f, \"first\": %.6f, \"last\": %.6f}\n",
           (double)got * SYMBOL_BYTES / (last - first) / 1e6, 100 * lost / count, gaps ? lost / (double)gaps : 0, first, last);
}

int main(int argc, char **argv) {
    if (argc == 6 && !strcmp(argv[1], "send")) {
        const int train = atoi(argv[5]);
        if (train < 1 || train > LONGEST_TRAIN) {
            fprintf(stderr, "ceiling: a train has 1 to %d datagrams\n", LONGEST_TRAIN);
            return 2;
        }
        send_file(argv[2], argv[3], atof(argv[4]), train);
    } else if (argc == 3 && !strcmp(argv[1], "receive")) {
        receive_file(argv[2]);
    } else {
        fprintf(stderr, "usage: ceiling send ADDRESS FILE MBPS TRAIN | ceiling receive ADDRESS\n");
        return 2;
    }
    return 0;
}
