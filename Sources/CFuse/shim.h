// What Swift sees of libfuse3's low-level interface.
#pragma once
#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>
