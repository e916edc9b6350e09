// Preloaded into a peer to count its heap allocations, without touching the peer:
//   ALLOC_COUNT_FILE=f LD_PRELOAD=./alloc_count.so peer workload N
// leaves the number of allocations as 8 bytes in file f.  Frees are not counted.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);

static atomic_uint_fast64_t before;
static atomic_uint_fast64_t* count = &before;

__attribute__((constructor)) static void open_counter(void) {
    const char* name = getenv("ALLOC_COUNT_FILE");
    int fd = name ? open(name, O_RDWR | O_CREAT, 0600) : -1;
    if (fd < 0) return;
    if (ftruncate(fd, sizeof *count) == 0) {
        void* p = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p != MAP_FAILED) count = p;
    }
    close(fd);
}

static void counted(void) {
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

void* malloc(size_t n) {
    counted();
    return __libc_malloc(n);
}
void* calloc(size_t n, size_t m) {
    counted();
    return __libc_calloc(n, m);
}
void* realloc(void* p, size_t n) {
    counted();
    return __libc_realloc(p, n);
}
void* memalign(size_t a, size_t n) {
    counted();
    return __libc_memalign(a, n);
}
void* aligned_alloc(size_t a, size_t n) {
    counted();
    return __libc_memalign(a, n);
}
int posix_memalign(void** out, size_t a, size_t n) {
    counted();
    return (*out = __libc_memalign(a, n)) ? 0 : 12;
}
