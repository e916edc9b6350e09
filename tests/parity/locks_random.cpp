// Tasks that lock, wait, notify and meet in a random order, and are cancelled at random: every
// primitive of asyncio.locks serves the same task in the same iteration.
#include <algorithm>
#include <cstdint>

#include "scenario.hpp"

class Random {
  public:
    explicit Random(int seed) : state_(static_cast<std::uint64_t>(seed) * 7919 + 17) {}
    int below(int n) {
        state_ = (state_ * 1103515245 + 12345) % 2147483648;
        return static_cast<int>(state_ / 65536 % static_cast<std::uint64_t>(n));
    }

  private:
    std::uint64_t state_;
};

struct Things {
    asyncio::Lock lock;
    asyncio::Semaphore semaphore{2};
    asyncio::Event event;
    asyncio::Condition condition;
    asyncio::Barrier barrier{3};
    bool ending = false;
};

Coroutine<void> rest(int count) {
    for (int i = 0; i < count; ++i) co_await asyncio::sleep(0);
}

Coroutine<void> act(const std::string& name, Things& things, Random& random) {
    const int what = random.below(9);
    const int count = random.below(3);
    if (what <= 1) {
        co_await with(things.lock, [&]() -> Coroutine<void> {
            trace(name, "has the lock");
            co_await rest(count);
        });
        trace(name, "gave the lock back");
    } else if (what == 2) {
        {
            auto permit = co_await things.semaphore.scoped();
            trace(name, "has a permit");
            co_await rest(count + 1);
        }
        trace(name, "gave the permit back");
    } else if (what == 3) {
        co_await things.event.wait();
        trace(name, "saw the event");
    } else if (what == 4) {
        things.event.set();
        trace(name, "set the event");
        co_await rest(count);
        things.event.clear();
    } else if (what <= 6) {
        auto guard = co_await things.condition.scoped();
        trace(name, "waits for the condition");
        co_await things.condition.wait();
        trace(name, "was notified");
        co_await rest(count);
    } else if (what == 7) {
        auto guard = co_await things.condition.scoped();
        things.condition.notify(count);
        trace(name, "notified", count);
        co_await rest(count);
    } else {
        trace(name, "arrives");
        const std::size_t index = co_await things.barrier.wait();
        trace(name, "passes as", index);
    }
}

Coroutine<void> worker(std::string name, Things& things, Random random) {
    for (int i = 0; i < 10; ++i) {
        try {
            co_await act(name, things, random);
        } catch (const asyncio::CancelledError&) {
            trace(name, "was cancelled");
        } catch (const asyncio::BrokenBarrierError&) {
            trace(name, "found the barrier broken");
        }
        if (things.ending) co_return;
    }
}

Coroutine<void> program(int seed) {
    trace("seed", seed);
    Random random(seed);
    Things things;
    const std::vector<std::string> names{"a", "b", "c", "d", "e"};
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 5; ++i) {
        tasks.push_back(asyncio::create_task(
            worker(names[static_cast<std::size_t>(i)], things, Random(seed * 100 + i))));
    }
    for (int i = 0; i < 50; ++i) {
        const int what = random.below(12);
        if (what < 6) {
            const auto one = static_cast<std::size_t>(random.below(5));
            trace("cancel", names[one], tasks[one].cancel());
        } else if (what == 6) {
            co_await things.barrier.reset();
            trace("reset");
        } else if (what == 7) {
            co_await things.barrier.abort();
            trace("aborted");
        } else if (what <= 9) {
            trace("state", things.lock.locked(), things.semaphore.locked(), things.event.is_set(),
                  things.condition.locked(), things.barrier.n_waiting(), things.barrier.broken());
        }
        co_await asyncio::sleep(0);
    }
    things.ending = true;
    while (!std::all_of(tasks.begin(), tasks.end(), [](const auto& task) { return task.done(); })) {
        for (const auto& task : tasks) task.cancel();
        co_await asyncio::sleep(0);
    }
    trace("end", things.lock.locked(), things.semaphore.locked(), things.condition.locked(),
          things.barrier.n_waiting());
}

int main() {
    for (int seed = 0; seed < 60; ++seed) asyncio::run(program(seed));
    note("all");
}
