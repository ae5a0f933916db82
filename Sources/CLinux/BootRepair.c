// System calls that boot repair needs and the C library does not wrap: openat2, kexec_file_load, reboot's long form.
#define _GNU_SOURCE
#include "CLinux.h"
#include <linux/kexec.h>
#include <linux/openat2.h>
#include <string.h>

int clinux_open_beneath(int directory, const char *path, int flags, mode_t mode, int options) {
    struct open_how how;
    memset(&how, 0, sizeof how);
    how.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC);
    // A mode without O_CREAT is an error to this call.
    if (flags & O_CREAT) how.mode = mode;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    if (options & clinux_no_links) how.resolve |= RESOLVE_NO_SYMLINKS;
    if (options & clinux_no_other_mount) how.resolve |= RESOLVE_NO_XDEV;
    return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

int clinux_load_kernel(int kernel, int initrd, const char *command_line, size_t length) {
    unsigned long flags = initrd < 0 ? KEXEC_FILE_NO_INITRAMFS : 0;
    return (int)syscall(SYS_kexec_file_load, kernel, initrd, (unsigned long)length + 1, command_line, flags);
}

int clinux_start_loaded_kernel(void) {
    return (int)syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, 0);
}
