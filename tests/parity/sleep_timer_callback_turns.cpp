// A timer's callback runs in the iteration in which it is due, a sleeping task one later, a
// task that waits for a future set by a timer one later too (rules 1, 21, 22, 46).
#include "scenario.hpp"

Coroutine<void> sleeper(int delay) {
    co_await asyncio::sleep(delay);
    trace("sleeper", delay);
}

Coroutine<void> waiter(Future<void> future) {
    co_await future;
    trace("waiter");
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto future = loop.create_future();
    trace("makes the tasks");
    std::vector tasks{
        asyncio::create_task(sleeper(0)),
        asyncio::create_task(waiter(future)),
    };
    co_await asyncio::sleep(0);
    co_await asyncio::sleep(0);

    loop.call_later(10ms, trace, "timer before");
    loop.call_later(20ms, [future] { future.set_result(); });
    loop.call_later(30ms, trace, "timer after");
    loop.call_soon(trace, "callback");
    trace("blocks");
    block(50ms);
    co_await asyncio::sleep(0);
    trace("program: timers are due");
    co_await asyncio::sleep(0);
    trace("program: one later");
    co_await asyncio::sleep(0);
    trace("program: two later");
    co_await asyncio::gather(tasks);
}

int main() {
    asyncio::run(program());
}
