// Every waiter of a small scenario is cancelled at every iteration, one or two at a time, in
// many orders of what is ready: nothing is lost, and nobody hangs. rules 87, 89, 93, 98
#include <algorithm>

#include "support/simulate.hpp"
#include "support/turns.hpp"

using namespace asyncio;
using asyncio::testing::SimLoop;

namespace {

constexpr int workers = 4;
constexpr int iterations = 14;
constexpr std::uint64_t seeds = 6;

// Starts `workers` tasks of `make(state, number)` and cancels one of them in one iteration, and
// another in another. Then all must end, and `check` finds what was lost.
template <class State, class Make, class Check>
void cancel_each_at_each_iteration(Make make, Check check) {
    for (std::uint64_t seed = 0; seed < seeds; ++seed) {
        for (int first = 0; first < workers; ++first) {
            for (int when = 0; when < iterations; ++when) {
                for (int gap = 0; gap < 3; ++gap) {
                    SCOPED_TRACE("seed " + std::to_string(seed) + ", worker " +
                                 std::to_string(first) + " cancelled at iteration " +
                                 std::to_string(when) + ", the next one after " +
                                 std::to_string(gap) + " more");
                    SimLoop sim(seed);
                    State state;
                    std::vector<Task<void>> tasks;
                    for (int i = 0; i < workers; ++i) {
                        tasks.push_back(sim.create_task(make, std::ref(state), i));
                    }
                    for (int i = 0; i < when; ++i) sim.step();
                    tasks[static_cast<std::size_t>(first)].cancel();
                    for (int i = 0; i < gap; ++i) sim.step();
                    if (gap > 0) tasks[static_cast<std::size_t>(first + 1) % workers].cancel();
                    sim.run_until_idle();
                    check(state, tasks);
                    for (const auto& task : tasks) EXPECT_TRUE(task.done());
                    EXPECT_TRUE(sim.reports().empty());
                    if (::testing::Test::HasFailure()) return;
                }
            }
        }
    }
}

std::size_t completed(const std::vector<Task<void>>& tasks) {
    return static_cast<std::size_t>(std::count_if(
        tasks.begin(), tasks.end(), [](const auto& task) { return !task.cancelled(); }));
}

}  // namespace

TEST(CancelEverywhere, LockHasOneHolderAndNoLostWakeUp) {
    struct State {
        Lock lock;
        int inside = 0;
    };
    const auto worker = [](State& state, int) -> Coroutine<void> {
        for (int i = 0; i < 2; ++i) {
            auto guard = co_await state.lock.scoped();
            EXPECT_EQ(++state.inside, 1);
            struct Leave {
                int& inside;
                ~Leave() { --inside; }
            };
            const Leave leave{state.inside};
            co_await turns();
        }
    };
    cancel_each_at_each_iteration<State>(
        worker, [](State& state, auto&) { EXPECT_EQ(state.lock.repr(), "<Lock [unlocked]>"); });
}

TEST(CancelEverywhere, SemaphoreKeepsItsPermits) {
    struct State {
        BoundedSemaphore semaphore{2};
        int inside = 0;
    };
    const auto worker = [](State& state, int) -> Coroutine<void> {
        for (int i = 0; i < 2; ++i) {
            auto guard = co_await state.semaphore.scoped();
            EXPECT_LE(++state.inside, 2);
            struct Leave {
                int& inside;
                ~Leave() { --inside; }
            };
            const Leave leave{state.inside};
            co_await turns(2);
        }
    };
    cancel_each_at_each_iteration<State>(worker, [](State& state, auto&) {
        EXPECT_EQ(state.semaphore.repr(), "<BoundedSemaphore [unlocked, value:2]>");
    });
}

