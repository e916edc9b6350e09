// run_until_complete() of coroutines, tasks and futures: results, errors, and what runs in
// between (rules 9, 10).
#include "scenario.hpp"

Coroutine<std::string> child(std::string name) {
    trace(name, "starts");
    co_await asyncio::sleep(0);
    trace(name, "ends");
    if (name == "bad") {
        throw asyncio::ValueError(name);
    }
    co_return name;
}

Coroutine<void> nested(EventLoop* loop) {
    auto other = asyncio::new_event_loop();
    for (EventLoop* inner : {loop, other.get()}) {
        auto coroutine = child("never");
        try {
            inner->run_until_complete(std::move(coroutine));
        } catch (const asyncio::RuntimeError& error) {
            trace("nested", error);
        }
        coroutine.close();
    }
    other->close();
    // And this loop runs on.
    co_await asyncio::sleep(0);
    trace("nested ends");
}

int main() {
    auto loop = asyncio::new_event_loop();
    listen(*loop);
    trace("not running");
    trace(loop->run_until_complete(child("a")));
    auto task = loop->create_task(child("b"));
    auto other = loop->create_task(child("c"));
    trace(loop->run_until_complete(task));
    trace("b is", describe(task), "with", task.result());
    trace("c is", describe(other));
    loop->run_until_complete(other);

    auto future = loop->create_future<std::string>();
    loop->call_soon([future] { future.set_result("future"); });
    trace(loop->run_until_complete(future), future.result());

    try {
        loop->run_until_complete(child("bad"));
    } catch (const asyncio::ValueError& error) {
        trace("error", error);
    }
    try {
        loop->run_until_complete(loop->create_task(child("bad")));
    } catch (const asyncio::ValueError& error) {
        trace("error", error);
    }

    // The others run on only as long as the loop does.
    auto slow = loop->create_task(child("slow"));
    trace(loop->run_until_complete(asyncio::sleep(0s, "slept")));
    trace("slow is", describe(slow));
    loop->run_until_complete(slow);
    loop->run_until_complete(nested(loop.get()));
    loop->close();
}
