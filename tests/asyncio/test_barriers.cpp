// Barrier, as CPython's test_locks.py maps it. rules 96 and 97
#include <memory>

#include "support/simulate.hpp"
#include "support/turns.hpp"

using namespace asyncio;

namespace {

constexpr int parties = 5;

template <class F>
std::vector<Task<void>> many(int count, F coroutine) {
    std::vector<Task<void>> tasks;
    for (int i = 0; i < count; ++i) tasks.push_back(create_task(coroutine));
    return tasks;
}

// Waits in a handler's place, where co_await is not allowed.
Coroutine<bool> passes(Barrier& barrier) {
    const auto outcome = co_await try_(barrier.wait());
    if (outcome.exception() && !holds_exception<BrokenBarrierError>(outcome.exception())) {
        std::rethrow_exception(outcome.exception());
    }
    co_return !outcome.exception();
}

}  // namespace

TEST(Barrier, ReprTellsStateAndWaiters) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(2);
        EXPECT_EQ(barrier.repr(), "<Barrier [filling, waiters:0/2]>");
        auto waiter = create_task(barrier.wait());
        co_await turns();
        EXPECT_EQ(barrier.repr(), "<Barrier [filling, waiters:1/2]>");
        co_await barrier.wait();
        EXPECT_EQ(barrier.repr(), "<Barrier [draining, waiters:0/2]>");
        co_await waiter;
        EXPECT_EQ(barrier.repr(), "<Barrier [filling, waiters:0/2]>");
        co_await barrier.abort();
        EXPECT_EQ(barrier.repr(), "<Barrier [broken]>");
    });
}

TEST(Barrier, NeedsAtLeastOneParty) {
    EXPECT_THROW(Barrier(0), ValueError);
    EXPECT_THROW(Barrier(-4), ValueError);
    EXPECT_EQ(Barrier(3).parties(), 3u);
}

// rule 96
TEST(Barrier, GivesEachPartyAnotherIndexInOrderOfArrival) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(parties);
        std::vector<std::size_t> indices;
        for (int round = 0; round < 3; ++round) {
            co_await gather(many(
                parties, [&]() -> Coroutine<void> { indices.push_back(co_await barrier.wait()); }));
        }
        // The last to come goes first, then the others as they waited.
        const std::vector<std::size_t> each{4, 0, 1, 2, 3};
        std::vector<std::size_t> expected;
        for (int round = 0; round < 3; ++round) {
            expected.insert(expected.end(), each.begin(), each.end());
        }
        EXPECT_EQ(indices, expected);
        EXPECT_EQ(barrier.n_waiting(), 0u);
        EXPECT_FALSE(barrier.broken());
    });
}

TEST(Barrier, IsAManagerThatGivesTheIndex) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(parties);
        std::size_t sum = 0;
        co_await gather(many(parties, [&]() -> Coroutine<void> {
            co_await with(barrier, [&](std::size_t index) -> Coroutine<void> {
                sum += index;
                co_return;
            });
        }));
        EXPECT_EQ(sum, 10u);
    });
}

// test_filling_tasks_wait_twice
TEST(Barrier, AManagerInsideItselfIsTheNextRound) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(parties);
        std::string rounds;
        co_await gather(many(parties, [&]() -> Coroutine<void> {
            co_await with(barrier, [&](std::size_t) -> Coroutine<void> {
                rounds += '1';
                co_await with(barrier, [&](std::size_t) -> Coroutine<void> {
                    rounds += '2';
                    co_return;
                });
            });
        }));
        EXPECT_EQ(rounds, "1111122222");
        EXPECT_EQ(barrier.n_waiting(), 0u);
        EXPECT_FALSE(barrier.broken());
    });
}

TEST(Barrier, OfOnePartyNeverWaits) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(1);
        bool other_ran = false;
        get_running_loop().call_soon([&] { other_ran = true; });
        EXPECT_EQ(co_await barrier.wait(), 0u);
        EXPECT_EQ(co_await barrier.wait(), 0u);
        EXPECT_FALSE(other_ran);
        EXPECT_EQ(barrier.n_waiting(), 0u);
        co_await turns();
    });
}