TEST(CancelEverywhere, ConditionPassesNotificationsOn) {
    struct State {
        Condition condition;
        int tickets = 0;
        int taken = 0;
    };
    // The first hands out one ticket for each that is still there; they take one each.
    const auto worker = [](State& state, int number) -> Coroutine<void> {
        if (number == 0) {
            for (int i = 1; i < workers; ++i) {
                auto guard = co_await state.condition.scoped();
                ++state.tickets;
                state.condition.notify();
                guard.release();
                co_await turns();
            }
        } else {
            auto guard = co_await state.condition.scoped();
            co_await state.condition.wait_for([&] { return state.tickets > 0; });
            EXPECT_TRUE(state.condition.locked());
            --state.tickets;
            ++state.taken;
        }
    };
    cancel_each_at_each_iteration<State>(worker, [](State& state, auto& tasks) {
        // Nobody may be left waiting while a ticket is there.
        const auto waiting = std::count_if(tasks.begin(), tasks.end(),
                                           [](const auto& task) { return !task.done(); });
        EXPECT_TRUE(waiting == 0 || state.tickets == 0);
        EXPECT_FALSE(state.condition.locked());
        for (auto& task : tasks) task.cancel();
        tasks[0].get_loop().run_until_complete(turns(5));
    });
}

TEST(CancelEverywhere, QueueLosesNoItemAndNoRoom) {
    struct State {
        Queue<int> queue{1};
        std::vector<int> sent;
        std::vector<int> received;
    };
    // Two producers and two consumers.
    const auto worker = [](State& state, int number) -> Coroutine<void> {
        for (int i = 0; i < 3; ++i) {
            if (number < 2) {
                const int item = number * 10 + i;
                co_await state.queue.put(item);
                state.sent.push_back(item);
            } else {
                state.received.push_back(co_await state.queue.get());
                state.queue.task_done();
            }
        }
    };
    cancel_each_at_each_iteration<State>(worker, [](State& state, auto& tasks) {
        EventLoop& loop = tasks[0].get_loop();
        // Whoever is left is stuck for want of a partner, not of a wake-up.
        bool producer_left = !tasks[0].done() || !tasks[1].done();
        bool consumer_left = !tasks[2].done() || !tasks[3].done();
        EXPECT_FALSE(producer_left && consumer_left);
        if (producer_left) EXPECT_TRUE(state.queue.full());
        if (consumer_left) EXPECT_TRUE(state.queue.empty());
        for (auto& task : tasks) task.cancel();
        loop.run_until_complete(turns(5));
        while (!state.queue.empty()) state.received.push_back(state.queue.get_nowait());
        std::sort(state.sent.begin(), state.sent.end());
        std::sort(state.received.begin(), state.received.end());
        EXPECT_EQ(state.sent, state.received);
    });
}

TEST(CancelEverywhere, BarrierFillsAgain) {
    struct State {
        Barrier barrier{2};
    };
    const auto worker = [](State& state, int) -> Coroutine<void> {
        for (int i = 0; i < 2; ++i) co_await state.barrier.wait();
    };
    cancel_each_at_each_iteration<State>(worker, [](State& state, auto& tasks) {
        EventLoop& loop = tasks[0].get_loop();
        EXPECT_LE(state.barrier.n_waiting(), 1u);
        for (auto& task : tasks) task.cancel();
        loop.run_until_complete(turns(5));
        EXPECT_EQ(state.barrier.repr(), "<Barrier [filling, waiters:0/2]>");
        EXPECT_LE(completed(tasks), std::size_t{workers});
    });
}

TEST(CancelEverywhere, EventWakesAllTheOthers) {
    struct State {
        Event event;
    };
    const auto worker = [](State& state, int number) -> Coroutine<void> {
        co_await turns(number);
        if (number == workers - 1) state.event.set();
        co_await state.event.wait();
    };
    cancel_each_at_each_iteration<State>(worker, [](State& state, auto& tasks) {
        state.event.set();
        tasks[0].get_loop().run_until_complete(turns(3));
        EXPECT_EQ(state.event.repr(), "<Event [set]>");
    });
}
