// The functions of CLinux.h that need _GNU_SOURCE.
#define _GNU_SOURCE
#include "CLinux.h"
#include <pthread.h>
#include <sys/random.h>

ssize_t clinux_getrandom(void *buffer, size_t count) { return getrandom(buffer, count, 0); }
int clinux_set_thread_name(unsigned long thread, const char *name) { return pthread_setname_np(thread, name); }
int clinux_unshare(int flags) { return unshare(flags); }
int clinux_pipe2(int fds[2], int flags) { return pipe2(fds, flags); }
int clinux_fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate(fd, mode, offset, length); }
int clinux_memfd_create(const char *name, unsigned int flags) { return memfd_create(name, flags); }
