// Every accepted cancel() counts; two before the next step deliver one error, with the last
// message (rules 32, 40).
#include "scenario.hpp"

Coroutine<std::string> stubborn(std::string name, int times) {
    auto me = asyncio::current_task();
    for (int i = 0; i < times; ++i) {
        try {
            co_await asyncio::sleep(10s);
        } catch (const asyncio::CancelledError& error) {
            trace(name, "refuses", error, me.cancelling());
        }
    }
    trace(name, "ends");
    co_return name;
}

Coroutine<void> program() {
    trace("begins");
    auto a = asyncio::create_task(stubborn("a", 1));
    co_await asyncio::sleep(0);
    trace(a.cancel("first"), a.cancel("second"), a.cancelling(), describe(a));
    co_await report("a", a);
    trace(a.cancel("late"), a.cancelling(), a.cancelled());

    // One each iteration.
    auto b = asyncio::create_task(stubborn("b", 2));
    for (int number = 0; number < 4; ++number) {
        co_await asyncio::sleep(0);
        trace("cancel", b.cancel(std::to_string(number)), b.cancelling(), describe(b));
    }
    co_await report("b", b);

    // While it yields, the request waits for the step.
    auto yielding = []() -> Coroutine<std::string> {
        auto me = asyncio::current_task();
        for (int step = 0; step < 3; ++step) {
            try {
                co_await asyncio::sleep(0);
                trace("step", step);
            } catch (const asyncio::CancelledError& error) {
                trace("step", step, error, me.cancelling());
            }
        }
        co_return "yielded";
    };

    auto c = asyncio::create_task(yielding);
    co_await asyncio::sleep(0);
    c.cancel("one");
    c.cancel("two");
    co_await report("c", c);
}

int main() {
    asyncio::run(program());
}