TEST(Barrier, CountsWhoWaitsWhileItFills) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(3);
        auto a = create_task(barrier.wait());
        co_await turns();
        EXPECT_EQ(barrier.n_waiting(), 1u);
        auto b = create_task(barrier.wait());
        co_await turns();
        EXPECT_EQ(barrier.n_waiting(), 2u);
        co_await barrier.wait();
        EXPECT_EQ(barrier.n_waiting(), 0u);
        co_await gather(a, b);
        EXPECT_EQ(barrier.n_waiting(), 0u);
    });
}

// test_draining_state
TEST(Barrier, DrainsUntilTheLastHasLeft) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(parties);
        std::vector<bool> draining;
        co_await gather(many(parties, [&]() -> Coroutine<void> {
            co_await barrier.wait();
            draining.push_back(barrier.repr().find("draining") != std::string::npos);
        }));
        EXPECT_EQ(draining, std::vector<bool>({true, true, true, true, false}));
    });
}

// rule 96: test_blocking_tasks_while_draining
TEST(Barrier, ArrivalsWhileItDrainsWaitForTheNextRound) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(parties);
        Barrier rest(parties - 2);
        int again = 2;
        int passed = 0;
        co_await gather(many(parties, [&]() -> Coroutine<void> {
            co_await barrier.wait();
            if (again > 0) {
                --again;
            } else {
                co_await rest.wait();
            }
            co_await barrier.wait();
            ++passed;
        }));
        EXPECT_EQ(passed, parties);
        EXPECT_EQ(barrier.repr(), "<Barrier [filling, waiters:0/5]>");
    });
}

// rule 97: test_filling_tasks_cancel_one
TEST(Barrier, CancelledWaiterOnlyLowersTheCount) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(3);
        auto a = create_task(barrier.wait());
        auto b = create_task(barrier.wait());
        co_await turns();
        EXPECT_EQ(barrier.n_waiting(), 2u);
        a.cancel();
        EXPECT_THROW(co_await a, CancelledError);
        EXPECT_EQ(barrier.n_waiting(), 1u);
        auto c = create_task(barrier.wait());
        auto d = create_task(barrier.wait());
        auto [i, j, k] = co_await gather(b, c, d);
        EXPECT_EQ(i + j + k, 1u + 1u + 2u);  // b keeps its index, as in CPython
        EXPECT_FALSE(barrier.broken());
    });
}

TEST(Barrier, ResetOfAnEmptyBarrierChangesNothing) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(2);
        co_await barrier.reset();
        EXPECT_EQ(barrier.repr(), "<Barrier [filling, waiters:0/2]>");
    });
}

// rule 97: test_reset_barrier_while_tasks_waiting
TEST(Barrier, ResetBreaksWhoWaitsAndBeginsAnew) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(parties);
        int broken = 0;
        const auto tasks = many(parties - 1, [&]() -> Coroutine<void> {
            if (!co_await passes(barrier)) ++broken;
        });
        co_await turns();
        co_await barrier.reset();
        EXPECT_FALSE(barrier.broken());
        EXPECT_EQ(barrier.n_waiting(), 0u);
        co_await gather(tasks);
        EXPECT_EQ(broken, parties - 1);
        EXPECT_EQ(barrier.repr(), "<Barrier [filling, waiters:0/5]>");
        co_await gather(many(parties, [&]() -> Coroutine<void> { co_await barrier.wait(); }));
    });
}

// test_reset_barrier_when_tasks_half_draining
TEST(Barrier, ResetWhileItDrainsBreaksWhoHasNotLeft) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(parties);
        int passed = 0;
        int broken = 0;
        co_await gather(many(parties, [&]() -> Coroutine<void> {
            if (!co_await passes(barrier)) {
                ++broken;
            } else if (++passed == 3) {
                co_await barrier.reset();
            }
        }));
        EXPECT_EQ(passed, 3);
        EXPECT_EQ(broken, 2);
        EXPECT_EQ(barrier.repr(), "<Barrier [filling, waiters:0/5]>");
    });
}

