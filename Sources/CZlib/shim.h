// What Swift sees of libz.
#pragma once
#include <zlib.h>
