// An error behind a shield that finds nobody any more is told to the exception handler, once
// however many shields there were (rule 70).
#include "scenario.hpp"

Coroutine<std::string> work(std::string name, int yields) {
    try {
        for (int i = 0; i < yields; ++i) {
            co_await asyncio::sleep(0);
        }
    } catch (const asyncio::CancelledError& error) {
        trace(name, "sees", error);
        throw;
    }
    trace(name, "ends");
    if (name == "bad") {
        throw asyncio::ValueError(name);
    }
    co_return name;
}

Coroutine<void> waiting(Task<std::string> awaitable) {
    try {
        trace("waiter has", co_await asyncio::shield(awaitable));
    } catch (const asyncio::CancelledError& error) {
        trace("waiter sees", error);
        throw;
    }
}

Coroutine<void> program() {
    listen(asyncio::get_running_loop());
    trace("begins");
    auto inner = asyncio::create_task(work("bad", 3));
    auto first = asyncio::create_task(waiting(inner));
    auto second = asyncio::create_task(waiting(inner));
    co_await asyncio::sleep(0);
    co_await asyncio::sleep(0);
    first.cancel();
    second.cancel();
    co_await asyncio::wait({first, second});
    co_await asyncio::wait({inner});
    co_await asyncio::sleep(0);
    trace("inner is", describe(inner));

    // A result is nobody's loss.
    inner = asyncio::create_task(work("good", 2));
    first = asyncio::create_task(waiting(inner));
    co_await asyncio::sleep(0);
    first.cancel();
    co_await asyncio::wait(std::vector<asyncio::AnyTask>{first, inner});
    trace("inner is", describe(inner));
}

int main() {
    asyncio::run(program());
}
