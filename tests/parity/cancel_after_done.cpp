// What a task waits for is done, but the task has not resumed: cancel() still wins, and the
// value or error is lost to it (rule 34).
#include "scenario.hpp"

Coroutine<void> waiter(std::string name, Future<std::string> awaitable) {
    trace(name, "waits");
    try {
        trace(name, "has", co_await awaitable);
    } catch (const asyncio::ValueError& error) {
        trace(name, "sees", error);
        throw;
    } catch (const asyncio::CancelledError& error) {
        trace(name, "sees", error);
        throw;
    }
}

Coroutine<std::string> quick() {
    co_await asyncio::sleep(0);
    trace("quick ends");
    co_return "quick";
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");

    auto future = loop.create_future<std::string>();
    auto a = asyncio::create_task(waiter("a", future));
    co_await asyncio::sleep(0);
    future.set_result("value");
    trace("cancel", a.cancel("too late?"), describe(a));
    co_await report("a", a);

    future = loop.create_future<std::string>();
    auto b = asyncio::create_task(waiter("b", future));
    co_await asyncio::sleep(0);
    future.set_exception(asyncio::ValueError("failed"));
    trace("cancel", b.cancel("too late?"), describe(b));
    co_await report("b", b);

    // The other way round: cancelled first, so the value finds nobody.
    future = loop.create_future<std::string>();
    auto c = asyncio::create_task(waiter("c", future));
    co_await asyncio::sleep(0);
    c.cancel("first");
    trace("the future is", describe(future));
    co_await report("c", c);

    // A task that ended in this iteration.
    auto task = asyncio::create_task(quick());
    auto d = asyncio::create_task(waiter("d", task));
    task.add_done_callback([d] { d.cancel("by a callback"); });
    co_await report("d", d);
    auto e = asyncio::create_task(waiter("e", asyncio::create_task(quick())));
    co_await asyncio::sleep(0);
    co_await asyncio::sleep(0);
    trace("cancel", e.cancel("in between"));
    co_await report("e", e);

    // Done before anybody waited: passed through, then delivered.
    future = loop.create_future<std::string>();
    future.set_result("value");
    auto f = asyncio::create_task(waiter("f", future));
    co_await asyncio::sleep(0);
    trace("cancel", f.cancel(), describe(f));
}

int main() {
    asyncio::run(program());
}
