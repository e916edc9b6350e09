// A task that cancels itself goes on until an await really suspends; what is ready is passed
// through; one that returns first ends cancelled all the same (rules 35, 36).
#include "scenario.hpp"

Coroutine<std::string> immediate(std::string value) {
    co_return value;
}

Coroutine<void> suspending(std::string how) {
    EventLoop& loop = asyncio::get_running_loop();
    auto me = asyncio::current_task();
    trace(how, "cancels itself", me.cancel("self " + how), me.cancelling());
    auto future = loop.create_future<std::string>();
    future.set_result("done");
    trace("passes a done future", co_await future);
    trace("passes a coroutine", co_await immediate("value"));
    auto pending = loop.create_future();
    try {
        if (how == "future") {
            co_await pending;
        } else if (how == "yield") {
            co_await asyncio::sleep(0);
        } else if (how == "sleep") {
            co_await asyncio::sleep(10s);
        } else if (how == "task") {
            co_await asyncio::create_task(asyncio::sleep(10s));
        } else if (how == "gather") {
            co_await asyncio::gather(pending, asyncio::sleep(10s));
        }
        trace("never");
    } catch (const asyncio::CancelledError& error) {
        trace(how, "gets", error, "the future is", describe(pending));
        throw;
    }
}

Coroutine<std::string> returning() {
    asyncio::current_task().cancel("at the end");
    co_return "lost";
}

Coroutine<void> failing() {
    asyncio::current_task().cancel();
    throw asyncio::ValueError("kept");
    co_return;
}

Coroutine<std::tuple<std::string, unsigned>> catching() {
    asyncio::current_task().cancel();
    try {
        co_await asyncio::sleep(0);
    } catch (const asyncio::CancelledError&) {
        trace("caught");
    }
    // Delivered once.
    co_await asyncio::sleep(0);
    trace("goes on");
    co_return std::tuple("kept", asyncio::current_task().cancelling());
}

Coroutine<void> program() {
    trace("begins");
    for (const char* how : {"future", "yield", "sleep", "task", "gather"}) {
        auto task = asyncio::create_task(suspending(how));
        co_await report(how, task);
        trace(describe(task));
    }
    co_await report("returning", asyncio::create_task(returning()));
    co_await report("failing", asyncio::create_task(failing()));
    co_await report("catching", asyncio::create_task(catching()));
}

int main() {
    asyncio::run(program());
}
