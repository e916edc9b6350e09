// A task cancelled before its first step executes no statement of its body (rules 31, 33,
// 40).
#include "scenario.hpp"

Coroutine<void> child(std::string name) {
    trace(name, "must not run");
    co_return;
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto a = asyncio::create_task(child("a"));
    a.add_done_callback([](const auto& a) { trace("callback", describe(a)); });
    trace("cancel", a.cancel("early"), describe(a), a.cancelling());
    loop.call_soon(trace, "callback behind");
    co_await asyncio::sleep(0);
    trace("program", describe(a));
    co_await report("a", a);

    // By a callback between its making and its start.
    auto b = asyncio::create_task(child("b"));
    trace("cancel twice", b.cancel("first"), b.cancel("second"), b.cancelling());
    co_await report("b", b);
    trace("again", b.cancel(), b.cancelling());
}

int main() {
    asyncio::run(program());
}
