// wait_for() on expiry waits for the inner work to wind down; what that gives counts; a
// cancellation of the waiter reaches the inner work (rules 53, 54, 55).
#include "scenario.hpp"

Coroutine<std::string> work(std::string how) {
    // C++ forbids co_await in a handler.
    auto slept = co_await asyncio::try_(asyncio::sleep(10s));
    trace(how, "sees", slept.exception());
    co_await asyncio::sleep(0);
    trace(how, "wound down");
    if (how == "failing") {
        throw asyncio::ValueError(how);
    }
    if (how == "returning") {
        co_return how;
    }
    slept.value();
    co_return "";
}

template <class A>
Coroutine<std::string> waiting(A awaitable, std::chrono::seconds timeout) {
    co_return co_await asyncio::wait_for(std::move(awaitable), timeout);
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    for (const char* how : {"obeying", "failing", "returning"}) {
        co_await report(how, asyncio::wait_for(work(how), 20ms));
        auto task = asyncio::create_task(work(how));
        co_await report("task", asyncio::wait_for(task, 20ms));
        trace("task is", describe(task));
    }

    // Cancelled before the time is up.
    for (const char* how : {"obeying", "failing", "returning"}) {
        auto task = asyncio::create_task(waiting(work(how), 10s));
        co_await asyncio::sleep(0);
        task.cancel("from outside");
        co_await report("waiter", task);
        trace("waiter is", describe(task), task.cancelling());
    }
    auto inner = asyncio::create_task(work("obeying"));
    auto task = asyncio::create_task(waiting(inner, 10s));
    co_await asyncio::sleep(0);
    task.cancel("from outside");
    co_await report("waiter", task);
    trace("inner is", describe(inner), inner.cancelling());

    // The inner task is cancelled by somebody else.
    inner = asyncio::create_task(work("obeying"));
    task = asyncio::create_task(waiting(inner, 10s));
    co_await asyncio::sleep(0);
    inner.cancel("the inner one");
    co_await report("waiter", task);

    // Behind a shield it runs on.
    auto sleeping = asyncio::create_task(asyncio::sleep(60ms, "ran on"));
    co_await report("shielded", asyncio::wait_for(asyncio::shield(sleeping), 20ms));
    co_await report("inner", sleeping);

    // The expiry and an outside cancellation together: the outside one wins.
    auto both = [&]() -> Coroutine<void> { co_await asyncio::wait_for(loop.create_future(), 0s); };

    auto twice = asyncio::create_task(both());
    co_await asyncio::sleep(0);
    twice.cancel("meanwhile");
    co_await report("both", twice);
}

int main() {
    asyncio::run(program());
}
