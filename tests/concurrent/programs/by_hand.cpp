// Linked without asyncio_process_entry: `freeze` calls freeze_support(), else nothing does.
#include <cstdio>
#include <cstring>

#include <concurrent/futures/process.hpp>
#include <multiprocessing.hpp>

int square(int x) { return x * x; }

int main(int argc, char** argv) {
    // A worker gets other arguments; it must come past here in any case.
    const bool plain = argc > 1 && std::strcmp(argv[1], "plain") == 0;
    if (!plain) multiprocessing::freeze_support();
    std::puts("main");
    std::fflush(stdout);
    try {
        concurrent::futures::ProcessPoolExecutor pool(1);
        std::printf("%d\n", pool.submit(square, 6).result());
    } catch (const std::exception& error) {
        std::printf("%s\n", error.what());
        return 3;
    }
}
