// require_io_uring PROGRAM [ARGS]: runs PROGRAM if this kernel (or container) allows
// io_uring; else says why not and exits with 77, which ctest counts as skipped.
#include <cstdio>
#include <cstring>
#include <unistd.h>

#ifdef ASYNCIO_HAVE_LIBURING
#include <liburing.h>
#endif

int main(int, char** argv) {
#ifdef ASYNCIO_HAVE_LIBURING
    io_uring ring;
    if (int result = io_uring_queue_init(4, &ring, 0); result < 0) {
        std::printf("skipped: the kernel refuses io_uring: %s\n", std::strerror(-result));
        return 77;
    }
    io_uring_queue_exit(&ring);
    execv(argv[1], argv + 1);
    std::perror(argv[1]);
    return 1;
#else
    std::printf("skipped: %s: built without liburing\n", argv[1]);
    return 77;
#endif
}
