// The functions of CLinux.h that need _GNU_SOURCE.
#define _GNU_SOURCE
#include "CLinux.h"
#include <pthread.h>
#include <spawn.h>
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

int clinux_spawn(pid_t *child, char *const arguments[], int input, int output, int errors) {
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0) return error;
    int error_input = posix_spawn_file_actions_adddup2(&actions, input, 0);
    int error_output = posix_spawn_file_actions_adddup2(&actions, output, 1);
    int error_errors = posix_spawn_file_actions_adddup2(&actions, errors, 2);
    error = error_input | error_output | error_errors;
    if (error == 0) error = posix_spawnp(child, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}
