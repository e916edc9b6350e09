// cancel() reaches down to what is awaited in the end, and the error comes back up one link
// each iteration (rules 22, 32).
#include "scenario.hpp"

Coroutine<void> link(int depth, Future<void> future) {
    trace("link", depth, "starts");
    try {
        if (depth > 0) {
            co_await asyncio::create_task(link(depth - 1, future));
        } else {
            co_await future;
        }
    } catch (const asyncio::CancelledError& error) {
        trace("link", depth, "sees", error, asyncio::current_task().cancelling());
        trace("link", depth, "leaves");
        throw;
    }
}

Coroutine<std::string> refusing(Future<void> future) {
    try {
        co_await future;
    } catch (const asyncio::CancelledError&) {
        trace("refused");
    }
    co_return "a value after all";
}

Coroutine<std::string> outer(Task<std::string> task) {
    trace("outer gets", co_await task);
    co_await asyncio::sleep(0);
    co_return "outer was never cancelled";
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto future = loop.create_future();
    auto chain = asyncio::create_task(link(3, future));
    for (int i = 0; i < 5; ++i) {
        co_await asyncio::sleep(0);
    }
    trace("cancel", chain.cancel("from the top"), describe(future), describe(chain));
    loop.call_soon(trace, "callback");
    co_await report("task", chain);

    // The bottom refuses: nothing comes up but its value.
    auto inner = asyncio::create_task(refusing(loop.create_future()));
    auto task = asyncio::create_task(outer(inner));
    co_await asyncio::sleep(0);
    co_await asyncio::sleep(0);
    trace("cancel", task.cancel());
    co_await report("task", task);
    trace(describe(inner), task.cancelling(), inner.cancelling());
}

int main() {
    asyncio::run(program());
}
