// To other threads and back.
#include <benchmark/benchmark.h>

#include <asyncio.hpp>
#include <atomic>
#include <thread>
#include <vector>

namespace {

using asyncio::Coroutine;
using benchmark::State;

template <Coroutine<void> (*body)(State&)>
void in_task(State& state) {
    asyncio::run(body(state));
}

int one() {
    return 1;
}

void use_threads(int count) {
    asyncio::get_running_loop().set_default_executor(
        std::make_shared<concurrent::futures::ThreadPoolExecutor>(count));
}

Coroutine<void> to_thread(State& state) {
    use_threads(2);
    for (auto _ : state) benchmark::DoNotOptimize(co_await asyncio::to_thread(one));
}
BENCHMARK(in_task<to_thread>)->Name("thread/to_thread")->UseRealTime();

Coroutine<void> many_to_thread(State& state) {
    use_threads(2);
    for (auto _ : state) {
        std::vector<Coroutine<int>> calls;
        for (std::int64_t i = 0; i < state.range(0); ++i) calls.push_back(asyncio::to_thread(one));
        benchmark::DoNotOptimize(co_await asyncio::gather(calls));
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(in_task<many_to_thread>)
    ->Name("thread/to_thread_in_flight")
    ->Arg(10'000)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// Posted as fast as another thread can, in batches of range(0).
void call_soon_threadsafe(State& state) {
    const asyncio::EventLoopPtr loop = asyncio::new_event_loop();
    for (auto _ : state) {
        std::int64_t received = 0;
        std::thread poster([&] {
            for (std::int64_t i = 0; i < state.range(0); ++i) {
                loop->call_soon_threadsafe([&] {
                    if (++received == state.range(0)) loop->stop();
                });
            }
        });
        loop->run_forever();
        poster.join();
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(call_soon_threadsafe)
    ->Name("thread/call_soon_threadsafe")
    ->Arg(100'000)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
