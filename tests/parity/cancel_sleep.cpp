// A cancelled sleep wakes in the next iteration and leaves no timer; one whose timer came due
// in this very iteration is cancelled all the same (rules 34, 46).
#include "scenario.hpp"

Coroutine<std::string> sleeper(std::string name, std::chrono::milliseconds delay) {
    trace(name, "sleeps");
    try {
        co_await asyncio::sleep(delay);
        trace(name, "slept");
    } catch (const asyncio::CancelledError& error) {
        trace(name, "sees", error);
        throw;
    }
    co_return name;
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto a = asyncio::create_task(sleeper("a", 10s));
    co_await asyncio::sleep(0);
    loop.call_soon(trace, "scheduled before");
    trace("cancel", a.cancel("a"));
    loop.call_soon(trace, "scheduled after");
    co_await report("a", a);

    // A callback cancels it in the iteration in which its timer is due: before the timer's
    // turn, and after it.
    auto b = asyncio::create_task(sleeper("b", 10ms));
    co_await asyncio::sleep(0);
    block(30ms);

    auto cancel_b = [&loop, b] {
        loop.call_soon(trace, "scheduled before");
        trace("cancel", b.cancel("before the timer"), describe(b));
        loop.call_soon(trace, "scheduled after");
    };

    loop.call_soon(cancel_b);
    co_await report("b", b);

    auto c = asyncio::create_task(sleeper("c", 10ms));
    co_await asyncio::sleep(0);

    auto cancel_c = [c] { trace("cancel", c.cancel("after the timer"), describe(c)); };

    loop.call_later(20ms, cancel_c);
    block(40ms);
    co_await report("c", c);

    // Once it woke it is too late for the sleep, but not for what comes next.
    auto d = asyncio::create_task(sleeper("d", 10ms));
    co_await report("d", d);
    trace("cancel", d.cancel());

    // sleep(0) is no timer: the request is delivered when its turn comes.
    auto e = asyncio::create_task(sleeper("e", 0ms));
    co_await asyncio::sleep(0);
    loop.call_soon(trace, "scheduled before");
    trace("cancel", e.cancel("e"));
    loop.call_soon(trace, "scheduled after");
    co_await report("e", e);
}

int main() {
    asyncio::run(program());
}
