// Callbacks run in the order they were scheduled; what they schedule waits for the next
// iteration; cancelled ones never run; one that fails stops nobody (rules 1, 12).
#include "scenario.hpp"

void nested(EventLoop* loop, const char* name, int depth) {
    trace(name, depth);
    if (depth > 0) {
        loop->call_soon(nested, loop, name, depth - 1);
    }
}

void fail() {
    trace("fails");
    throw asyncio::ValueError("callback");
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    listen(loop);

    loop.call_soon(nested, &loop, "a", 2);
    loop.call_soon(nested, &loop, "b", 1);
    auto cancelled = loop.call_soon(trace, "never");
    loop.call_soon(fail);
    loop.call_soon(nested, &loop, "c", 0);
    cancelled.cancel();
    trace("cancelled:", cancelled.cancelled());
    co_await asyncio::sleep(0);
    trace("program goes on");
    co_await asyncio::sleep(0);
    trace("and again");

    // A callback cancels another one that is ready already, in the same iteration.
    Future<asyncio::Handle> victim;
    loop.call_soon([victim] { victim.result().cancel(); });
    victim.set_result(loop.call_soon(trace, "never"));
    loop.call_soon(trace, "after the victim");
    co_await asyncio::sleep(0);
    co_await asyncio::sleep(0);
    trace("end");
}

int main() {
    asyncio::run(program());
}