// test_reset_barrier_when_tasks_half_draining_half_blocking
TEST(Barrier, ResetWhileItDrainsLetsWhoWaitsForTheNextRoundIn) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(parties);
        int broken_draining = 0;
        int broken_blocked = 0;
        int passed = 0;
        co_await gather(many(parties, [&]() -> Coroutine<void> {
            if (!co_await passes(barrier)) {
                ++broken_draining;
                co_await barrier.wait();
            } else if (++passed > 2) {
                co_await barrier.reset();
                co_await barrier.wait();
            } else if (!co_await passes(barrier)) {
                ++broken_blocked;
            }
        }));
        EXPECT_EQ(broken_draining, 2);
        EXPECT_EQ(broken_blocked, 0);
        EXPECT_EQ(barrier.repr(), "<Barrier [filling, waiters:0/5]>");
    });
}

// rule 97: test_abort_barrier_when_tasks_half_draining_half_blocking
TEST(Barrier, AbortBreaksEverybodyUntilReset) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(parties);
        int broken_draining = 0;
        int broken_blocked = 0;
        int passed = 0;
        co_await gather(many(parties, [&]() -> Coroutine<void> {
            if (!co_await passes(barrier)) {
                ++broken_draining;
            } else if (++passed > 2) {
                co_await barrier.abort();
            } else if (!co_await passes(barrier)) {
                ++broken_blocked;
            }
        }));
        EXPECT_EQ(broken_draining, 2);
        EXPECT_EQ(broken_blocked, 2);
        EXPECT_TRUE(barrier.broken());
        EXPECT_EQ(barrier.n_waiting(), 0u);
        EXPECT_THROW(co_await barrier.wait(), BrokenBarrierError);
        co_await barrier.reset();
        EXPECT_FALSE(barrier.broken());
        co_await gather(many(parties, [&]() -> Coroutine<void> { co_await barrier.wait(); }));
    });
}

// test_abort_barrier_when_exception, test_abort_barrier_when_exception_then_resetting
TEST(Barrier, APartyThatFailsMayAbortForTheOthersWhoMayMeetAgain) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(parties);
        Barrier meeting(parties);
        int passed = 0;
        int broken = 0;
        int met = 0;
        co_await gather(many(parties, [&]() -> Coroutine<void> {
            const auto outcome =
                co_await try_([](Barrier& barrier, int& passed) -> Coroutine<void> {
                    co_await with(barrier, [](std::size_t index) -> Coroutine<void> {
                        if (index == parties / 2) throw ValueError("a party failed");
                        co_return;
                    });
                    co_await barrier.wait();
                    ++passed;
                }(barrier, passed));
            if (holds_exception<ValueError>(outcome.exception())) co_await barrier.abort();
            broken += holds_exception<BrokenBarrierError>(outcome.exception());
            if (co_await meeting.wait() == 0) co_await barrier.reset();
            co_await meeting.wait();
            co_await barrier.wait();
            ++met;
        }));
        EXPECT_EQ(passed, 0);
        EXPECT_EQ(broken, static_cast<int>(parties) - 1);
        EXPECT_EQ(met, static_cast<int>(parties));
        EXPECT_FALSE(barrier.broken());
    });
}

TEST(Barrier, CancelWhileItWaitsForTheNextRoundDoesNotCount) {
    simulate([]() -> Coroutine<void> {
        Barrier barrier(2);
        auto a = create_task(barrier.wait());
        co_await turns();
        co_await barrier.wait();  // draining until a runs
        auto early = create_task(barrier.wait());
        early.cancel();
        auto blocked = create_task(barrier.wait());
        co_await a;
        EXPECT_THROW(co_await early, CancelledError);
        co_await turns(2);
        EXPECT_EQ(barrier.n_waiting(), 1u);
        co_await barrier.wait();
        co_await blocked;
    });
}

TEST(Barrier, MayBeDestroyedUnderItsWaiters) {
    simulate([]() -> Coroutine<void> {
        auto barrier = std::make_unique<Barrier>(2);
        auto waiting = create_task(barrier->wait());
        co_await turns();
        barrier.reset();
        co_await turns();
        EXPECT_FALSE(waiting.done());
        waiting.cancel();
        EXPECT_THROW(co_await waiting, CancelledError);
    });
}
