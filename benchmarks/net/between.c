// What a server's own code takes between one call of the kernel and the next, at full speed, with
// the caches as the kernel leaves them: preloaded, it stands before the calls that servers make,
// and counts in a shared file how often how much time lay between which two. benchmarks/run steps
// preloads it and reads the file. x86-64 only.
//
// The file: ticks of the processor's counter per microsecond, then for each pair of kinds (the
// call before, the call after) how often it took i times 8 ticks, the last place for all longer.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { waits, receives, sends, kinds };
enum { places = 4096 };

struct counts {
    uint64_t ticks_per_us;
    uint32_t times[kinds][kinds][places];
};

static struct counts* counts;
static int before = -1;
static uint64_t left_at;

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t ticks_per_us(void) {
    const uint64_t start = nanoseconds(), ticks = __rdtsc();
    while (nanoseconds() - start < 20000000) {
    }
    return (__rdtsc() - ticks) / 20000;
}

__attribute__((constructor)) static void begin(void) {
    const char* const name = getenv("BETWEEN_OUT");
    if (name == NULL) return;
    const int fd = open(name, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *counts) != 0) _exit(2);
    void* const memory =
        mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (memory == MAP_FAILED) _exit(2);
    close(fd);
    counts = memory;
    counts->ticks_per_us = ticks_per_us();
}

static inline void enter(int kind) {
    const uint64_t now = __rdtsc();
    if (counts != NULL && before >= 0) {
        uint64_t place = (now - left_at) / 8;
        if (place >= places) place = places - 1;
        ++counts->times[before][kind][place];
    }
    before = kind;
}

static inline long leave(long result) {
    left_at = __rdtsc();
    return result;
}

static inline long or_errno(long result) {
    if (result >= 0) return result;
    errno = (int)-result;
    return -1;
}

static inline long call(long number, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static inline long counted(int kind, long number, long a, long b, long c, long d, long e, long f) {
    enter(kind);
    return leave(call(number, a, b, c, d, e, f));
}

ssize_t read(int fd, void* data, size_t size) {
    return or_errno(counted(receives, SYS_read, fd, (long)data, (long)size, 0, 0, 0));
}
ssize_t readv(int fd, const struct iovec* parts, int count) {
    return or_errno(counted(receives, SYS_readv, fd, (long)parts, count, 0, 0, 0));
}
ssize_t recv(int fd, void* data, size_t size, int flags) {
    return or_errno(counted(receives, SYS_recvfrom, fd, (long)data, (long)size, flags, 0, 0));
}
ssize_t recvmsg(int fd, struct msghdr* message, int flags) {
    return or_errno(counted(receives, SYS_recvmsg, fd, (long)message, flags, 0, 0, 0));
}
ssize_t write(int fd, const void* data, size_t size) {
    return or_errno(counted(sends, SYS_write, fd, (long)data, (long)size, 0, 0, 0));
}
ssize_t writev(int fd, const struct iovec* parts, int count) {
    return or_errno(counted(sends, SYS_writev, fd, (long)parts, count, 0, 0, 0));
}
ssize_t send(int fd, const void* data, size_t size, int flags) {
    return or_errno(counted(sends, SYS_sendto, fd, (long)data, (long)size, flags, 0, 0));
}
ssize_t sendmsg(int fd, const struct msghdr* message, int flags) {
    return or_errno(counted(sends, SYS_sendmsg, fd, (long)message, flags, 0, 0, 0));
}
int epoll_wait(int fd, struct epoll_event* events, int size, int timeout) {
    return (int)or_errno(counted(waits, SYS_epoll_wait, fd, (long)events, size, timeout, 0, 0));
}
int epoll_pwait(int fd, struct epoll_event* events, int size, int timeout, const sigset_t* mask) {
    return (int)or_errno(
        counted(waits, SYS_epoll_pwait, fd, (long)events, size, timeout, (long)mask, _NSIG / 8));
}
// Of liburing, which gives the negative errno.
int io_uring_enter2(unsigned fd, unsigned submit, unsigned wait, unsigned flags, sigset_t* mask,
                    size_t size) {
    return (int)counted(waits, SYS_io_uring_enter, fd, submit, wait, flags, (long)mask, (long)size);
}
