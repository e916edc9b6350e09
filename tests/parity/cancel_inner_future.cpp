// Cancelling what a task waits for, from outside, ends the task as cancelled though nobody
// asked it; it may catch that, too (rule 39).
#include "scenario.hpp"

Coroutine<std::string> waiter(std::string name, Future<std::string> future) {
    try {
        co_await future;
    } catch (const asyncio::CancelledError& error) {
        trace(name, "sees", error, asyncio::current_task().cancelling());
        if (name == "catching") {
            co_return "went on";
        }
        throw;
    }
    co_return "";
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto future = loop.create_future<std::string>();
    auto a = asyncio::create_task(waiter("a", future));
    auto b = asyncio::create_task(waiter("catching", future));
    co_await asyncio::sleep(0);
    trace("cancel", future.cancel("the future"), describe(a), a.cancelling());
    co_await report("a", a);
    trace(describe(a), a.cancelling());
    co_await report("b", b);

    // The same with a task in the middle of a chain.
    auto bottom = loop.create_future<std::string>();
    auto middle = asyncio::create_task(waiter("middle", bottom));
    auto top = asyncio::create_task(waiter("top", middle));
    co_await asyncio::sleep(0);
    middle.cancel("the middle");
    co_await report("top", top);
    trace(describe(bottom), describe(middle), describe(top));
    trace(middle.cancelling(), top.cancelling());

    // Several await the task that is cancelled.
    auto task = asyncio::create_task(asyncio::sleep(10s, std::string()));
    auto c = asyncio::create_task(waiter("c", task));
    auto d = asyncio::create_task(waiter("catching", task));
    co_await asyncio::sleep(0);
    task.cancel();
    co_await asyncio::wait({c, d});
    trace(describe(c), describe(d));
}

int main() {
    asyncio::run(program());
}
