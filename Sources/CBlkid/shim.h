// What Swift sees of libblkid.
#pragma once
#include <blkid/blkid.h>
