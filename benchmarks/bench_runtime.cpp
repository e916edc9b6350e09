// Coroutines, tasks, futures and callbacks: what one operation of the runtime costs.
// Each benchmark runs inside one task; the loop over `state` is the measured part.
#include <benchmark/benchmark.h>

#include <asyncio.hpp>
#include <cstdint>
#include <vector>

namespace {

using asyncio::Coroutine;
using asyncio::Task;
using benchmark::State;

template <Coroutine<void> (*body)(State&)>
void in_task(State& state) {
    asyncio::run(body(state));
}

[[gnu::noinline]] Coroutine<int> child() {
    co_return 1;
}

Coroutine<void> await_ready(State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(co_await child());
}
BENCHMARK(in_task<await_ready>)->Name("await/ready_coroutine");

Coroutine<int> descend(int depth) {
    if (depth == 0) co_return 0;
    co_return 1 + co_await descend(depth - 1);
}

Coroutine<void> recursion(State& state) {
    const int depth = static_cast<int>(state.range(0));
    for (auto _ : state) benchmark::DoNotOptimize(co_await descend(depth));
    state.SetItemsProcessed(state.iterations() * depth);  // a level is an item
}
BENCHMARK(in_task<recursion>)->Name("await/recursion")->Arg(1000);

asyncio::Generator<int> endless() {
    for (int i = 0;; ++i) co_yield i;
}

asyncio::Generator<int> endless_below(int depth) {
    if (depth > 0) co_yield yield_from(endless_below(depth - 1));
    for (int i = 0;; ++i) co_yield i;
}

void generator(State& state) {
    auto numbers = endless();
    for (auto _ : state) benchmark::DoNotOptimize(numbers.next());
}
BENCHMARK(generator)->Name("generator/item");

// Through range(0) generators that delegate.
void delegating_generator(State& state) {
    auto numbers = endless_below(static_cast<int>(state.range(0)));
    for (auto _ : state) benchmark::DoNotOptimize(numbers.next());
}
BENCHMARK(delegating_generator)->Name("generator/delegated_item")->Arg(1)->Arg(1000);

asyncio::AsyncGenerator<int> endless_async() {
    for (int i = 0;; ++i) co_yield i;
}

Coroutine<void> async_generator(State& state) {
    auto numbers = endless_async();
    for (auto _ : state) benchmark::DoNotOptimize(co_await numbers.anext());
}
BENCHMARK(in_task<async_generator>)->Name("generator/async_item");

Coroutine<void> mapped(State& state) {
    auto numbers = asyncio::amap([](int i) { return i + 1; }, endless_async());
    for (auto _ : state) benchmark::DoNotOptimize(co_await numbers.anext());
}
BENCHMARK(in_task<mapped>)->Name("generator/mapped_item");

Coroutine<void> merged(State& state) {
    auto numbers = asyncio::amerge(endless_async(), endless_async());
    for (auto _ : state) benchmark::DoNotOptimize(co_await numbers.anext());
    co_await numbers.aclose();
}
BENCHMARK(in_task<merged>)->Name("generator/merged_item");

Coroutine<void> spawn_join(State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(co_await asyncio::create_task(child()));
}
BENCHMARK(in_task<spawn_join>)->Name("task/spawn_join");

Coroutine<void> yield_for_ever() {
    for (;;) co_await asyncio::sleep(0);
}

// range(0) tasks in turn, of which one is measured: an iteration is that many switches.
Coroutine<void> switch_tasks(State& state) {
    const std::int64_t count = state.range(0);
    std::vector<Task<void>> others;
    for (std::int64_t i = 1; i < count; ++i) {
        others.push_back(asyncio::create_task(yield_for_ever()));
    }
    for (auto _ : state) co_await asyncio::sleep(0);
    state.SetItemsProcessed(state.iterations() * count);
    for (auto& task : others) task.cancel();
    for (auto& task : others) static_cast<void>(co_await asyncio::try_(task));
}
BENCHMARK(in_task<switch_tasks>)->Name("task/switch")->Arg(1)->Arg(2)->Arg(1000);

// The same in debug mode, which watches every turn.
Coroutine<void> switch_tasks_in_debug_mode(State& state) {
    asyncio::get_running_loop().set_debug(true);
    co_await switch_tasks(state);
}
BENCHMARK(in_task<switch_tasks_in_debug_mode>)->Name("debug/switch")->Arg(1)->Arg(1000);

Coroutine<void> gather(State& state) {
    const auto count = static_cast<std::size_t>(state.range(0));
    for (auto _ : state) {
        std::vector<Coroutine<int>> children;
        children.reserve(count);
        for (std::size_t i = 0; i < count; ++i) children.push_back(child());
        benchmark::DoNotOptimize(co_await asyncio::gather(children));
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(in_task<gather>)->Name("task/gather")->Arg(1000);

Coroutine<void> hand_over(State& state) {
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    for (auto _ : state) {
        const auto future = loop.create_future<int>();
        loop.call_soon([future] { future.set_result(1); });
        benchmark::DoNotOptimize(co_await future);
    }
}
BENCHMARK(in_task<hand_over>)->Name("future/hand_over");

Coroutine<void> sleep_an_hour() {
    co_await asyncio::sleep(std::chrono::hours(1));
}

Coroutine<void> cancel_throwing(State& state) {
    for (auto _ : state) {
        const Task<void> task = asyncio::create_task(sleep_an_hour());
        co_await asyncio::sleep(0);
        task.cancel();
        try {
            co_await task;
        } catch (const asyncio::CancelledError&) {
            continue;
        }
        state.SkipWithError("not cancelled");
    }
}
BENCHMARK(in_task<cancel_throwing>)->Name("cancel/throwing");

Coroutine<void> cancel_outcome(State& state) {
    for (auto _ : state) {
        const Task<void> task = asyncio::create_task(sleep_an_hour());
        co_await asyncio::sleep(0);
        task.cancel();
        benchmark::DoNotOptimize((co_await asyncio::try_(task)).cancelled());
    }
}
BENCHMARK(in_task<cancel_outcome>)->Name("cancel/outcome");

// A callback and the iteration in which it runs.
struct Again {
    asyncio::EventLoop& loop;
    State& state;
    State::StateIterator& at;
    State::StateIterator end;
    void operator()() const {
        if (at != end) {
            ++at;
            loop.call_soon(*this);
        } else {
            loop.stop();
        }
    }
};

void call_soon(State& state) {
    const asyncio::EventLoopPtr loop = asyncio::new_event_loop();
    State::StateIterator at = state.begin();
    loop->call_soon(Again{*loop, state, at, state.end()});
    loop->run_forever();
}
BENCHMARK(call_soon)->Name("callback/call_soon");

}  // namespace
