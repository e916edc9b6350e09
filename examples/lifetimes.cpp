// The programs of docs/howto/lifetimes.md.
#include <fmt/format.h>

#include <asyncio.hpp>
#include <functional>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using asyncio::Coroutine;
using asyncio::Task;

namespace {

// [parameters]
Coroutine<std::string> shout(std::string text) {  // a copy, in the coroutine's own frame
    co_await asyncio::sleep(0);
    co_return text + "!";
}

Coroutine<std::size_t> length(const std::string& text) {  // the caller's
    co_await asyncio::sleep(0);
    co_return text.size();
}

Coroutine<void> at_once_or_later() {
    fmt::print("{}\n", co_await length("lives until the await is over"));
    auto later = shout("kept by the coroutine");
    fmt::print("{}\n", co_await std::move(later));
}
// [/parameters]

// [arguments]
Coroutine<void> add_to(std::vector<int>& numbers, int number) {
    co_await asyncio::sleep(0);
    numbers.push_back(number);
}

Coroutine<void> tasks() {
    std::vector<int> numbers;
    const Task<void> task = asyncio::create_task(add_to, std::ref(numbers), 1);
    const Task<std::size_t> counted = asyncio::create_task(length, "kept by the task");
    co_await task;  // numbers has to live until then
    fmt::print("{} {}\n", numbers.size(), co_await counted);
}
// [/arguments]

// [lambdas]
Coroutine<void> lambdas() {
    const std::string name = "captured";
    // Given as it is: the task keeps it, and with it what it captured.
    const Task<void> task = asyncio::create_task([name]() -> Coroutine<void> {
        co_await asyncio::sleep(0);
        fmt::print("{}\n", name);
    });
    co_await task;
    // Called and awaited in one expression: it lives until that is over.
    co_await [&]() -> Coroutine<void> {
        co_await asyncio::sleep(0);
        fmt::print("{} by reference\n", name);
    }();
}
// [/lambdas]

// [handles]
Coroutine<void> handles() {
    asyncio::Event done;
    {
        const Task<void> forgotten = asyncio::create_task([&done]() -> Coroutine<void> {
            co_await asyncio::sleep(1ms);
            done.set();
        });
    }  // the last handle of the task is gone; the task is not
    co_await done.wait();
    fmt::print("it ran on\n");
}
// [/handles]

}  // namespace

// [main]
int main() {
    try {
        asyncio::run(at_once_or_later());
        asyncio::run(tasks());
        asyncio::run(lambdas());
        asyncio::run(handles());
    } catch (...) {
        fmt::print(stderr, "{}\n", asyncio::format_exception(std::current_exception()));
        return 1;
    }
}
// [/main]
