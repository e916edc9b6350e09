// KeyboardInterrupt and SystemExit leave the run call at once, from callbacks and from tasks;
// what was ready stays for the next run (rule 13).
#include "scenario.hpp"

void interrupt() {
    trace("interrupts");
    throw asyncio::KeyboardInterrupt("callback");
}

Coroutine<void> exiting(int code) {
    trace("task starts");
    co_await asyncio::sleep(0);
    trace("task exits");
    throw asyncio::SystemExit(code);
}

Coroutine<void> waiting(Task<void> task) {
    try {
        co_await task;
    } catch (const asyncio::SystemExit& error) {
        trace("waiter sees", error);
        throw;
    }
}

template <class F>
void run(EventLoop& loop, F function) {
    try {
        if constexpr (std::is_void_v<decltype(function())>) {
            function();
            trace("ran", "None");
        } else {
            trace("ran", function());
        }
    } catch (const asyncio::BaseException& error) {
        trace("left with", error, "running", loop.is_running(), "closed", loop.is_closed());
    }
}

int main() {
    auto owned = asyncio::new_event_loop();
    EventLoop& loop = *owned;
    listen(loop);
    trace("not running");
    loop.call_soon(trace, "before");
    loop.call_soon(interrupt);
    loop.call_soon(trace, "after");
    run(loop, [&] { loop.run_forever(); });
    loop.call_soon([&] { loop.stop(); });
    run(loop, [&] { loop.run_forever(); });

    // The task itself is run.
    auto task = loop.create_task(exiting(3));
    loop.call_soon(trace, "callback");
    run(loop, [&] { loop.run_until_complete(task); });
    trace(describe(task));

    // A task on the side.
    auto side = loop.create_task(exiting(4));
    auto main = loop.create_task(asyncio::sleep(20ms, "slept"));
    run(loop, [&] { return loop.run_until_complete(main); });
    trace("side", describe(side), "main", describe(main));
    run(loop, [&] { return loop.run_until_complete(main); });

    // Who awaits it gets it too, and the loop stops a second time.
    side = loop.create_task(exiting(5));
    auto waiter = loop.create_task(waiting(side));
    run(loop, [&] { loop.run_until_complete(waiter); });
    trace("side", describe(side), "waiter", describe(waiter));
    run(loop, [&] { loop.run_until_complete(waiter); });
    trace("side", describe(side), "waiter", describe(waiter));
    run(loop, [&] { return loop.run_until_complete(asyncio::sleep(0s, "still usable")); });
    loop.close();
}
