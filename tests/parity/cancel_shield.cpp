// Cancelling who waits behind a shield leaves the inner work alone; cancelling the inner work
// cancels the waiter (rule 69).
#include "scenario.hpp"

Coroutine<std::string> work(std::string name, int yields) {
    try {
        for (int i = 0; i < yields; ++i) {
            co_await asyncio::sleep(0);
        }
    } catch (const asyncio::CancelledError& error) {
        trace(name, "sees", error);
        throw;
    }
    trace(name, "ends");
    if (name == "bad") {
        throw asyncio::ValueError(name);
    }
    co_return name;
}

Coroutine<void> waiting(Task<std::string> awaitable) {
    try {
        trace("waiter has", co_await asyncio::shield(awaitable));
    } catch (const asyncio::CancelledError& error) {
        trace("waiter sees", error);
        throw;
    }
}

Coroutine<void> program() {
    trace("begins");
    auto inner = asyncio::create_task(work("a", 4));
    auto waiter = asyncio::create_task(waiting(inner));
    co_await asyncio::sleep(0);
    co_await asyncio::sleep(0);
    trace("cancel", waiter.cancel("the waiter"));
    co_await report("waiter", waiter);
    trace("inner is", describe(inner), inner.cancelling());
    co_await report("inner", inner);

    inner = asyncio::create_task(work("b", 9));
    waiter = asyncio::create_task(waiting(inner));
    co_await asyncio::sleep(0);
    co_await asyncio::sleep(0);
    inner.cancel("the inner one");
    co_await report("waiter", waiter);
    trace("waiter is", describe(waiter), waiter.cancelling());

    // The shield itself.
    inner = asyncio::create_task(work("c", 3));
    auto shielded = asyncio::shield(inner);
    trace("cancel", shielded.cancel("the shield"), describe(shielded), describe(inner));
    co_await report("shield", shielded);
    co_await report("inner", inner);

    // One still waits: it gets the error, and there is no report.
    inner = asyncio::create_task(work("bad", 3));
    auto first = asyncio::create_task(waiting(inner));
    co_await asyncio::sleep(0);
    co_await report("second", asyncio::shield(inner));
    co_await report("first", first);
    trace("end");
}

int main() {
    asyncio::run(program());
}
