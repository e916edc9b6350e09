// A cancelled child is an error: gather() fails with CancelledError but is not cancelled
// itself; with return_exceptions it is one of the results (rule 66).
#include "scenario.hpp"

Coroutine<std::string> child(std::string name) {
    co_await asyncio::sleep(0);
    co_await asyncio::sleep(0);
    trace(name, "ends");
    co_return name;
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto a = asyncio::create_task(child("a"));
    auto b = asyncio::create_task(child("b"));
    auto together = asyncio::gather(a, b);
    co_await asyncio::sleep(0);
    a.cancel("only a");
    co_await report("gather", together);
    trace(together.cancelled(), describe(a), describe(b));
    co_await b;

    a = asyncio::create_task(child("a"));
    b = asyncio::create_task(child("b"));
    auto outcomes = asyncio::gather(asyncio::return_exceptions, a, b);
    co_await asyncio::sleep(0);
    a.cancel();
    co_await report("gather", outcomes);

    // The one who waits for gather() is cancelled by it though nobody asked.
    auto waiting = [](Future<void> future) -> Coroutine<void> { co_await asyncio::gather(future); };

    auto future = loop.create_future();
    auto task = asyncio::create_task(waiting(future));
    co_await asyncio::sleep(0);
    future.cancel("the child");
    co_await report("task", task);
    trace(describe(task), task.cancelling());
}

int main() {
    asyncio::run(program());
}
