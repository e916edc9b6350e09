// require_io_uring PROGRAM [ARGS]: runs PROGRAM if the library can use io_uring here; else
// says why not and exits with 77, which ctest counts as skipped.
#include <asyncio/proactors/proactor.hpp>
#include <cstdio>
#include <unistd.h>

int main(int, char** argv) {
    if (const auto probe = asyncio::detail::probe_io_uring(); !probe.usable) {
        std::printf("skipping @io_uring: %.*s\n", static_cast<int>(probe.why_not.size()),
                    probe.why_not.data());
        return 77;
    }
    execvp(argv[1], argv + 1);
    std::perror(argv[1]);
    return 1;
}
