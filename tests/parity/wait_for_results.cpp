// wait_for() runs a coroutine in the calling task and costs no iteration of its own; a
// timeout of zero starts nothing (rules 51, 52).
#include "scenario.hpp"

Coroutine<std::string> child(std::string name, int yields) {
    trace(name, "runs in", asyncio::current_task());
    for (int i = 0; i < yields; ++i) {
        co_await asyncio::sleep(0);
    }
    trace(name, "ends");
    if (name == "bad") {
        throw asyncio::ValueError(name);
    }
    co_return name;
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    asyncio::current_task().set_name("main");
    trace("begins");
    co_await report("at once", asyncio::wait_for(child("a", 0), 10s));
    co_await report("yields", asyncio::wait_for(child("b", 2), 10s));
    co_await report("no limit", asyncio::wait_for(child("c", 1), std::nullopt));
    co_await report("error", asyncio::wait_for(child("bad", 1), 10s));
    auto task = asyncio::create_task(child("d", 1), {.name = "task d"});
    co_await report("task", asyncio::wait_for(task, 10s));

    // Zero: what is done counts, what has not started never does.
    co_await report("done", asyncio::wait_for(task, 0s));
    co_await report("zero", asyncio::wait_for(child("never", 0), 0s));
    co_await report("negative", asyncio::wait_for(child("never", 0), -1s));
    auto future = loop.create_future();
    co_await report("future", asyncio::wait_for(future, 0s));
    trace("future", describe(future));
    auto running = asyncio::create_task(child("e", 9), {.name = "task e"});
    co_await asyncio::sleep(0);
    co_await report("running", asyncio::wait_for(running, 0s));
    trace("running", describe(running));

    // Time passes.
    future = loop.create_future();
    co_await report("late", asyncio::wait_for(future, 30ms));
    trace("future", describe(future));
    co_await report("in time", asyncio::wait_for(asyncio::sleep(20ms, "slept"), 10s));
}

int main() {
    asyncio::run(program());
}
