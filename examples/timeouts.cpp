// The programs of docs/howto/timeouts.md.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <asyncio.hpp>
#include <asyncio/testing.hpp>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using asyncio::Coroutine;
using asyncio::Timeout;

namespace {

// Answers at once, unless it is asked for a "slow" one.
Coroutine<std::string> fetch(std::string what) {
    if (what == "slow") co_await asyncio::sleep(1h);
    co_return what;
}

// [wait_for]
Coroutine<std::string> fetch_in_time(std::string what) {
    try {
        co_return co_await asyncio::wait_for(fetch(what), 5s);
    } catch (const asyncio::TimeoutError&) {
        co_return "too late";
    }
}
// [/wait_for]

// [timeout]
Coroutine<std::vector<std::string>> fetch_all(std::vector<std::string> names) {
    std::vector<std::string> pages;
    co_await asyncio::with(asyncio::timeout(5s), [&]() -> Coroutine<void> {
        for (const auto& name : names) pages.push_back(co_await fetch(name));
    });
    co_return pages;
}
// [/timeout]

// [each]
Coroutine<std::vector<std::string>> fetch_each(std::vector<std::string> names) {
    std::vector<std::string> pages;
    for (const auto& name : names) pages.push_back(co_await fetch_in_time(name));
    co_return pages;
}
// [/each]

// [timeout_at]
Coroutine<std::string> log_in_and_fetch(std::string user, std::string what) {
    const auto deadline = asyncio::get_running_loop().time() + 5s;
    std::string session = co_await asyncio::with(asyncio::timeout_at(deadline),
                                                 [&] { return fetch("session of " + user); });
    fmt::print("{}\n", session);
    co_return co_await asyncio::with(asyncio::timeout_at(deadline), [&] { return fetch(what); });
}
// [/timeout_at]

// [reschedule]
Coroutine<int> read_lines(asyncio::StreamReader reader) {
    int lines = 0;
    co_await asyncio::with(asyncio::timeout(10s), [&](Timeout& idle) -> Coroutine<void> {
        while (auto line = co_await asyncio::anext(reader)) {
            ++lines;
            idle.reschedule(asyncio::get_running_loop().time() + 10s);
        }
    });
    co_return lines;
}
// [/reschedule]

// [expired]
Coroutine<std::string> best_so_far(std::vector<std::string> names) {
    std::string best;
    Timeout limit = asyncio::timeout(5s);
    auto ended = co_await asyncio::try_(asyncio::with(limit, [&]() -> Coroutine<void> {
        for (const auto& name : names) best = co_await fetch(name);
    }));
    if (!ended && !limit.expired()) ended.value();  // another error, or a cancellation
    co_return best;
}
// [/expired]

// [shield]
Coroutine<std::string> save(std::string what) {
    co_await asyncio::sleep(10s);
    co_return "saved " + what;
}

Coroutine<std::string> save_patiently(std::string what) {
    auto saving = asyncio::create_task(save(what));
    try {
        co_return co_await asyncio::wait_for(asyncio::shield(saving), 1s);
    } catch (const asyncio::TimeoutError&) {
        fmt::print("this takes a while\n");
    }
    co_return co_await saving;
}
// [/shield]

template <class T>
Coroutine<void> show_if_late(Coroutine<T> work) {
    try {
        co_await std::move(work);
    } catch (const asyncio::TimeoutError&) {
        fmt::print("too late\n");
    }
}

Coroutine<void> program() {
    fmt::print("{}, {}\n", co_await fetch_in_time("quick"), co_await fetch_in_time("slow"));
    fmt::print("{} in time\n", (co_await fetch_all({"one", "two"})).size());
    co_await show_if_late(fetch_all({"one", "slow", "three"}));
    fmt::print("{}\n", fmt::join(co_await fetch_each({"one", "slow", "three"}), ", "));
    co_await show_if_late(log_in_and_fetch("ann", "slow"));
    fmt::print("best: {}\n", co_await best_so_far({"one", "two", "slow"}));
    fmt::print("{}\n", co_await save_patiently("the page"));

    asyncio::StreamReader reader;
    auto reading = asyncio::create_task(read_lines(reader));
    for (int i = 0; i < 5; ++i) {  // longer than the limit, all in all
        reader.feed_data("line\n");
        co_await asyncio::sleep(8s);
    }
    reader.feed_eof();
    fmt::print("{} lines\n", co_await reading);
    co_await show_if_late(read_lines(asyncio::StreamReader()));
}

}  // namespace

// In virtual time: what takes a minute here is over at once, and nothing is late by chance.
int main() {
    asyncio::testing::SimLoop sim;
    sim.run_until_complete(program());
}
