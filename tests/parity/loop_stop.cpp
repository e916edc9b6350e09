// stop() lets the iteration in progress finish; before a run it gives exactly one; what is
// left over survives for the next run (rules 8, 9, 13).
#include "scenario.hpp"

void again(EventLoop* loop, std::string name, int times) {
    trace(name, times);
    if (times > 1) {
        loop->call_soon(again, loop, name, times - 1);
    }
}

void stop(EventLoop* loop) {
    trace("stop");
    loop->stop();
    loop->call_soon(trace, "scheduled behind stop");
}

Coroutine<std::string> child() {
    trace("child starts");
    co_await asyncio::sleep(0);
    trace("child goes on");
    co_await asyncio::sleep(0);
    trace("child ends");
    co_return "result";
}

Coroutine<void> stopping(EventLoop* loop) {
    trace("stopping");
    loop->stop();
    co_await asyncio::sleep(0);
    trace("never in this run");
}

int main() {
    auto loop = asyncio::new_event_loop();
    trace("not running");
    loop->call_soon(trace, "first callback");
    loop->call_soon(again, loop.get(), "before", 1);
    loop->call_soon(stop, loop.get());
    loop->call_soon(again, loop.get(), "after", 3);
    loop->run_forever();
    trace("stopped", loop->is_running(), loop->is_closed());

    loop->stop();
    loop->run_forever();
    trace("one iteration");
    loop->stop();
    loop->run_forever();
    trace("another one");

    auto task = loop->create_task(child());
    loop->stop();
    loop->run_forever();
    trace("the child is", describe(task));
    trace(loop->run_until_complete(task));
    trace("and again", loop->run_until_complete(task));

    // stop() inside run_until_complete(): an error, and the task goes on in the next run.
    auto stopper = loop->create_task(stopping(loop.get()));
    try {
        loop->run_until_complete(stopper);
    } catch (const asyncio::RuntimeError& error) {
        trace(error, describe(stopper));
    }
    loop->run_until_complete(stopper);
    trace(describe(stopper));
    loop->close();
    trace("closed", loop->is_closed());
}
