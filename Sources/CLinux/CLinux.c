// The functions of CLinux.h that need _GNU_SOURCE.
#define _GNU_SOURCE
#include "CLinux.h"
#include <time.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/random.h>

ssize_t clinux_getrandom(void *buffer, size_t count) { return getrandom(buffer, count, 0); }
int clinux_set_thread_name(unsigned long thread, const char *name) { return pthread_setname_np(thread, name); }
int clinux_unshare(int flags) { return unshare(flags); }
int clinux_pipe2(int fds[2], int flags) { return pipe2(fds, flags); }
int clinux_fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate(fd, mode, offset, length); }
int clinux_memfd_create(const char *name, unsigned int flags) { return memfd_create(name, flags); }

// Disk
int clinux_blkpg(int fd, int operation, int number, long long start, long long length) {
    struct blkpg_partition partition = {.start = start, .length = length, .pno = number};
    struct blkpg_ioctl_arg argument = {.op = operation, .datalen = sizeof partition, .data = &partition};
    return ioctl(fd, BLKPG, &argument);
}


// Processes, mounts and shared memory (overlay).
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>

extern char **environ;

// Lowest number of the copies that keep one descriptor's target from being another one's source.
enum { first_copy = 100, most_descriptors = 16 };

int clinux_spawn(pid_t *pid, const char *path, char *const arguments[], const int *descriptors, int count) {
    if (count < 0 || count > most_descriptors) return EINVAL;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    int copies[most_descriptors];
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    error = posix_spawnattr_init(&attributes);
    if (error) {
        posix_spawn_file_actions_destroy(&actions);
        return error;
    }
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGCHLD);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    for (int i = 0; i < count; i++) copies[i] = -1;
    for (int i = 0; i < count && !error; i++) {
        if (descriptors[i] < 0) {
            error = posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
            continue;
        }
        copies[i] = fcntl(descriptors[i], F_DUPFD_CLOEXEC, first_copy);
        error = copies[i] < 0 ? errno : posix_spawn_file_actions_adddup2(&actions, copies[i], i);
    }
    if (!error) error = posix_spawn_file_actions_addclosefrom_np(&actions, count);
    if (!error) error = posix_spawnp(pid, path, &actions, &attributes, arguments, environ);
    for (int i = 0; i < count; i++)
        if (copies[i] >= 0) close(copies[i]);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

int clinux_wait_status(int status, int *exit_status, int *signal_number) {
    if (WIFEXITED(status)) {
        *exit_status = WEXITSTATUS(status);
        return 0;
    }
    *signal_number = WTERMSIG(status);
    return 1;
}

int64_t clinux_btrfs_global_reserve(int fd) {
    enum { slots = 16 };
    // A header that ends in an array of spaces, both made of 64-bit numbers.
    union {
        struct btrfs_ioctl_space_args header;
        char room[sizeof(struct btrfs_ioctl_space_args) + slots * sizeof(struct btrfs_ioctl_space_info)];
    } answer = {.header = {.space_slots = slots}};
    if (ioctl(fd, BTRFS_IOC_SPACE_INFO, &answer) != 0) return -1;
    for (uint64_t i = 0; i < answer.header.total_spaces && i < slots; i++)
        if (answer.header.spaces[i].flags & BTRFS_SPACE_INFO_GLOBAL_RSV)
            return (int64_t)answer.header.spaces[i].total_bytes;
    return 0;
}

int64_t clinux_seconds_until(int hour, int minute, int64_t moment) {
    time_t now = (time_t)moment;
    struct tm today;
    localtime_r(&now, &today);
    for (int day = 0; day <= 2; day++) {
        struct tm then = {.tm_year = today.tm_year, .tm_mon = today.tm_mon, .tm_mday = today.tm_mday + day,
                          .tm_hour = hour, .tm_min = minute, .tm_isdst = -1};
        int64_t seconds = (int64_t)mktime(&then) - moment;
        if (seconds > 0) return seconds;
    }
    return 86400;
}

int clinux_rename_to_new(int directory, const char *from, const char *to) {
    return renameat2(directory, from, directory, to, RENAME_NOREPLACE);
}
