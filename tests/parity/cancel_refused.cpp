// A task may catch the cancellation and go on: it ends normally, and cancelling() stays
// raised; another error in response makes it failed (rules 37, 38).
#include "scenario.hpp"

Coroutine<std::string> swallowing() {
    try {
        co_await asyncio::sleep(10s);
    } catch (const asyncio::CancelledError&) {
        trace("swallowed");
    }
    co_await asyncio::sleep(0);
    trace("goes on", asyncio::current_task().cancelling());
    co_return "result";
}

Coroutine<std::string> replacing() {
    try {
        co_await asyncio::sleep(10s);
    } catch (const asyncio::CancelledError&) {
        throw asyncio::ValueError("in response");
    }
    co_return "";
}

Coroutine<std::string> cleaning() {
    auto cleanup = []() -> Coroutine<void> {
        trace("cleans up");
        co_await asyncio::sleep(0);
        co_await asyncio::sleep(0);
        trace("cleaned up");
    };
    co_await asyncio::finally(asyncio::sleep(10s), cleanup);
    co_return "";
}

Coroutine<std::string> inner_swallows() {
    // Deep down: the layers above see a value.
    std::string value = co_await swallowing();
    trace("one layer up:", value);
    co_return value + " of the inner one";
}

Coroutine<void> cancelled_from_inside() {
    // A CancelledError that nobody asked for ends the task as cancelled.
    throw asyncio::CancelledError("own");
    co_return;
}

Coroutine<void> program() {
    trace("begins");
    for (auto* function : {swallowing, replacing, cleaning, inner_swallows}) {
        auto task = asyncio::create_task(function());
        co_await asyncio::sleep(0);
        trace("cancel", task.cancel(), describe(task));
        co_await report("program", task);
        trace(describe(task), task.cancelling());
    }
    auto task = asyncio::create_task(cancelled_from_inside());
    co_await report("program", task);
    trace(describe(task), task.cancelling());
}

int main() {
    asyncio::run(program());
}
