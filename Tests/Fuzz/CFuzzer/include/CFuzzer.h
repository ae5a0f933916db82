// The entry point of libFuzzer (compiler-rt), which has no header of its own.
#pragma once
#include <stddef.h>
#include <stdint.h>
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*probe)(const uint8_t *data, size_t size));
