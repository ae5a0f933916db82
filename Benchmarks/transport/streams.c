// N parallel TCP streams, the plainest way to copy a file to N machines: sendfile at the server, read at each machine.
//
//   streams send ADDRESS FILE N       waits for N machines, then sends FILE to all of them at once
//   streams receive ADDRESS [FILE]    connects, reads to the end, and discards; or writes to FILE
//
// The receiver prints "complete BYTES" once it has read everything.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PORT = 9079,
    MOST_STREAMS = 200,
    PORTION = 16 << 20,                                     // bytes asked of one sendfile
    READ_BYTES = 256 << 10,
    CONNECT_TRIES = 600,
    CONNECT_GAP = 100000,                                   // µs: a minute of tries
};
static const char *path;
static off_t length;

static void fail(const char *what) {
    fprintf(stderr, "streams: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct sockaddr_in endpoint(const char *address) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    if (!inet_aton(address, &a.sin_addr)) fail(address);
    return a;
}

static void *send_stream(void *connection) {
    const int s = (int)(long)connection, file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) fail(path);
    for (off_t at = 0; at < length;) {
        if (sendfile(s, file, &at, PORTION) <= 0) fail("sendfile");
    }
    close(file);
    // The stream has ended when the machine has closed its side: then it has read everything.
    char nothing;
    if (shutdown(s, SHUT_WR) || read(s, &nothing, 1) != 0) fail("shutdown");
    return NULL;
}

static void send_all(const char *address, int n) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in own = endpoint(address);
    struct stat status;
    int streams[MOST_STREAMS];
    pthread_t threads[MOST_STREAMS];
    if (stat(path, &status)) fail(path);
    length = status.st_size;
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on)) fail("SO_REUSEADDR");
    if (bind(listener, (struct sockaddr *)&own, sizeof own) || listen(listener, n)) fail("bind");
    for (int i = 0; i < n; i++) {
        streams[i] = accept(listener, NULL, NULL);
        if (streams[i] < 0) fail("accept");
    }
    for (int i = 0; i < n; i++) {
        if (pthread_create(&threads[i], NULL, send_stream, (void *)(long)streams[i])) fail("pthread_create");
    }
    for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
}

static int connect_patiently(const char *address) {
    struct sockaddr_in to = endpoint(address);
    for (int tries = 0; tries < CONNECT_TRIES; tries++, usleep(CONNECT_GAP)) {
        const int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(s, (struct sockaddr *)&to, sizeof to) == 0) return s;
        close(s);
    }
    fail("connect");
    return -1;
}

static void receive(const char *address) {
    static char in[READ_BYTES];
    const int s = connect_patiently(address);
    const int file = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    long total = 0;
    if (path && file < 0) fail(path);
    for (ssize_t n; (n = read(s, in, sizeof in)) != 0; total += n) {
        if (n < 0) fail("read");
        for (ssize_t at = 0, w; path && at < n; at += w) {
            w = write(file, in + at, (size_t)(n - at));
            if (w < 0) fail(path);
        }
    }
    printf("complete %ld\n", total);
}

int main(int argc, char **argv) {
    if (argc == 5 && !strcmp(argv[1], "send") && atoi(argv[4]) >= 1 && atoi(argv[4]) <= MOST_STREAMS) {
        path = argv[3];
        send_all(argv[2], atoi(argv[4]));
    } else if ((argc == 3 || argc == 4) && !strcmp(argv[1], "receive")) {
        path = argc == 4 ? argv[3] : NULL;
        receive(argv[2]);
    } else {
        fprintf(stderr, "usage: streams send ADDRESS FILE N | streams receive ADDRESS [FILE]\n");
        return 2;
    }
    return 0;
}
