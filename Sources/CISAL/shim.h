// What Swift sees of ISA-L: the erasure code and arithmetic in GF(2^8), without its deflate.
#pragma once
#include <isa-l/erasure_code.h>
