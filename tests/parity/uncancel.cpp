// uncancel() counts down, never below zero; at zero a cancellation that was not delivered yet
// is withdrawn (rules 40, 41).
#include "scenario.hpp"

Coroutine<std::string> child(std::string name) {
    trace(name, "starts");
    co_await asyncio::sleep(0);
    trace(name, "ends");
    co_return name;
}

Coroutine<std::string> counting() {
    auto me = asyncio::current_task();
    trace("cancelling", me.cancelling());
    me.cancel();
    me.cancel();
    trace("cancelling", me.cancelling());
    trace("uncancel", me.uncancel(), me.uncancel(), me.uncancel());
    // Nothing is left to deliver.
    co_await asyncio::sleep(0);
    trace("goes on");
    me.cancel("one");
    me.cancel("two");
    me.uncancel();
    try {
        co_await asyncio::sleep(0);
    } catch (const asyncio::CancelledError& error) {
        trace("one is left:", error, me.cancelling());
    }
    trace("uncancel", me.uncancel());
    co_await asyncio::sleep(0);
    co_return "counted";
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    co_await report("counting", asyncio::create_task(counting()));

    // Before the first step.
    auto a = asyncio::create_task(child("a"));
    a.cancel();
    trace("uncancel", a.uncancel());
    co_await report("a", a);

    // While it waits the future is cancelled at once: uncancel() comes too late.
    auto b = asyncio::create_task(child("b"));
    auto future = loop.create_future();
    auto c = asyncio::create_task(report("c", future));
    co_await asyncio::sleep(0);
    b.cancel();
    c.cancel();
    trace("uncancel", b.uncancel(), c.uncancel(), describe(future));
    co_await report("b", b);
    co_await c;

    // A future that is done keeps the request with the task.
    auto done = loop.create_future<std::string>();
    auto d = asyncio::create_task(report("d", done));
    co_await asyncio::sleep(0);
    done.set_result("value");
    d.cancel();
    trace("uncancel", d.uncancel());
    co_await d;
}

int main() {
    asyncio::run(program());
}
