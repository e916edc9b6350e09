// The notes' program: a page of notes on Python's asyncio, in C++ and under the same names.
//
// Here is the page's example; its other sections are in notes/sections.cpp and
// notes/iteration.cpp. What stands between [name] and [/name] is shown beside the Python in
// docs/tutorial/notes.md.

// [imports]
#include <asyncio.hpp>
#include <chrono>
#include <concurrent/futures.hpp>
#include <string>
#include <thread>
#include <vector>
// [/imports]

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "notes/progress.hpp"
#include "notes/sections.hpp"
#include "notes/settings.hpp"

using concurrent::futures::ProcessPoolExecutor;
using concurrent::futures::ThreadPoolExecutor;

namespace {

// [results]
using Results = std::vector<std::string>;
// [/results]

// [NN]
const int& NN = settings.tasks;  // 10, unless the command line says otherwise
// [/NN]

std::vector<double> measured;  // seconds, for the table at the end

// [timer]
template <class F>
auto timer(F func) {
    return [func](auto&&... args) {
        auto start = std::chrono::steady_clock::now();
        auto result = func(std::forward<decltype(args)>(args)...);
        auto stop = std::chrono::steady_clock::now();
        measured.push_back(std::chrono::duration<double>(stop - start).count());
        fmt::print("{}\n", measured.back());
        return result;
    };
}
// [/timer]

// [blocking_io]
std::string blocking_io(int id) {
    print("starting blocking-io {}...", id);
    std::this_thread::sleep_for(std::chrono::duration<double>(settings.seconds));
    print("...finishing blocking-io {}.\n", id);
    auto result = fmt::format("done io {}", id);
    return result;
}
// [/blocking_io]

// [cpu_bound]
std::string cpu_bound(int id) {
    print("starting cpu-bound {}...", id);
    [[maybe_unused]] volatile std::int64_t x;  // volatile: or the compiler removes the loop
    for (std::int64_t i = 0; i < settings.iterations; ++i) x = i;
    print("...finishing cpu-bound {}.\n", id);
    auto result = fmt::format("done cpu {}", id);
    return result;
}
// [/cpu_bound]

// [task_cpu]
asyncio::Coroutine<std::string> task_cpu(ProcessPoolExecutor& pool, int id) {
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    auto result = co_await loop.run_in_executor(pool, cpu_bound, id);
    co_return result;
}
// [/task_cpu]

// [task_io]
asyncio::Coroutine<std::string> task_io(ThreadPoolExecutor& pool, int id) {
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    auto result = co_await loop.run_in_executor(pool, blocking_io, id);
    co_return result;
}
// [/task_io]

// [cpu_tasks]
asyncio::Coroutine<Results> cpu_tasks(ProcessPoolExecutor& pool) {
    std::vector<asyncio::Coroutine<std::string>> tasks;
    for (int i : range(NN)) tasks.push_back(task_cpu(pool, i));
    Results results = co_await asyncio::gather(tasks);
    co_return results;
}
// [/cpu_tasks]

// [io_tasks]
asyncio::Coroutine<Results> io_tasks(ThreadPoolExecutor& pool) {
    std::vector<asyncio::Coroutine<std::string>> tasks;
    for (int i : range(NN)) {
        tasks.push_back(settings.to_thread ? asyncio::to_thread(blocking_io, i) : task_io(pool, i));
    }
    Results results = co_await asyncio::gather(tasks);
    co_return results;
}
// [/io_tasks]

// [cpu_bound_con]
const auto cpu_bound_con = timer([](ProcessPoolExecutor& pool) {
    Results results = asyncio::run(progress(cpu_tasks(pool)));
    return results;
});
// [/cpu_bound_con]

// [cpu_bound_seq]
const auto cpu_bound_seq = timer([] {
    Results results;
    for (int i : progress(range(NN))) results.push_back(cpu_bound(i));
    return results;
});
// [/cpu_bound_seq]

// [blocking_io_con]
const auto blocking_io_con = timer([](ThreadPoolExecutor& pool) {
    Results results = asyncio::run(progress(io_tasks(pool)));
    return results;
});
// [/blocking_io_con]

// [blocking_io_seq]
const auto blocking_io_seq = timer([] {
    Results results;
    for (int i : progress(range(NN))) results.push_back(blocking_io(i));
    return results;
});
// [/blocking_io_seq]

// The list as Python prints it.
// Throws: std::runtime_error unless it is the one of the notes.
std::string checked(std::string_view kind, const Results& results) {
    Results expected;
    for (int i : range(NN)) expected.push_back(fmt::format("done {} {}", kind, i));
    std::string text = fmt::format("['{}']", fmt::join(results, "', '"));
    if (results != expected) throw std::runtime_error("wrong results: " + text);
    return text;
}

void print_table() {
    constexpr const char* runs[] = {"sequential cpu", "concurrent cpu", "sequential io",
                                    "concurrent io"};
    fmt::print("\n{:16}{:>8}{:>10}\n", "", "seconds", "speed-up");
    for (std::size_t i = 0; i < measured.size(); ++i) {
        const double sequential = measured[i - i % 2];
        fmt::print("{:16}{:8.3f}{:9.1f}x\n", runs[i], measured[i], sequential / measured[i]);
    }
    fmt::print("{} tasks, {} workers, {} cores\n", NN, settings.workers, cpu_count());
}

// Ctrl-C: nothing needs to be saved, and worker processes end with this one. asyncio::run()
// would turn it into KeyboardInterrupt, but half of the time here is spent outside of it.
void on_interrupt(int) {
    if (settings.live && write(STDOUT_FILENO, "\n", 1) < 0) _exit(1);
    _exit(130);
}

void run_page() {
    low_level_methods();  // first: run() leaves a thread without a current loop, as in Python
    high_level_methods();
    awaitables();
    asynchronous_iteration();
    queues();

    // [pools]
    int cpu = settings.workers;  // cpu_count(), unless the command line says otherwise
    ProcessPoolExecutor process_pool({
        .max_workers = cpu,
        .initializer = {[](const Settings& ours) { settings = ours; }, settings},
    });
    ThreadPoolExecutor thread_pool(cpu);
    // [/pools]

    // [main]
    fmt::print(">> sequential cpu:\n");
    fmt::print("{}\n", checked("cpu", cpu_bound_seq()));

    fmt::print(">> concurrent cpu:\n");
    fmt::print("{}\n", checked("cpu", cpu_bound_con(process_pool)));

    fmt::print(">> sequential io:\n");
    fmt::print("{}\n", checked("io", blocking_io_seq()));

    fmt::print(">> concurrent io:\n");
    fmt::print("{}\n", checked("io", blocking_io_con(thread_pool)));
    // [/main]

    print_table();
}

}  // namespace

int main(int argc, char** argv) {
    settings = settings_from(argc, argv);
    std::signal(SIGINT, on_interrupt);
    // By lines into a pipe, too, so that ours and the workers' come in order.
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    try {
        run_page();
    } catch (const std::exception& error) {
        fmt::print(stderr, "notes: {}\n", error.what());
        return 1;
    }
}
