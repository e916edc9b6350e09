// The page's sections "awaitable" and "asyncio methods".
#include "sections.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <asyncio.hpp>
#include <chrono>
#include <concurrent/futures.hpp>
#include <string>
#include <tuple>

using namespace std::chrono_literals;

namespace {

// What the page leaves open: an awaitable that has a result after a while.
asyncio::Coroutine<int> some_awaitable(int number) {
    co_await asyncio::sleep(1ms);
    co_return number;
}
asyncio::Coroutine<int> awaitable1() {
    return some_awaitable(1);
}
asyncio::Coroutine<int> awaitable2() {
    return some_awaitable(2);
}
asyncio::Coroutine<int> some_awaitable() {
    return some_awaitable(3);
}

namespace running_concurrently {

// [gather]
asyncio::Coroutine<int> task1() {
    int result = co_await awaitable1();
    co_return result;
}

asyncio::Coroutine<int> task2() {
    int result = co_await awaitable2();
    co_return result;
}

asyncio::Coroutine<std::tuple<int, int>> program() {
    auto results = co_await asyncio::gather(task1(), task2());
    co_return results;
}
// [/gather]

}  // namespace running_concurrently

namespace coroutines {

// [coroutine]
asyncio::Coroutine<int> foo() {
    int result = co_await some_awaitable();
    co_return result;
}
// [/coroutine]

}  // namespace coroutines

namespace tasks {

// [task]
asyncio::Coroutine<int> foo() {
    asyncio::Task<int> task = asyncio::create_task(some_awaitable());
    int result = co_await task;
    co_return result;
}
// [/task]

}  // namespace tasks

namespace futures {

// [future]
concurrent::futures::ThreadPoolExecutor pool(4);

int foo() {
    return 4;
}

asyncio::Coroutine<int> program() {
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    int result = co_await loop.run_in_executor(pool, foo);
    co_return result;
}
// [/future]

}  // namespace futures

constexpr auto delay = 1ms;

std::string func(int a, int b) {
    return fmt::format("func({}, {})", a, b);
}

// [loops]
asyncio::Coroutine<bool> one_loop() {
    asyncio::EventLoop& running = asyncio::get_running_loop();
    asyncio::EventLoop& current = asyncio::get_event_loop();
    co_return &running == &current;
}
// [/loops]

// [high_level]
asyncio::Coroutine<std::string> coro() {
    co_await asyncio::sleep(delay);
    auto [a, b] = co_await asyncio::gather(awaitable1(), awaitable2());
    co_return co_await asyncio::to_thread(func, a, b);  // runs func in a separate thread
}
// [/high_level]

}  // namespace

void awaitables() {
    // [gather_run]
    auto results = asyncio::run(running_concurrently::program());
    // [/gather_run]
    fmt::print("gather: {}\n", results);
    fmt::print("coroutine: {}\n", asyncio::run(coroutines::foo()));
    fmt::print("task: {}\n", asyncio::run(tasks::foo()));
    fmt::print("future: {}\n", asyncio::run(futures::program()));
}

void high_level_methods() {
    // [run]
    std::string result = asyncio::run(coro());  // makes a loop, runs coro() in it, closes it
    // [/run]
    fmt::print("run: {}\n", result);
    fmt::print("one loop: {}\n", asyncio::run(one_loop()));
}

void low_level_methods() {
    // [low_level]
    asyncio::EventLoop& loop = asyncio::get_event_loop();
    struct Finally {
        asyncio::EventLoop& loop;
        ~Finally() { loop.close(); }
    } finally{loop};
    std::string result = loop.run_until_complete(coro());
    // [/low_level]
    fmt::print("run_until_complete: {}\n", result);
}
