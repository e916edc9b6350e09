// Tasks start in the order they were made, after what was ready before; nothing of them runs
// inside create_task() (rules 21, 22, 31).
#include "scenario.hpp"

Coroutine<std::string> child(std::string name) {
    trace(name, "starts");
    co_return name;
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    loop.call_soon(trace, "callback 1");
    auto a = asyncio::create_task(child("a"));
    loop.call_soon(trace, "callback 2");
    auto b = asyncio::create_task(child("b"));
    auto c = asyncio::ensure_future(child("c"));
    trace("all made");

    // The last first: it is done when the program wakes, and so are the others.
    co_await report("c", c);
    co_await report("b", b);
    co_await report("a", a);

    // Awaiting a coroutine takes no turn; awaiting a task takes two.
    co_await report("plain coroutine", child("d"));
    co_await report("task", asyncio::create_task(child("e")));
}

int main() {
    asyncio::run(program());
}
