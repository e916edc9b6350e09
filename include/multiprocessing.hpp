// multiprocessing.hpp - how worker processes are started.
//
// Programs that link asyncio_cpp::asyncio by CMake need nothing from here: the
// link brings an entry that lets a worker take over before main(). Programs that
// are linked another way call freeze_support() first in main(), as in Python:
//
//   int main() {
//       multiprocessing::freeze_support();
//       concurrent::futures::ProcessPoolExecutor pool;
//       ...
//   }
//
// Source: Python's multiprocessing.
#pragma once

#include <cstdint>
#include <string_view>

namespace multiprocessing {

enum class StartMethod : std::uint8_t {
    // One process runs the program up to main() and forks each worker from there.
    // It has one thread and none of this process's locks. The default.
    forkserver,
    // Each worker runs the program up to main().
    spawn,
    // Each worker is a copy of this process as it is. Only for programs without
    // threads: a lock that another thread holds stays locked in the copy forever.
    fork,
};

// "forkserver", "spawn", "fork".
[[nodiscard]] std::string_view name(StartMethod method) noexcept;

// In a process started for a pool, serves it and never returns. Anywhere else,
// returns at once, and pools may be created from then on.
void freeze_support();

}  // namespace multiprocessing
