// A chain of tasks, each awaiting the next: one iteration for each link on the way back,
// none for coroutines in between (rule 22).
#include "scenario.hpp"

Coroutine<int> through_tasks(int depth) {
    trace("task", depth, "starts");
    int value = 0;
    if (depth > 0) {
        value = co_await asyncio::create_task(through_tasks(depth - 1));
    } else {
        value = 0;
    }
    trace("task", depth, "ends");
    co_return value + 1;
}

Coroutine<int> through_coroutines(int depth) {
    int value = 0;
    if (depth > 0) {
        value = co_await through_coroutines(depth - 1);
    } else {
        value = co_await asyncio::create_task(asyncio::sleep(0s, 0));
    }
    trace("coroutine", depth, "ends");
    co_return value + 1;
}

Coroutine<void> failing(int depth) {
    if (depth == 0) {
        throw asyncio::ValueError("from the bottom");
    }
    try {
        co_await asyncio::create_task(failing(depth - 1));
    } catch (const asyncio::ValueError& error) {
        trace("task", depth, "sees", error);
        throw;
    }
}

Coroutine<void> program() {
    trace("begins");
    trace("result", co_await through_tasks(3));
    trace("result", co_await through_coroutines(3));
    try {
        co_await failing(3);
    } catch (const asyncio::ValueError& error) {
        trace("program sees", error);
    }
}

int main() {
    asyncio::run(program());
}
