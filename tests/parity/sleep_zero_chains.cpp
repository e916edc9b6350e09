// sleep(0) gives up exactly one iteration, whoever else does the same (rules 6, 46).
#include "scenario.hpp"

Coroutine<void> stepper(std::string name, int steps) {
    for (int step = 0; step < steps; ++step) {
        trace(name, "step", step);
        co_await asyncio::sleep(0);
    }
    trace(name, "done");
}

Coroutine<int> deep(int depth) {
    if (depth > 0) {
        co_return co_await deep(depth - 1) + 1;
    }
    co_await asyncio::sleep(0);
    co_return 0;
}

Coroutine<void> program() {
    trace("begins");
    auto a = asyncio::create_task(stepper("a", 3));
    auto b = asyncio::create_task(stepper("b", 1));
    auto c = asyncio::create_task(stepper("c", 4));
    trace("waits for a");
    co_await a;
    trace("a is done; waits for b and c");
    co_await b;
    trace("b was done");
    co_await c;
    trace("c is done");

    // A yield deep inside costs as much as one at the top.
    trace("depth", co_await deep(5));
    // A negative delay and a result.
    co_await asyncio::sleep(-1s);
    trace("after a negative delay");
    trace("result", co_await asyncio::sleep(0s, "kept"));
}

int main() {
    asyncio::run(program());
}
