// Timers that come due in one iteration run in the order of their deadlines, behind what was
// ready (rules 1, 3, 5).
#include "scenario.hpp"

Coroutine<void> sleeper(std::string name, std::chrono::milliseconds delay) {
    trace(name, "sleeps");
    co_await asyncio::sleep(delay);
    trace(name, "wakes");
}

void reschedule(EventLoop* loop, std::string name) {
    trace(name);
    loop->call_soon(trace, name, "again");
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    loop.call_later(30ms, reschedule, &loop, "timer 30");
    loop.call_later(10ms, reschedule, &loop, "timer 10");
    loop.call_later(20ms, reschedule, &loop, "timer 20");
    auto cancelled = loop.call_later(15ms, trace, "never");
    auto a = asyncio::create_task(sleeper("a", 35ms));
    auto b = asyncio::create_task(sleeper("b", 5ms));
    cancelled.cancel();
    co_await asyncio::sleep(0);

    trace("blocks until all are due");
    block(100ms);
    loop.call_soon(reschedule, &loop, "callback");
    co_await a;
    trace("a is done");
    co_await b;
    trace("b is done");
}

int main() {
    asyncio::run(program());
}
