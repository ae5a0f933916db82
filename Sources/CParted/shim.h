// What Swift sees of libparted.
#pragma once
#include <parted/parted.h>
