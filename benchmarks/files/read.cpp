// Our reads of files for benchmarks/run files: 64 tasks, each with a file of its own.
//
//   read FILE rand4k|seq1m SECONDS [seek]
//
// By os::pread() from one descriptor, or with "seek" by seek() and readinto() of a file per task.
//
// ASYNCIO_PROACTOR names the proactor.
#include <sys/resource.h>

#include <aiofiles/file.hpp>
#include <aiofiles/os.hpp>
#include <asyncio.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace {

using namespace asyncio;
using Clock = std::chrono::steady_clock;

struct Work {
    std::string path;
    bool random;
    bool seeks;
    std::size_t size;
    std::uint64_t blocks;
    std::uint64_t next = 0;
    std::uint64_t state = 88172645463325252;
    std::uint64_t done = 0;
    std::uint64_t errors = 0;
    bool over = false;

    std::int64_t offset() {
        if (!random) return static_cast<std::int64_t>(next++ % blocks * size);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return static_cast<std::int64_t>(state % blocks * size);
    }
};

double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Coroutine<void> read_by_seeking(Work& work, std::span<std::byte> buffer) {
    aiofiles::File file = co_await aiofiles::open(work.path, "rb");
    while (!work.over) {
        co_await file.seek(work.offset());
        if (co_await file.readinto(buffer) != work.size) ++work.errors;
        ++work.done;
    }
    co_await file.close();
}

Coroutine<void> read_at_places(Work& work, int descriptor, std::span<std::byte> buffer) {
    while (!work.over) {
        const std::size_t count = co_await aiofiles::os::pread(descriptor, buffer, work.offset());
        if (count != work.size) ++work.errors;
        ++work.done;
    }
}

Coroutine<void> measure(Work& work, std::chrono::duration<double> duration) {
    // In one piece and page by page, as the peers have it: the kernel copies twice as fast to an
    // address that is aligned as its own. Before the clock starts, as theirs: to get so many pages
    // takes as long as hundreds of reads.
    std::vector<std::byte> memory((64 * work.size) + 4096);
    std::span<std::byte> aligned = memory;
    aligned = aligned.subspan(4096 - reinterpret_cast<std::uintptr_t>(aligned.data()) % 4096);
    aiofiles::File shared = co_await aiofiles::open(work.path, "rb");
    std::vector<Coroutine<void>> tasks;
    const auto begin = Clock::now();
    const double cpu = cpu_seconds();
    get_running_loop().call_later(std::chrono::duration_cast<std::chrono::nanoseconds>(duration),
                                  [&work] { work.over = true; });
    for (std::size_t i = 0; i < 64; ++i) {
        const std::span buffer = aligned.subspan(i * work.size, work.size);
        tasks.push_back(work.seeks ? read_by_seeking(work, buffer)
                                   : read_at_places(work, shared.fileno(), buffer));
    }
    co_await gather(std::move(tasks));
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    const auto count = static_cast<double>(work.done);
    std::printf(
        "{\"ops\": %.0f, \"iops\": %.0f, \"mbps\": %.1f, \"cpu_us\": %.3f, \"errors\": %llu}\n",
        count, count / seconds, count * static_cast<double>(work.size) / seconds / 1e6,
        (cpu_seconds() - cpu) * 1e6 / count, static_cast<unsigned long long>(work.errors));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) return 2;
    const bool random = std::string_view(argv[2]) == "rand4k";
    const std::size_t size = random ? 4096 : 1 << 20;
    Work work{.path = argv[1],
              .random = random,
              .seeks = argc > 4,
              .size = size,
              .blocks = std::filesystem::file_size(argv[1]) / size};
    run(measure(work, std::chrono::duration<double>(std::atof(argv[3]))));
}
