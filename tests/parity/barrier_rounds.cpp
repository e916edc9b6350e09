// Barrier: everybody gets a number as all have come, rounds do not mix, a cancelled waiter
// breaks nothing, reset and abort break those who wait (rules 88 to 92).
#include "scenario.hpp"

Coroutine<void> runner(asyncio::Barrier& barrier, std::string label, int rounds) {
    for (int i = 0; i < rounds; ++i) {
        const auto index = co_await barrier.wait();
        trace(label, "passes as", index);
    }
}

Coroutine<void> wait(asyncio::Barrier& barrier, std::string label) {
    co_await report(label, [](asyncio::Barrier& b) -> Coroutine<std::size_t> {
        co_return co_await b.wait();
    }(barrier));
}

std::vector<Task<void>> two_waiters(asyncio::Barrier& barrier) {
    return {asyncio::create_task(wait(barrier, "x")), asyncio::create_task(wait(barrier, "y"))};
}

Coroutine<void> program() {
    asyncio::Barrier barrier(3);
    co_await asyncio::gather(runner(barrier, "a", 2), runner(barrier, "b", 2),
                             runner(barrier, "c", 2));
    trace("waiting", barrier.n_waiting(), "broken", barrier.broken());

    auto gone = asyncio::create_task(runner(barrier, "gone", 1));
    co_await asyncio::sleep(0);
    trace("waiting", barrier.n_waiting());
    gone.cancel();
    co_await report("gone", gone);
    trace("waiting", barrier.n_waiting(), "broken", barrier.broken());

    auto two = two_waiters(barrier);
    co_await asyncio::sleep(0);
    co_await barrier.reset();
    co_await asyncio::gather(two);
    trace("after reset", barrier.n_waiting(), "broken", barrier.broken());

    two = two_waiters(barrier);
    co_await asyncio::sleep(0);
    co_await barrier.abort();
    co_await asyncio::gather(two);
    trace("after abort", barrier.n_waiting(), "broken", barrier.broken());
    co_await wait(barrier, "late");
    co_await barrier.reset();
    co_await asyncio::gather(wait(barrier, "a"), wait(barrier, "b"), wait(barrier, "c"));
}

int main() {
    asyncio::run(program());
}
