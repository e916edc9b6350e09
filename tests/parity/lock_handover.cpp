// Lock: first come, first served; a cancelled waiter passes its turn on, also when it was
// already chosen; who comes between release and wake-up waits behind (rules 75 to 78).
#include "scenario.hpp"

Coroutine<void> holder(asyncio::Lock& lock, std::string label, int turns) {
    co_await asyncio::with(lock, [&]() -> Coroutine<void> {
        trace(label, "has it");
        for (int i = 0; i < turns; ++i) co_await asyncio::sleep(0);
        trace(label, "gives it up");
    });
}

Coroutine<void> program() {
    asyncio::Lock lock;
    std::vector<Task<void>> tasks;
    for (const char* label : {"a", "b", "c", "d"}) {
        tasks.push_back(asyncio::create_task(holder(lock, label, 2)));
    }
    co_await asyncio::sleep(0);
    trace("b asked to go", tasks[1].cancel());
    co_await report("b", tasks[1]);
    co_await asyncio::gather(tasks[0], tasks[2], tasks[3]);
    trace("locked", lock.locked());

    // Chosen and cancelled in the same turn: the next one gets it.
    co_await lock.acquire();
    auto chosen = asyncio::create_task(holder(lock, "chosen", 0));
    auto after = asyncio::create_task(holder(lock, "after", 0));
    co_await asyncio::sleep(0);
    lock.release();
    chosen.cancel();
    auto late = asyncio::create_task(holder(lock, "late", 0));
    co_await report("chosen", chosen);
    co_await asyncio::gather(after, late);
    trace("locked", lock.locked());
    try {
        lock.release();
    } catch (const asyncio::RuntimeError& error) {
        trace(error);
    }
}

int main() {
    asyncio::run(program());
}
