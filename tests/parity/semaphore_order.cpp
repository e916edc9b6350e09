// Semaphore: waiters are served in order although it has become free meanwhile, a cancelled
// one frees its place, a bounded one refuses one release too many (rules 79 to 83).
#include "scenario.hpp"

Coroutine<void> user(asyncio::BoundedSemaphore& semaphore, std::string label, int turns) {
    co_await asyncio::with(semaphore, [&]() -> Coroutine<void> {
        trace(label, "in, locked", semaphore.locked());
        for (int i = 0; i < turns; ++i) co_await asyncio::sleep(0);
    });
    trace(label, "out");
}

Coroutine<void> program() {
    asyncio::BoundedSemaphore semaphore(2);
    std::vector<Task<void>> tasks;
    for (const char* label : {"a", "b", "c", "d", "e", "f"}) {
        tasks.push_back(asyncio::create_task(user(semaphore, label, 1)));
    }
    co_await asyncio::sleep(0);
    tasks[2].cancel();
    static_cast<void>(co_await asyncio::wait(tasks));
    trace("locked", semaphore.locked());

    // Two permits, two chosen, one of them cancelled: the third gets in.
    co_await semaphore.acquire();
    co_await semaphore.acquire();
    std::vector<Task<void>> waiting;
    for (const char* label : {"x", "y", "z"}) {
        waiting.push_back(asyncio::create_task(user(semaphore, label, 0)));
    }
    co_await asyncio::sleep(0);
    semaphore.release();
    semaphore.release();
    waiting[0].cancel();
    static_cast<void>(co_await asyncio::wait(waiting));
    trace("locked", semaphore.locked());
    try {
        semaphore.release();
    } catch (const asyncio::ValueError&) {
        trace("ValueError");
    }
    try {
        asyncio::Semaphore impossible(-1);
    } catch (const asyncio::ValueError&) {
        trace("ValueError");
    }
    co_await report("a free one",
                    [&]() -> Coroutine<bool> { co_return co_await semaphore.acquire(); }());
}

int main() {
    asyncio::run(program());
}
