// The least io_uring can do for buffered file reads: 64 outstanding, one thread.
//   uring_read FILE rand4k|seq1m SECONDS [plain] [depth=N]
// Default: registered file, registered buffers (READ_FIXED), SINGLE_ISSUER | DEFER_TASKRUN,
// one enter per completed batch.  "plain": none of these.
#define _GNU_SOURCE
#include "../../net/uring_min.h"
#include <fcntl.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (double)t.tv_sec + (double)t.tv_nsec * 1e-9; }
static double cpu(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    int rnd = !strcmp(argv[2], "rand4k"), plain = 0;
    unsigned depth = 64;
    for (int i = 4; i < argc; i++) {
        if (!strcmp(argv[i], "plain")) plain = 1;
        else if (!strncmp(argv[i], "depth=", 6)) depth = (unsigned)atoi(argv[i] + 6);
    }
    size_t size = rnd ? 4096 : 1 << 20;
    int fd = open(argv[1], O_RDONLY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) { perror(argv[1]); return 1; }
    uint64_t blocks = (uint64_t)st.st_size / size, next = 0, x = 88172645463325252ull;
    char *mem = mmap(NULL, depth * size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    memset(mem, 1, depth * size);
    struct io_uring ring;
    ring_open(&ring, depth, depth * 2, plain ? 0 : IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (!plain) {
        io_uring_register_ring_fd(&ring);
        io_uring_register_files(&ring, &fd, 1);
        struct iovec v = {mem, depth * size};
        if (io_uring_register_buffers(&ring, &v, 1)) { fprintf(stderr, "register buffers\n"); return 1; }
    }
    double t = now(), end = t + atof(argv[3]), c = cpu();
    uint64_t ops = 0, errors = 0;
    unsigned waiting = depth;
    for (unsigned i = 0; i < depth; i++) {
        struct io_uring_sqe *s = io_uring_get_sqe(&ring);
        s->user_data = i;
        if (plain) io_uring_prep_read(s, fd, mem + i * size, (unsigned)size, (next++ % blocks) * size);
        else { io_uring_prep_read_fixed(s, 0, mem + i * size, (unsigned)size, (next++ % blocks) * size, 0); s->flags |= IOSQE_FIXED_FILE; }
        s->user_data = i;
    }
    while (waiting) {
        io_uring_submit_and_wait(&ring, 1);
        struct io_uring_cqe *q;
        unsigned head, n = 0;
        int more = now() < end;
        io_uring_for_each_cqe(&ring, head, q) {
            n++;
            ops++;
            if (q->res != (int)size) errors++;
            if (!more) { waiting--; continue; }
            x ^= x << 13; x ^= x >> 7; x ^= x << 17;
            uint64_t off = (rnd ? x % blocks : next++ % blocks) * size;
            unsigned i = (unsigned)q->user_data;
            struct io_uring_sqe *s = io_uring_get_sqe(&ring);
            if (plain) io_uring_prep_read(s, fd, mem + i * size, (unsigned)size, off);
            else { io_uring_prep_read_fixed(s, 0, mem + i * size, (unsigned)size, off, 0); s->flags |= IOSQE_FIXED_FILE; }
            s->user_data = i;
        }
        io_uring_cq_advance(&ring, n);
    }
    t = now() - t;
    c = cpu() - c;
    printf("{\"ops\":%llu,\"iops\":%.0f,\"mbps\":%.1f,\"cpu_us\":%.3f,\"util\":%.2f,\"errors\":%llu}\n", (unsigned long long)ops,
           (double)ops / t, (double)ops * (double)size / t / 1e6, c * 1e6 / (double)ops, c / t, (unsigned long long)errors);
    return errors != 0;
}
