// count.c - counts what a program allocates and how often it counts references; preloaded by `run`.
//
// At its exit a line "allocations N frees N retains N releases N" goes to the file $COUNTS names. Only calls that pass
// through dynamic symbols are seen: all of malloc's, and the retains of code outside the Swift runtime itself.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef __x86_64__
#error "elsewhere swift_retain has a calling convention of its own, which wrappers in C would break"
#endif

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

static unsigned long allocations, frees, retains, releases;

static void count(unsigned long *what, unsigned long by) { __atomic_fetch_add(what, by, __ATOMIC_RELAXED); }

void *malloc(size_t size) {
    count(&allocations, 1);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count(&allocations, 1);
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
    count(&allocations, 1);
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count(&allocations, 1);
    return __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size) {
    count(&allocations, 1);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    count(&allocations, 1);
    *memory = __libc_memalign(alignment, size);
    return *memory == NULL ? ENOMEM : 0;
}

void free(void *memory) {
    if (memory != NULL) count(&frees, 1);
    __libc_free(memory);
}

// NAME(object, …) as the runtime has it, counted `by` times in `what`.
#define WRAP(result, name, parameters, arguments, what, by)         \
    result name parameters {                                        \
        static result(*next) parameters;                            \
        if (next == NULL) next = dlsym(RTLD_NEXT, #name);           \
        count(&what, by);                                           \
        return next arguments;                                      \
    }

WRAP(void *, swift_retain, (void *object), (object), retains, 1)
WRAP(void, swift_release, (void *object), (object), releases, 1)
WRAP(void *, swift_retain_n, (void *object, uint32_t n), (object, n), retains, n)
WRAP(void, swift_release_n, (void *object, uint32_t n), (object, n), releases, n)
WRAP(void *, swift_bridgeObjectRetain, (void *object), (object), retains, 1)
WRAP(void, swift_bridgeObjectRelease, (void *object), (object), releases, 1)
WRAP(void *, swift_bridgeObjectRetain_n, (void *object, int n), (object, n), retains, (unsigned)n)
WRAP(void, swift_bridgeObjectRelease_n, (void *object, int n), (object, n), releases, (unsigned)n)
WRAP(void *, swift_unknownObjectRetain, (void *object), (object), retains, 1)
WRAP(void, swift_unknownObjectRelease, (void *object), (object), releases, 1)

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("COUNTS");
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return;
    dprintf(fd, "allocations %lu frees %lu retains %lu releases %lu\n", allocations, frees, retains, releases);
    close(fd);
}
