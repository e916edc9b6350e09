// Time: arming, cancelling and firing timers, and what a sleeping task weighs.
#include <benchmark/benchmark.h>

#include <asyncio.hpp>
#include <vector>

#include "micro/bench.hpp"

namespace {

using asyncio::Coroutine;
using asyncio::Task;
using benchmark::State;
using std::chrono::seconds;

template <Coroutine<void> (*body)(State&)>
void in_task(State& state) {
    asyncio::run(body(state));
}

Coroutine<void> arm_and_cancel(State& state) {
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    for (auto _ : state) loop.call_later(seconds(10), [] {}).cancel();
    co_return;
}
BENCHMARK(in_task<arm_and_cancel>)->Name("timer/arm_and_cancel");

Coroutine<void> yield_once() {
    co_await asyncio::sleep(0);
}

Coroutine<void> timeout_that_never_fires(State& state) {
    for (auto _ : state) co_await asyncio::wait_for(yield_once(), seconds(10));
}
BENCHMARK(in_task<timeout_that_never_fires>)->Name("timer/wait_for_that_never_fires");

Coroutine<void> sleep_for(std::chrono::microseconds delay) {
    co_await asyncio::sleep(delay);
}

// range(0) tasks that sleep up to a tenth of a second. Read the CPU time.
Coroutine<void> fire(State& state) {
    for (auto _ : state) {
        bench::Delays delays;
        std::vector<Task<void>> tasks;
        for (std::int64_t i = 0; i < state.range(0); ++i) {
            tasks.push_back(
                asyncio::create_task(sleep_for(std::chrono::microseconds(delays.next() / 10))));
        }
        for (auto& task : tasks) co_await task;
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(in_task<fire>)->Name("timer/fire")->Arg(100'000)->Unit(benchmark::kMillisecond);

// range(0) tasks asleep: their memory, handles and timers included.
Coroutine<void> sleepers(State& state) {
    for (auto _ : state) {
        std::vector<Task<void>> tasks;
        const std::int64_t before = bench::resident();
        for (std::int64_t i = 0; i < state.range(0); ++i) {
            tasks.push_back(asyncio::create_task(sleep_for(seconds(3600))));
        }
        co_await asyncio::sleep(0);
        state.counters["bytes_per_task"] =
            static_cast<double>(bench::resident() - before) / static_cast<double>(state.range(0));
        for (auto& task : tasks) task.cancel();
        for (auto& task : tasks) static_cast<void>(co_await asyncio::try_(task));
    }
}
// Once: memory that is recycled would not be counted again.
BENCHMARK(in_task<sleepers>)
    ->Name("timer/sleepers")
    ->Arg(1'000'000)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
