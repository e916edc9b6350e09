// The same awaitable given twice runs once and fills every place (rule 64).
#include "scenario.hpp"

Coroutine<std::string> child(std::string name) {
    trace(name, "starts");
    co_await asyncio::sleep(0);
    trace(name, "ends");
    co_return name;
}

Coroutine<void> failing() {
    trace("failing");
    throw asyncio::ValueError("once");
    co_return;
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto a = asyncio::create_task(child("a"));
    auto b = asyncio::create_task(child("b"));
    trace(co_await asyncio::gather(a, b, a, a, b));

    auto future = loop.create_future<std::string>();
    loop.call_soon([future] { future.set_result("f"); });
    trace(co_await asyncio::gather(future, a, future));

    auto task = asyncio::create_task(failing());
    co_await report("gather", asyncio::gather(task, task));
    task = asyncio::create_task(failing());
    trace(co_await asyncio::gather(asyncio::return_exceptions, task, task));

    // wait() takes a duplicate once.
    auto c = asyncio::create_task(child("c"));
    auto [done, pending] = co_await asyncio::wait({c, c});
    trace(done.size(), pending.size());
}

int main() {
    asyncio::run(program());
}
