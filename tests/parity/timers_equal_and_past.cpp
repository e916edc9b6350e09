// Two timers of one deadline run in the order they were made (about more, CPython promises
// nothing), past deadlines in their own order; neither runs inline nor before what is ready
// already (rules 4, 5, 6).
#include "scenario.hpp"

void make_timer(EventLoop* loop) {
    loop->call_later(-1s, trace, "made by a callback");
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");

    auto when = loop.time() + 20ms;
    loop.call_at(when, trace, "first of two");
    loop.call_at(when, trace, "second of two");
    co_await asyncio::sleep(100ms);
    trace("the two were together");
    co_await asyncio::sleep(30ms);

    // Zero delays are timers: behind callbacks made later.
    loop.call_later(0s, trace, "zero");
    loop.call_soon(trace, "soon");
    loop.call_later(-1s, trace, "one second ago");
    loop.call_later(-2s, trace, "two seconds ago");
    trace("made");
    co_await asyncio::sleep(0);
    trace("program");
    co_await asyncio::sleep(0);

    // One made by a callback in the same iteration waits for the next.
    loop.call_soon(make_timer, &loop);
    loop.call_soon(trace, "the callback after it");
    co_await asyncio::sleep(0);
    trace("program");
    co_await asyncio::sleep(0);
    trace("end");

    // A cancelled timer between two others, and one cancelled by the one before it.
    loop.call_later(1ms, trace, "before");
    auto gone = loop.call_later(2ms, trace, "never");
    auto victim = loop.call_later(4ms, trace, "never");
    loop.call_later(3ms, [victim] { victim.cancel(); });
    loop.call_later(5ms, trace, "after");
    gone.cancel();
    block(30ms);
    co_await asyncio::sleep(0);
    trace("program");
    co_await asyncio::sleep(0);
    trace("end");
}

int main() {
    asyncio::run(program());
}
