// What one loop carries at once, n of each: benchmarks/run scale.
//
// Few are done again and again, so that the clock has something to measure.
#include <asyncio.hpp>
#include <chrono>
#include <cstdint>
#include <vector>

#include "../micro/bench.hpp"

namespace {

using namespace std::chrono;
using asyncio::Coroutine;
using asyncio::Task;

constexpr std::uint64_t least_operations = 100'000;

std::uint64_t rounds_of(const bench::Run& run) {
    return std::max<std::uint64_t>(1, least_operations / run.n);
}

Coroutine<int> child() {
    co_return 1;
}

Coroutine<void> sleep_for_an_hour() {
    co_await asyncio::sleep(hours(1));
}

// n tasks spawned, then joined.
Coroutine<void> tasks(bench::Run& run) {
    std::vector<Task<int>> tasks;
    tasks.reserve(run.n);
    int sum = 0;
    run.start();
    for (std::uint64_t round = 0; round < rounds_of(run); ++round) {
        for (std::uint64_t i = 0; i < run.n; ++i) tasks.push_back(asyncio::create_task(child()));
        for (const auto& task : tasks) sum += co_await task;
        tasks.clear();
    }
    run.stop(run.n * rounds_of(run));
    bench::keep(sum);
}

// n tasks asleep; then all of them cancelled and joined, as at the end of a program.
Coroutine<void> sleepers(bench::Run& run) {
    std::vector<Task<void>> tasks;
    tasks.reserve(run.n);
    std::int64_t cancelling = 0;
    const std::int64_t before = bench::resident();
    std::int64_t taken = 0;
    run.start();
    for (std::uint64_t round = 0; round < rounds_of(run); ++round) {
        for (std::uint64_t i = 0; i < run.n; ++i) {
            tasks.push_back(asyncio::create_task(sleep_for_an_hour()));
        }
        co_await asyncio::sleep(0);
        if (round == 0) taken = bench::resident() - before;
        cancelling -= bench::nanoseconds();
        for (auto& task : tasks) task.cancel();
        co_await asyncio::wait(tasks);
        cancelling += bench::nanoseconds();
        tasks.clear();
    }
    run.stop(run.n * rounds_of(run));
    run.figure("cancel_ns",
               static_cast<double>(cancelling) / static_cast<double>(run.n * rounds_of(run)));
    if (run.n >= 10'000) {  // below that, pages are counted and not tasks
        run.figure("bytes", static_cast<double>(taken) / static_cast<double>(run.n));
    }
}

// n timers armed, then cancelled, the last one first: no order helps.
Coroutine<void> timers(bench::Run& run) {
    auto& loop = asyncio::get_running_loop();
    std::vector<asyncio::TimerHandle> timers;
    timers.reserve(run.n);
    bench::Delays delays;
    std::int64_t cancelling = 0;
    run.start();
    for (std::uint64_t round = 0; round < rounds_of(run); ++round) {
        for (std::uint64_t i = 0; i < run.n; ++i) {
            timers.push_back(loop.call_later(seconds(10) + microseconds(delays.next()), [] {}));
        }
        cancelling -= bench::nanoseconds();
        for (; !timers.empty(); timers.pop_back()) timers.back().cancel();
        co_await asyncio::sleep(0);
        cancelling += bench::nanoseconds();
    }
    run.stop(run.n * rounds_of(run));
    run.figure("cancel_ns",
               static_cast<double>(cancelling) / static_cast<double>(run.n * rounds_of(run)));
}

// n children in one group.
Coroutine<void> group(bench::Run& run) {
    run.start();
    for (std::uint64_t round = 0; round < rounds_of(run); ++round) {
        co_await asyncio::with(asyncio::TaskGroup(),
                               [&](asyncio::TaskGroup& group) -> Coroutine<void> {
                                   for (std::uint64_t i = 0; i < run.n; ++i) {
                                       group.create_task(child());
                                   }
                                   co_return;
                               });
    }
    run.stop(run.n * rounds_of(run));
}

Coroutine<void> fail() {
    throw asyncio::RuntimeError("one of many");
    co_return;
}

// n children asleep in one group that fails: all of them are cancelled.
Coroutine<void> group_fails(bench::Run& run) {
    run.start();
    for (std::uint64_t round = 0; round < rounds_of(run); ++round) {
        static_cast<void>(co_await asyncio::try_(
            asyncio::with(asyncio::TaskGroup(), [&](asyncio::TaskGroup& group) -> Coroutine<void> {
                for (std::uint64_t i = 0; i < run.n; ++i) group.create_task(sleep_for_an_hour());
                group.create_task(fail());
                co_return;
            })));
    }
    run.stop(run.n * rounds_of(run));
}

template <Coroutine<void> (*body)(bench::Run&)>
void in_task(bench::Run& run) {
    asyncio::run(body(run));
}

}  // namespace

int main(int argc, char** argv) {
    return bench::run("asyncio.cpp", argc, argv,
                      {{"tasks", in_task<tasks>},
                       {"sleepers", in_task<sleepers>},
                       {"timers", in_task<timers>},
                       {"group", in_task<group>},
                       {"group_fails", in_task<group_fails>}});
}
