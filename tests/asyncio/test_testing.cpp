// asyncio/testing.hpp: the simulated loop tests itself.
#include <cstdlib>
#include <thread>

#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;
using asyncio::testing::SimLoop;

TEST(SimLoop, AnHourPassesInNoTime) {
    SimLoop sim;
    auto task = sim.create_task(sleep(1h));
    sim.advance(59min);
    EXPECT_FALSE(task.done());
    EXPECT_EQ(sim.elapsed(), 59min);
    sim.advance(1min);
    EXPECT_TRUE(task.done());
}

TEST(SimLoop, AdvanceRunsWhatFallsDueInOrder) {
    SimLoop sim;
    std::vector<int> order;
    for (int delay : {3, 1, 2}) {
        sim->call_later(std::chrono::seconds(delay), [&order, delay] { order.push_back(delay); });
    }
    sim.advance(2s);
    EXPECT_EQ(order, (std::vector{1, 2}));
    EXPECT_TRUE(sim.advance_to_next_timer());
    EXPECT_EQ(order, (std::vector{1, 2, 3}));
    EXPECT_FALSE(sim.advance_to_next_timer());
}

TEST(SimLoop, AStepIsOneIteration) {
    SimLoop sim;
    int runs = 0;
    sim->call_soon([&] {
        ++runs;
        sim->call_soon([&] { ++runs; });
    });
    sim.step();
    EXPECT_EQ(runs, 1);
    sim.run_until_idle();
    EXPECT_EQ(runs, 2);
}

TEST(SimLoop, SeedZeroIsFifoAndAnotherSeedIsItsOwnOrderEachTime) {
    const auto order_of = [](std::uint64_t seed) {
        SimLoop sim(seed);
        std::vector<int> order;
        for (int i = 0; i < 20; ++i) sim->call_soon([&order, i] { order.push_back(i); });
        sim.run_until_idle();
        return order;
    };
    std::vector<int> fifo(20);
    for (int i = 0; i < 20; ++i) fifo[static_cast<std::size_t>(i)] = i;
    EXPECT_EQ(order_of(0), fifo);
    EXPECT_NE(order_of(7), fifo);
    EXPECT_EQ(order_of(7), order_of(7));
    EXPECT_NE(order_of(7), order_of(8));
}

TEST(SimLoop, ADeadlockThrowsAndNamesWhoWaits) {
    SimLoop sim;
    auto task = sim.create_task(TaskOptions{.name = "stuck"}, []() -> Coroutine<void> {
        co_await get_running_loop().create_future();
    });
    try {
        sim.run_until_complete(task);
        FAIL() << "a deadlock was not noticed";
    } catch (const asyncio::testing::DeadlockError& error) {
        EXPECT_NE(std::string(error.what()).find("stuck"), std::string::npos);
        EXPECT_NE(std::string(error.what()).find("test_testing.cpp"), std::string::npos);
    }
}

TEST(SimLoop, SomethingThatReschedulesItselfForEverIsNoticed) {
    std::function<void()> again;  // lives longer than the loop that calls it
    SimLoop sim;
    again = [&] { sim->call_soon(again); };
    sim->call_soon(again);
    EXPECT_THROW(sim.run_until_idle(1000), RuntimeError);
}

TEST(SimLoop, ThreadsAreWaitedFor) {
    SimLoop sim;
    const int value = sim.run_until_complete(to_thread([] { return 4; }));
    EXPECT_EQ(value, 4);
    sim.run_until_complete(sim->shutdown_default_executor());
}

TEST(ForEachSeed, RunsEachOnceAndPassesErrorsOn) {
    ::unsetenv("ASYNCIO_SEED");  // asks for one seed alone
    std::vector<std::uint64_t> seeds;
    asyncio::testing::for_each_seed(5, [&](SimLoop& sim) { seeds.push_back(sim.seed()); });
    EXPECT_EQ(seeds, (std::vector<std::uint64_t>{0, 1, 2, 3, 4}));
    EXPECT_THROW(asyncio::testing::for_each_seed(5,
                                                 [](SimLoop& sim) {
                                                     if (sim.seed() == 3)
                                                         throw ValueError("seed 3");
                                                 }),
                 ValueError);
}

TEST(CancelEverywhere, FindsAWakeUpThatGetsLost) {
    // A lock that forgets to hand its wake-up on: the next waiter hangs.
    struct Broken {
        bool locked = false;
        std::vector<Future<void>> waiters;
        Coroutine<void> acquire() {
            if (locked) {
                Future<void> waiter = get_running_loop().create_future();
                waiters.push_back(waiter);
                co_await waiter;
            }
            locked = true;
        }
        void release() {
            locked = false;
            if (waiters.empty()) return;
            const Future<void> next = waiters.front();
            waiters.erase(waiters.begin());
            if (!next.done()) next.set_result();
        }
    };
    std::shared_ptr<Broken> lock;
    const auto use = [&lock]() -> Coroutine<void> {
        const auto mine = lock;
        co_await mine->acquire();
        co_await sleep(0);
        mine->release();
    };
    EXPECT_THROW(asyncio::testing::cancel_everywhere(use, {},
                                                     [&](SimLoop& sim) {
                                                         lock = std::make_shared<Broken>();
                                                         sim.create_task(use);
                                                         sim.step();
                                                         sim->call_soon(
                                                             [&sim, use] { sim.create_task(use); });
                                                     }),
                 asyncio::testing::DeadlockError);
}
