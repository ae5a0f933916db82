// What Swift sees of libzstd.
#pragma once
#include <zstd.h>
