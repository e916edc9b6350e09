// Condition: notify wakes in order of waiting, each takes the lock again; wait_for looks again
// after each notification; a cancelled waiter has the lock when it leaves (rules 84 to 87).
#include "scenario.hpp"

Coroutine<void> waiter(asyncio::Condition& condition, std::string label) {
    co_await asyncio::with(condition, [&]() -> Coroutine<void> {
        trace(label, "waits");
        co_await condition.wait();
        trace(label, "woken, locked", condition.locked());
    });
}

Coroutine<void> notify(asyncio::Condition& condition, std::size_t n) {
    co_await asyncio::with(condition, [&]() -> Coroutine<void> {
        condition.notify(n);
        co_return;
    });
}

Coroutine<void> program() {
    asyncio::Condition condition;
    std::vector<Task<void>> tasks;
    for (const char* label : {"a", "b", "c", "d", "e"}) {
        tasks.push_back(asyncio::create_task(waiter(condition, label)));
    }
    co_await asyncio::sleep(0);
    co_await asyncio::sleep(0);
    co_await asyncio::with(condition, [&]() -> Coroutine<void> {
        condition.notify(2);
        trace("notified two");
        co_return;
    });
    co_await asyncio::gather(tasks[0], tasks[1]);
    tasks[2].cancel();
    co_await report("c", tasks[2]);
    co_await asyncio::with(condition, [&]() -> Coroutine<void> {
        condition.notify_all();
        co_return;
    });
    co_await asyncio::gather(tasks[3], tasks[4]);
    trace("locked", condition.locked());

    int count = 0;
    const auto enough = [&] {
        trace("looks", count);
        return count >= 2;
    };
    auto task = asyncio::create_task([&]() -> Coroutine<bool> {
        co_return co_await asyncio::with(
            condition, [&]() -> Coroutine<bool> { co_return co_await condition.wait_for(enough); });
    });
    for (int i = 0; i < 2; ++i) {
        co_await asyncio::sleep(0);
        co_await asyncio::with(condition, [&]() -> Coroutine<void> {
            ++count;
            condition.notify();
            co_return;
        });
    }
    co_await report("until", task);
    try {
        condition.notify();
    } catch (const asyncio::RuntimeError& error) {
        trace(error);
    }
    try {
        condition.notify_all();
    } catch (const asyncio::RuntimeError& error) {
        trace(error);
    }
    co_await report("wait without the lock",
                    [&]() -> Coroutine<bool> { co_return co_await condition.wait(); }());
}

int main() {
    asyncio::run(program());
}
