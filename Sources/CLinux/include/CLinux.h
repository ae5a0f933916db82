// What Swift cannot call by itself: variadic system calls, function-like macros and constants made of casts.
//
// _GNU_SOURCE is not defined here: it changes structures (fd_set), and a test that imports Glibc as well would see
// two definitions of one type. What needs it is declared here and lives in a C file.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/memfd.h>
#include <linux/sched.h>
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
// struct tm holds a pointer, which would make every use of it unsafe.
int64_t clinux_seconds_until(int hour, int minute, int64_t moment);
int clinux_memfd_create(const char *name, unsigned int flags);
// Gives `from` the name `to` in the same directory, which must not exist (renameat2(2), RENAME_NOREPLACE).
int clinux_rename_to_new(int directory, const char *from, const char *to);

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

// Sockets, events and signals (Sockets.c): sockaddr unions, control messages and epoll's packed structure.

// An address and port. IPv4 lives in the low 32 bits of `low`; all numbers are in the machine's byte order.
struct clinux_address {
    uint64_t high, low;
    uint32_t scope;   // interface index to leave by, 0 for the one of the route
    uint16_t port;
    uint16_t family;  // 4, 6, or 0 for none
};

// What the kernel says about a datagram besides its bytes.
struct clinux_arrival {
    struct clinux_address from;
    uint32_t interface;  // index of the interface it came in by, 0 when unknown
    uint32_t drops;      // datagrams this socket has lost for want of room since it was made
    int32_t has_drops;   // whether `drops` was given
    int32_t truncated;   // whether the datagram was longer than the buffer
};

// One address of one interface.
struct clinux_interface {
    char name[16];
    uint32_t index, flags, prefix;
    struct clinux_address address, broadcast;
    uint8_t mac[8];       // of a link-layer entry (family 0), the first six bytes
    int32_t is_link;
};

struct clinux_event {
    uint64_t token;
    uint32_t events;
};

int clinux_address_parse(const char *text, struct clinux_address *address);
// An address of a host by name (getaddrinfo); NULL, or a constant text that says why there is none.
const char *clinux_address_resolve(const char *name, struct clinux_address *address);
int clinux_address_text(const struct clinux_address *address, char *text, size_t capacity);
int clinux_bind(int fd, const struct clinux_address *address);
int clinux_connect(int fd, const struct clinux_address *address);
int clinux_accept(int fd, struct clinux_address *from);
int clinux_socket_address(int fd, int peer, struct clinux_address *address);
int clinux_group(int fd, int join, const struct clinux_address *group, unsigned interface);
ssize_t clinux_send_to(int fd, const void *bytes, size_t count, const struct clinux_address *to);
ssize_t clinux_receive_from(int fd, void *buffer, size_t capacity, struct clinux_arrival *arrival);
int clinux_report_membership(const struct clinux_address *group, unsigned interface);
// A packet socket that gets the first `bytes` of each IP packet for `group` that comes in by `interface` (Tap.c).
int clinux_tap(unsigned interface, const struct clinux_address *group, unsigned bytes);
int clinux_interfaces(struct clinux_interface *entries, int capacity);
long clinux_link_speed(const char *interface);
int clinux_has_device(const char *interface);
socklen_t clinux_to_kernel(const struct clinux_address *address, struct sockaddr_storage *storage);
void clinux_from_kernel(const struct sockaddr *kernel, struct clinux_address *address);
int clinux_epoll_create(void);
int clinux_epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t token);
int clinux_epoll_wait(int epoll, struct clinux_event *events, int capacity, int64_t nanoseconds);
int clinux_eventfd(void);
int clinux_catch_termination(int eventfd);
int clinux_termination_signal(void);
int clinux_setns(int fd, int kind);

// The keyboard (Keyboard.c): single keys without echo from a terminal that is put back at the program's end, whether it
// ends by itself or by a signal, and while it is stopped. One terminal per process.
int clinux_keyboard_begin(int fd);
void clinux_keyboard_end(void);
void clinux_keyboard_resume(void);
// Both may be called in a signal handler.
int clinux_keyboard_is_ours(void);
void clinux_keyboard_put_back(void);

// Trains of datagrams (Trains.c): UDP_SEGMENT, UDP_GRO, sendmmsg and recvmmsg.

// Where trains go, in the kernel's own form.
struct clinux_target {
    uint8_t name[28];
    uint32_t length;
};

// One message of a data socket: datagrams of `segment` bytes each, the last may be shorter.
struct clinux_train {
    struct clinux_address from;
    uint32_t count;      // bytes of all of them
    uint32_t segment;
    uint32_t drops;      // messages this socket has lost for want of room since it was made
    int32_t has_drops;   // whether `drops` was given
    int32_t truncated;   // whether the message was longer than its room
};

void clinux_target_prepare(struct clinux_target *target, const struct clinux_address *to);
// Sends `count` bytes as datagrams of `segment` bytes; sets `one_by_one` and goes on without GSO where it is refused.
// Returns the bytes taken, whole datagrams, or -1 and errno.
ssize_t clinux_send_train(int fd, const struct clinux_target *to, const void *bytes, size_t count, size_t segment,
                          int32_t *one_by_one);
// Empties the error queue (IP_RECVERR) and returns how many there were.
int clinux_drain_errors(int fd);
// Receives up to `capacity` messages, number i at `memory` + i × `stride`, each with `room` bytes at most.
int clinux_receive_trains(int fd, void *memory, size_t stride, size_t room, struct clinux_train *trains,
                          int capacity);
static const int clinux_UDP_GRO = UDP_GRO;

// Disk: BLKPG takes a structure in a structure.
int clinux_blkpg(int fd, int operation, int number, long long start, long long length);

// Disk: starting a program in the environment of this one (`environ` is ambiguous in Swift); returns an errno.

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

// Restored disks (boot repair).
#include <linux/reboot.h>

// open(2) beneath `directory`: nothing leads out of it, whatever links say (openat2(2)); `options` is a set of the two
// below. O_CLOEXEC is always added.
enum { clinux_no_links = 1, clinux_no_other_mount = 2 };
int clinux_open_beneath(int directory, const char *path, int flags, mode_t mode, int options);
// Loads a kernel to be started by clinux_start_loaded_kernel; `initrd` is -1 for none (kexec_file_load(2)).
int clinux_load_kernel(int kernel, int initrd, const char *command_line, size_t length);
// Returns only with an error (reboot(2)).
int clinux_start_loaded_kernel(void);
