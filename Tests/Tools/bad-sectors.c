// Makes reads of chosen sectors of one disk fail with EIO; for LD_PRELOAD (Tests/TestSupport/BadSectors.swift).
//
// IMG_BAD_DISK is the block device or file, IMG_BAD_SECTORS what cannot be read: "100-102,500-500", in sectors of 512
// bytes. As the kernel does, a read that begins before a bad sector returns what it got up to there.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct { off_t from, to; } bad[256];
static int count;
static struct stat disk;

__attribute__((constructor)) static void set_up(void) {
    const char *path = getenv("IMG_BAD_DISK"), *text = getenv("IMG_BAD_SECTORS");
    if (!path || !text || stat(path, &disk)) return;
    while (*text && count < 256) {
        char *end;
        bad[count].from = strtoll(text, &end, 10) * 512;
        bad[count++].to = (strtoll(end + 1, &end, 10) + 1) * 512;
        text = *end == ',' ? end + 1 : end;
    }
}

static int is_disk(int number) {
    struct stat file;
    if (!count || fstat(number, &file)) return 0;
    if (S_ISBLK(disk.st_mode)) return S_ISBLK(file.st_mode) && file.st_rdev == disk.st_rdev;
    return file.st_dev == disk.st_dev && file.st_ino == disk.st_ino;
}

// How many of `size` bytes from `offset` can be read before the first bad sector.
static size_t readable(off_t offset, size_t size) {
    for (int i = 0; i < count; i++)
        if (offset < bad[i].to && offset + (off_t)size > bad[i].from)
            size = bad[i].from > offset ? (size_t)(bad[i].from - offset) : 0;
    return size;
}

static ssize_t read_at(int number, void *buffer, size_t size, off_t offset) {
    static ssize_t (*original)(int, void *, size_t, off_t);
    if (!original) original = (ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread64");
    if (size && is_disk(number)) {
        size = readable(offset, size);
        if (!size) {
            errno = EIO;
            return -1;
        }
    }
    return original(number, buffer, size, offset);
}

ssize_t pread(int number, void *buffer, size_t size, off_t offset) { return read_at(number, buffer, size, offset); }
ssize_t pread64(int number, void *buffer, size_t size, off_t offset) { return read_at(number, buffer, size, offset); }

ssize_t read(int number, void *buffer, size_t size) {
    static ssize_t (*original)(int, void *, size_t);
    if (!original) original = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    if (size && is_disk(number)) {
        size = readable(lseek(number, 0, SEEK_CUR), size);
        if (!size) {
            errno = EIO;
            return -1;
        }
    }
    return original(number, buffer, size);
}
