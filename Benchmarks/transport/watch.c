// Says when the data of a transfer began, whatever tool sends it: looks at an interface's counter each millisecond.
//
//   watch INTERFACE    prints "armed", then "first SECONDS" (CLOCK_MONOTONIC) and ends
//
// Tools greet their machines before they send data. Data is told from greetings by its mass: a stretch of
// milliseconds that carry at least one full datagram, without a pause of 100 ms, which adds up to 256 KiB. Its
// first millisecond counts as the beginning, so nothing a tool does after its first data datagram goes untimed.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK = 1000000,                                         // ns
    FULL_DATAGRAM = 1200,                                   // bytes in one tick that may be data
    DATA_BYTES = 256 << 10,
};
static const double pause_seconds = 0.1;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long long sent(int counter) {
    char text[32] = "";
    if (pread(counter, text, sizeof text - 1, 0) <= 0) {
        fprintf(stderr, "watch: the counter cannot be read: %s\n", strerror(errno));
        exit(1);
    }
    return atoll(text);
}

int main(int argc, char **argv) {
    char path[256];
    if (argc != 2) {
        fprintf(stderr, "usage: watch INTERFACE\n");
        return 2;
    }
    snprintf(path, sizeof path, "/sys/class/net/%s/statistics/tx_bytes", argv[1]);
    const int counter = open(path, O_RDONLY | O_CLOEXEC);
    if (counter < 0) {
        fprintf(stderr, "watch: %s: %s\n", path, strerror(errno));
        return 1;
    }
    puts("armed");
    fflush(stdout);
    long long before = sent(counter), stretch_from = before;
    double looked = now(), began = 0, latest = 0;
    for (;;) {
        const struct timespec tick = {.tv_nsec = TICK};
        nanosleep(&tick, NULL);
        const long long bytes = sent(counter);
        const double time = now();
        if (began != 0 && time - latest > pause_seconds) began = 0;
        if (bytes - before >= FULL_DATAGRAM) {
            if (began == 0) {
                began = looked;                             // the datagram left after the look before this one
                stretch_from = before;
            }
            latest = time;
        }
        if (began != 0 && bytes - stretch_from >= DATA_BYTES) {
            printf("first %.6f\n", began);
            return 0;
        }
        before = bytes;
        looked = time;
    }
}
