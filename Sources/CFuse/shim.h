// What Swift sees of libfuse3's low-level interface.
#pragma once
#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

// struct stat and struct statvfs belong to Glibc, which only the target Linux imports: the two replies that carry one.

// Attributes of the root, inode 1, a regular file of `size` bytes.
static inline int cfuse_reply_file(fuse_req_t request, unsigned long long size, unsigned block_size, double lifetime) {
    struct stat attributes = {
        .st_ino = 1,
        .st_mode = S_IFREG | 0600,
        .st_nlink = 1,
        .st_size = (off_t)size,
        .st_blksize = block_size,
        .st_blocks = (blkcnt_t)(size / 512),
    };
    return fuse_reply_attr(request, &attributes, lifetime);
}

static inline int cfuse_reply_block_size(fuse_req_t request, unsigned block_size) {
    struct statvfs statistics = {.f_bsize = block_size, .f_frsize = block_size, .f_namemax = 255};
    return fuse_reply_statfs(request, &statistics);
}
