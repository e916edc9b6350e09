// To a process pool and back.
#include <benchmark/benchmark.h>

#include <asyncio.hpp>
#include <concurrent/futures.hpp>
#include <string>
#include <vector>

namespace {

using asyncio::Coroutine;
using benchmark::State;
using concurrent::futures::ProcessPoolExecutor;

template <Coroutine<void> (*body)(State&)>
void in_task(State& state) {
    asyncio::run(body(state));
}

int increment(int x) {
    return x + 1;
}
std::size_t length(const std::string& bytes) {
    return bytes.size();
}

template <class F, class Argument>
Coroutine<void> round_trip(State& state, F function, Argument argument) {
    ProcessPoolExecutor pool(1);
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    static_cast<void>(co_await loop.run_in_executor(pool, function, argument));  // starts it
    for (auto _ : state) {
        benchmark::DoNotOptimize(co_await loop.run_in_executor(pool, function, argument));
    }
}

Coroutine<void> integer(State& state) {
    return round_trip(state, increment, 1);
}
BENCHMARK(in_task<integer>)->Name("process/int")->UseRealTime();

Coroutine<void> mebibyte(State& state) {
    return round_trip(state, length, std::string(1 << 20, 'x'));
}
BENCHMARK(in_task<mebibyte>)->Name("process/1_MiB")->UseRealTime();

Coroutine<void> many(State& state) {
    ProcessPoolExecutor pool(2);
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    for (auto _ : state) {
        std::vector<asyncio::Future<int>> answers;
        for (int i = 0; i < static_cast<int>(state.range(0)); ++i) {
            answers.push_back(loop.run_in_executor(pool, increment, i));
        }
        benchmark::DoNotOptimize(co_await asyncio::gather(answers));
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(in_task<many>)
    ->Name("process/in_flight")
    ->Arg(1000)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
