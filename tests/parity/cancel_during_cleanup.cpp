// A second cancel() interrupts what the first one started; cleanup that shields itself is
// left in peace.
#include "scenario.hpp"

Coroutine<void> cleanup(int yields) {
    for (int step = 0; step < yields; ++step) {
        trace("cleanup step", step);
        co_await asyncio::sleep(0);
    }
    trace("cleaned up");
}

Coroutine<void> careless() {
    co_await asyncio::finally(asyncio::sleep(10s), []() -> Coroutine<void> {
        trace("careless cleans up");
        co_await cleanup(3);
    });
}

Coroutine<void> careful() {
    co_await asyncio::finally(asyncio::sleep(10s), []() -> Coroutine<void> {
        trace("careful cleans up");
        co_await asyncio::shield(asyncio::create_task(cleanup(3)));
    });
}

Coroutine<void> program() {
    trace("begins");
    for (auto* function : {careless, careful}) {
        auto task = asyncio::create_task(function());
        co_await asyncio::sleep(0);
        task.cancel("first");
        co_await asyncio::sleep(0);
        co_await asyncio::sleep(0);
        task.cancel("second");
        trace("asked again", describe(task), task.cancelling());
        co_await report("task", task);
        for (int i = 0; i < 5; ++i) {
            co_await asyncio::sleep(0);
        }
    }
}

int main() {
    asyncio::run(program());
}
