// require_io_uring PROGRAM [ARGS]: runs PROGRAM if this kernel (or container) allows
// io_uring; else says why not and exits with 77, which ctest counts as skipped.
#include <cstdio>
#include <cstring>
#include <unistd.h>

#ifdef ASYNCIO_HAVE_LIBURING
#include <liburing.h>
#endif

int main([[maybe_unused]] int argc, [[maybe_unused]] char** argv) {
#ifdef ASYNCIO_HAVE_LIBURING
    io_uring ring;
    if (int result = io_uring_queue_init(4, &ring, 0); result < 0) {
        std::printf("skipping @io_uring: the kernel refuses: %s\n", std::strerror(-result));
        return 77;
    }
    io_uring_queue_exit(&ring);
    execvp(argv[1], argv + 1);
    std::perror(argv[1]);
    return 1;
#else
    std::puts("skipping @io_uring: built without liburing");
    return 77;
#endif
}
