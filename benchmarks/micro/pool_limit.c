// The limit for a process pool: one forked worker, one request at a time, by transport.
//
//   pool_limit TRANSPORT process_int|process_1mib [N]
//
//   socketpair     both directions over one AF_UNIX stream
//   pipe           one pipe each way
//   shm-eventfd    the bytes in shared memory, an eventfd each way, epoll in the parent
//   shm-futex      the bytes in shared memory, a futex each way (no loop could wait so)
//   shm-spin       the bytes in shared memory, both sides poll up to 50 us, then futex
//
// process_int sends 8 bytes and gets 8 back; process_1mib sends 1 MiB, which the worker
// copies into memory of its own, and gets its length back.  With the fd transports the
// parent waits in epoll_wait, as an event loop would.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { CAPACITY = 1 << 20 };

struct shared {
    _Alignas(64) _Atomic uint32_t requests;
    _Alignas(64) _Atomic uint32_t replies;
    _Alignas(64) _Atomic uint32_t worker_sleeps;
    _Alignas(64) _Atomic uint32_t parent_sleeps;
    uint64_t length, answer;
    _Alignas(64) unsigned char bytes[CAPACITY];
};

static struct shared* shm;
static unsigned char* own;  // the worker's copy
static int to_worker[2], to_parent[2], epoll;
static const char* transport;

static void check(long ok, const char* what) {
    if (ok < 0) {
        perror(what);
        exit(1);
    }
}

static int64_t now(clockid_t c) {
    struct timespec t;
    clock_gettime(c, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void send_all(int fd, const void* data, size_t n) {
    for (const char* p = data; n;) {
        ssize_t k = write(fd, p, n);
        check(k, "write");
        p += k, n -= (size_t)k;
    }
}

static void receive_all(int fd, void* data, size_t n) {
    for (char* p = data; n;) {
        ssize_t k = read(fd, p, n);
        if (k == 0) _exit(0);
        check(k, "read");
        p += k, n -= (size_t)k;
    }
}

static void wait_readable(void) {
    struct epoll_event e;
    check(epoll_wait(epoll, &e, 1, -1), "epoll_wait");
}

static int spins;  // how many times to look before sleeping

static void wait_past(_Atomic uint32_t* word, uint32_t seen, _Atomic uint32_t* sleeping) {
    for (int i = 0; i < spins; ++i) {
        if (atomic_load_explicit(word, memory_order_acquire) != seen) return;
        __builtin_ia32_pause();
    }
    while (atomic_load(word) == seen) {
        atomic_store(sleeping, 1);
        if (atomic_load(word) == seen) syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
        atomic_store(sleeping, 0);
    }
}

static void publish(_Atomic uint32_t* word, _Atomic uint32_t* sleeping) {
    atomic_fetch_add(word, 1);
    if (atomic_load(sleeping)) syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static uint64_t handle(const unsigned char* bytes, uint64_t length) {
    if (length == 8) {
        uint64_t v;
        memcpy(&v, bytes, 8);
        return v + 1;
    }
    return length;
}

static void work(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!strncmp(transport, "shm", 3)) {
        const int events = !strcmp(transport, "shm-eventfd");
        for (uint32_t seen = 0;; ++seen) {
            uint64_t one = 1;
            if (events)
                receive_all(to_worker[0], &one, 8);
            else
                wait_past(&shm->requests, seen, &shm->worker_sleeps);
            if (shm->length > 8) memcpy(own, shm->bytes, shm->length);
            shm->answer = handle(shm->length > 8 ? own : shm->bytes, shm->length);
            one = 1;
            if (events)
                send_all(to_parent[1], &one, 8);
            else
                publish(&shm->replies, &shm->parent_sleeps);
        }
    }
    for (;;) {
        uint64_t length;
        receive_all(to_worker[0], &length, 8);
        receive_all(to_worker[0], own, length);
        uint64_t answer = handle(own, length);
        send_all(to_parent[1], &answer, 8);
    }
}

static uint64_t call(const unsigned char* bytes, uint64_t length) {
    static unsigned char message[CAPACITY + 8];
    if (!strncmp(transport, "shm", 3)) {
        const int events = !strcmp(transport, "shm-eventfd");
        const uint32_t seen = atomic_load(&shm->replies);
        memcpy(shm->bytes, bytes, length);
        shm->length = length;
        uint64_t one = 1;
        if (events) {
            send_all(to_worker[1], &one, 8);
            wait_readable();
            receive_all(to_parent[0], &one, 8);
        } else {
            publish(&shm->requests, &shm->worker_sleeps);
            wait_past(&shm->replies, seen, &shm->parent_sleeps);
        }
        return shm->answer;
    }
    memcpy(message, &length, 8);
    memcpy(message + 8, bytes, length);
    send_all(to_worker[1], message, length + 8);
    wait_readable();
    uint64_t answer;
    receive_all(to_parent[0], &answer, 8);
    return answer;
}

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    transport = argv[1];
    uint64_t length = !strcmp(argv[2], "process_int")    ? 8
                      : !strcmp(argv[2], "process_1mib") ? CAPACITY
                                                         : 0;
    if (!length) return 3;
    const uint64_t n = argc > 3 ? strtoull(argv[3], NULL, 10) : 10000;
    if (!strcmp(transport, "shm-spin")) spins = 2000;

    shm = mmap(NULL, sizeof *shm, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    own = malloc(CAPACITY);
    memset(own, 1, CAPACITY);
    if (!strcmp(transport, "socketpair")) {
        int both[2];
        check(socketpair(AF_UNIX, SOCK_STREAM, 0, both), "socketpair");
        to_worker[1] = to_parent[0] = both[0];
        to_worker[0] = to_parent[1] = both[1];
    } else if (!strcmp(transport, "pipe")) {
        check(pipe(to_worker), "pipe");
        check(pipe(to_parent), "pipe");
        fcntl(to_worker[1], F_SETPIPE_SZ, 1 << 20);
    } else {
        to_worker[0] = to_worker[1] = eventfd(0, 0);
        to_parent[0] = to_parent[1] = eventfd(0, 0);
    }
    epoll = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN};
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, to_parent[0], &e), "epoll_ctl");

    if (fork() == 0) work();

    unsigned char* bytes = malloc(CAPACITY);
    memset(bytes, 7, CAPACITY);
    for (int i = 0; i < 100; ++i) call(bytes, length);
    const int64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
    for (uint64_t i = 0; i < n; ++i) {
        memcpy(bytes, &i, 8);
        const uint64_t expected = length == 8 ? i + 1 : length;
        if (call(bytes, length) != expected) return 1;
    }
    printf(
        "{\"peer\": \"limit-%s\", \"workload\": \"%s\", \"ops\": %llu, \"ns_per_op\": %.1f, "
        "\"cpu_ns_per_op\": %.1f}\n",
        transport, argv[2], (unsigned long long)n,
        (double)(now(CLOCK_MONOTONIC) - wall) / (double)n,
        (double)(now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)n);
    return 0;
}
