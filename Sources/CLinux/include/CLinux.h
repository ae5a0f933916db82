// What Swift cannot call by itself: variadic system calls, function-like macros and constants made of casts.
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

// open(2) is variadic. O_CLOEXEC is always added.
static inline int clinux_open(const char *path, int flags, mode_t mode) {
    return open(path, flags | O_CLOEXEC, mode);
}

// ioctl(2) is variadic: one form for a pointer argument, one for a number.
static inline int clinux_ioctl(int fd, unsigned long request, void *argument) {
    return ioctl(fd, request, argument);
}
static inline int clinux_ioctl_value(int fd, unsigned long request, unsigned long value) {
    return ioctl(fd, request, value);
}

// prctl(2) is variadic.
static inline int clinux_prctl(int option, unsigned long argument) {
    return prctl(option, argument, 0UL, 0UL, 0UL);
}

// GNU extensions that the Glibc module hides; they live in CLinux.c.
ssize_t clinux_getrandom(void *buffer, size_t count);
int clinux_set_thread_name(unsigned long thread, const char *name);
int clinux_unshare(int flags);
int clinux_pipe2(int fds[2], int flags);
int clinux_fallocate(int fd, int mode, off_t offset, off_t length);
int clinux_memfd_create(const char *name, unsigned int flags);

// The request numbers are function-like macros.
static const unsigned long clinux_BLKGETSIZE64 = BLKGETSIZE64;
static const unsigned long clinux_BLKSSZGET = BLKSSZGET;
static const unsigned long clinux_BLKPBSZGET = BLKPBSZGET;
static const unsigned long clinux_BLKROGET = BLKROGET;
static const unsigned long clinux_BLKROSET = BLKROSET;
static const unsigned long clinux_BLKRRPART = BLKRRPART;
static const unsigned long clinux_BLKFLSBUF = BLKFLSBUF;
static const unsigned long clinux_BLKDISCARD = BLKDISCARD;
static const unsigned long clinux_BLKZEROOUT = BLKZEROOUT;
static const unsigned long clinux_FITRIM = FITRIM;
static const unsigned long clinux_LOOP_CTL_GET_FREE = LOOP_CTL_GET_FREE;
static const unsigned long clinux_LOOP_CONFIGURE = LOOP_CONFIGURE;
static const unsigned long clinux_LOOP_CLR_FD = LOOP_CLR_FD;
static const unsigned long clinux_LOOP_SET_BLOCK_SIZE = LOOP_SET_BLOCK_SIZE;

// Processes, mounts and shared memory (overlay).
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>

// Starts `path` (looked up in PATH) with descriptors 0 … count - 1 copied from `descriptors` (a negative one becomes
// /dev/null), all others closed and an empty signal mask; returns 0 or an errno value.
int clinux_spawn(pid_t *pid, const char *path, char *const arguments[], const int *descriptors, int count);
// 0: exited, 1: ended by a signal (the W… macros of wait(2)).
int clinux_wait_status(int status, int *exit_status, int *signal_number);

static const unsigned long clinux_BTRFS_IOC_FORGET_DEV = BTRFS_IOC_FORGET_DEV;
static const unsigned long clinux_LOOP_GET_STATUS64 = LOOP_GET_STATUS64;
static const int clinux_PR_SET_IO_FLUSHER = PR_SET_IO_FLUSHER;
// xfs_fs.h is not among the kernel's user headers: the reserve XFS keeps for itself, in file-system blocks.
struct clinux_xfs_fsop_resblks { uint64_t resblks; uint64_t resblks_avail; };
static const unsigned long clinux_XFS_IOC_GET_RESBLKS = _IOR('X', 115, struct clinux_xfs_fsop_resblks);

// The argument ends in a flexible array, so Swift cannot lay it out: bytes of btrfs's global reserve, or -1 and errno.
int64_t clinux_btrfs_global_reserve(int fd);
