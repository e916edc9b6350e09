// The page's headings "asynchronous iterator, asynchronous generator" and "queue", under which
// it leaves the code to the reader.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <asyncio.hpp>
#include <chrono>
#include <optional>
#include <vector>

#include "progress.hpp"
#include "sections.hpp"

using namespace std::chrono_literals;

namespace {

constexpr auto delay = 1ms;

// [iterator]
class Countdown {
  public:
    explicit Countdown(int start) : left(start) {}

    asyncio::Coroutine<std::optional<int>> anext() {
        if (left == 0) co_return std::nullopt;
        co_await asyncio::sleep(delay);
        co_return left--;
    }

  private:
    int left;
};
// [/iterator]

// [generator]
asyncio::AsyncGenerator<int> ticker(int to) {
    for (int i : range(to)) {
        co_await asyncio::sleep(delay);
        co_yield i;
    }
}
// [/generator]

// [async_for]
asyncio::Coroutine<std::vector<int>> iterate() {
    std::vector<int> seen;
    Countdown countdown(3);
    while (auto i = co_await asyncio::anext(countdown)) {
        seen.push_back(*i);
    }
    auto ticks = ticker(3);
    while (auto i = co_await asyncio::anext(ticks)) {
        seen.push_back(*i);
    }
    co_return seen;
}
// [/async_for]

// [comprehension]
asyncio::Coroutine<std::vector<int>> squares() {
    co_return co_await asyncio::to_vector(asyncio::amap([](int i) { return i * i; }, ticker(4)));
}
// [/comprehension]

// [aclosing]
asyncio::Coroutine<int> first_above(int limit) {
    auto ticks = ticker(1000);
    co_return co_await asyncio::with(asyncio::aclosing(ticks), [&]() -> asyncio::Coroutine<int> {
        while (auto i = co_await asyncio::anext(ticks)) {
            if (*i > limit) co_return *i;
        }
        co_return -1;
    });  // the generator has cleaned up here
}
// [/aclosing]

// [worker]
asyncio::Coroutine<void> worker(asyncio::Queue<int>& queue, std::vector<int>& results) {
    for (;;) {
        int number = co_await queue.get();
        co_await asyncio::sleep(delay);
        results.push_back(number * number);
        queue.task_done();
    }
}
// [/worker]

// [queue]
asyncio::Coroutine<std::vector<int>> produce() {
    asyncio::Queue<int> queue(4);
    std::vector<int> results;
    std::vector<asyncio::Task<void>> workers;
    for ([[maybe_unused]] int i : range(3)) {
        workers.push_back(asyncio::create_task(worker(queue, results)));
    }
    for (int number : range(10)) {
        co_await queue.put(number);  // waits while the queue is full
    }
    co_await queue.join();  // until task_done() was called for each
    for (auto& task : workers) task.cancel();
    co_await asyncio::gather(asyncio::return_exceptions, workers);
    std::ranges::sort(results);
    co_return results;
}
// [/queue]

// [shutdown]
asyncio::Coroutine<int> sum_until_shutdown(asyncio::Queue<int>& queue) {
    int sum = 0;
    while (auto number = co_await queue.next()) sum += *number;
    co_return sum;
}

asyncio::Coroutine<int> produce_and_shut_down() {
    asyncio::Queue<int> queue;
    auto sum = asyncio::create_task(sum_until_shutdown(queue));
    for (int number : range(10)) co_await queue.put(number);
    queue.shutdown();
    co_return co_await sum;
}
// [/shutdown]

}  // namespace

void asynchronous_iteration() {
    fmt::print("async for: {}\n", asyncio::run(iterate()));
    fmt::print("comprehension: {}\n", asyncio::run(squares()));
    fmt::print("aclosing: {}\n", asyncio::run(first_above(2)));
}

void queues() {
    fmt::print("queue: {}\n", asyncio::run(produce()));
    fmt::print("shutdown: {}\n", asyncio::run(produce_and_shut_down()));
}
