// Waiters and done callbacks of one future are woken in the order in which they came, all in
// the iteration after it was completed (rules 21, 22).
#include "scenario.hpp"

Coroutine<void> waiter(std::string name, Future<int> future) {
    trace(name, "waits");
    co_await report(name, future);
    co_await asyncio::sleep(0);
    trace(name, "goes on");
}

void callback(Future<int> future) {
    trace("callback", future.result());
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto future = loop.create_future<int>();
    auto a = asyncio::create_task(waiter("a", future));
    auto b = asyncio::create_task(waiter("b", future));
    co_await asyncio::sleep(0);
    future.add_done_callback(callback);
    auto c = asyncio::create_task(waiter("c", future));
    co_await asyncio::sleep(0);
    future.add_done_callback(callback);

    loop.call_soon(trace, "scheduled before");
    future.set_result(42);
    loop.call_soon(trace, "scheduled after");
    trace("set; nobody ran");
    auto d = asyncio::create_task(waiter("d", future));
    trace("the program itself gets", co_await future);
    co_await asyncio::sleep(0);
    trace("program");
    co_await asyncio::gather(a, b, c, d);
    trace("end");
}

int main() {
    asyncio::run(program());
}
