// Children that are done already cost gather() no iteration.
#include "scenario.hpp"

Coroutine<std::string> child(std::string name) {
    co_return name;
}

Coroutine<std::string> failing() {
    throw asyncio::ValueError("early");
    co_return "";
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto future = loop.create_future<std::string>();
    future.set_result("future");
    auto task = asyncio::create_task(child("task"));
    co_await task;
    loop.call_soon(trace, "callback");

    auto together = asyncio::gather(task, future);
    trace("all done:", describe(together));
    trace(co_await together);

    auto mixed = asyncio::gather(task, asyncio::create_task(child("new")), future);
    trace("one is not:", describe(mixed));
    trace(co_await mixed);

    auto error = asyncio::create_task(failing());
    co_await report("failing", error);
    auto broken = asyncio::gather(task, error, future);
    trace("one failed:", describe(broken));
    co_await report("broken", broken);
    auto outcomes = asyncio::gather(asyncio::return_exceptions, task, error);
    trace("one failed:", describe(outcomes));
    trace(co_await outcomes);

    auto cancelled = loop.create_future<std::string>();
    cancelled.cancel("gone");
    together = asyncio::gather(future, cancelled);
    trace("cancelled:", together.done(), together.cancelled());
    co_await report("broken", together);
}

int main() {
    asyncio::run(program());
}
