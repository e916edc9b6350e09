// wait_for: semantics rules 51 to 56, as CPython's test_waitfor.py maps them.
#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

Coroutine<int> answer_after(std::chrono::nanoseconds delay) {
    co_await sleep(delay);
    co_return 42;
}

}  // namespace

TEST(WaitFor, GivesTheResultInTime) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        const int result = co_await wait_for(answer_after(1s), 2s);
        EXPECT_EQ(result, 42);
        EXPECT_EQ(sim.elapsed(), 1s);
    });
}

TEST(WaitFor, WithoutLimitWaitsForEver) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        const int result = co_await wait_for(answer_after(24h), std::nullopt);
        EXPECT_EQ(result, 42);
        EXPECT_EQ(sim.elapsed(), 24h);
    });
}

TEST(WaitFor, ThrowsTimeoutErrorAndCancelsTheWork) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        Task<int> task = create_task(answer_after(10s));
        EXPECT_THROW(co_await wait_for(task, 1s), TimeoutError);
        EXPECT_TRUE(task.cancelled());
        EXPECT_EQ(sim.elapsed(), 1s);
        EXPECT_EQ(current_task().cancelling(), 0u);
    });
}

// rule 51
TEST(WaitFor, ZeroTimeoutGivesADoneResult) {
    simulate([]() -> Coroutine<void> {
        Future<int> done = get_running_loop().create_future<int>();
        done.set_result(7);
        const int result = co_await wait_for(done, 0s);
        EXPECT_EQ(result, 7);
    });
}

// rule 51
TEST(WaitFor, ZeroOrNegativeTimeoutNeverStartsACoroutine) {
    simulate([]() -> Coroutine<void> {
        bool started = false;
        auto work = [&started]() -> Coroutine<void> {
            started = true;
            co_return;
        };
        EXPECT_THROW(co_await wait_for(work(), 0s), TimeoutError);
        EXPECT_THROW(co_await wait_for(work(), -1s), TimeoutError);
        EXPECT_FALSE(started);
    });
}

// rule 52
TEST(WaitFor, RunsACoroutineInTheCallingTask) {
    simulate([]() -> Coroutine<void> {
        static ContextVar<int> variable("variable", 0);
        const AnyTask mine = current_task();
        co_await wait_for(
            [](AnyTask expected) -> Coroutine<void> {
                EXPECT_EQ(current_task(), expected);
                variable.set(5);
                co_return;
            }(mine),
            1s);
        EXPECT_EQ(variable.get(), 5);
    });
}

// rule 53
TEST(WaitFor, WaitsUntilTheWorkHasWoundDown) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        auto slow_to_stop = []() -> Coroutine<void> {
            const Outcome<void> outcome = co_await try_(sleep(1h));
            EXPECT_TRUE(outcome.cancelled());
            co_await sleep(3s);
            outcome.value();
        };
        EXPECT_THROW(co_await wait_for(slow_to_stop(), 1s), TimeoutError);
        EXPECT_EQ(sim.elapsed(), 4s);
    });
}

// rule 54
TEST(WaitFor, AnErrorWhileWindingDownReplacesTheTimeout) {
    simulate([]() -> Coroutine<void> {
        auto fails_to_stop = []() -> Coroutine<void> {
            const Outcome<void> outcome = co_await try_(sleep(1h));
            throw ValueError("cleanup failed");
        };
        EXPECT_THROW(co_await wait_for(fails_to_stop(), 1s), ValueError);
    });
}

// rule 54
TEST(WaitFor, AValueInsteadOfACancellationIsTheResult) {
    simulate([]() -> Coroutine<void> {
        auto stubborn = []() -> Coroutine<int> {
            const Outcome<void> outcome = co_await try_(sleep(1h));
            co_return outcome.cancelled() ? 1 : 2;
        };
        const int result = co_await wait_for(stubborn(), 1s);
        EXPECT_EQ(result, 1);
    });
}

// rule 55
TEST(WaitFor, CancellingTheWaiterCancelsTheWork) {
    simulate([]() -> Coroutine<void> {
        Task<int> inner = create_task(answer_after(1h));
        Task<int> waiter =
            create_task([inner]() -> Coroutine<int> { co_return co_await wait_for(inner, 2h); });
        co_await sleep(0);
        co_await sleep(0);
        waiter.cancel();
        EXPECT_THROW(co_await waiter, CancelledError);
        EXPECT_TRUE(inner.cancelled());
    });
}

// rule 55
TEST(WaitFor, BehindAShieldTheWorkGoesOn) {
    simulate([]() -> Coroutine<void> {
        Task<int> inner = create_task(answer_after(5s));
        EXPECT_THROW(co_await wait_for(shield(inner), 1s), TimeoutError);
        EXPECT_FALSE(inner.done());
        const int result = co_await inner;
        EXPECT_EQ(result, 42);
    });
}

// rule 56
TEST(WaitFor, ExpiryBetweenTheResultAndTheResumeIsATimeout) {
    simulate([]() -> Coroutine<void> {
        EventLoop& loop = get_running_loop();
        Future<int> future = loop.create_future<int>();
        // Both fire in one iteration, the result first: the waiter has not resumed yet.
        loop.call_later(1s, [future] { future.set_result(1); });
        EXPECT_THROW(co_await wait_for(future, 1s), TimeoutError);
        EXPECT_TRUE(future.done());
    });
}

TEST(WaitFor, PassesOnTheWorksOwnError) {
    simulate([]() -> Coroutine<void> {
        auto fails = []() -> Coroutine<int> {
            co_await sleep(1s);
            throw ValueError("broken");
        };
        EXPECT_THROW(co_await wait_for(fails(), 2s), ValueError);
    });
}

TEST(WaitFor, LeavesASharedTasksResultWithItsOwner) {
    simulate([]() -> Coroutine<void> {
        Task<std::string> task = create_task(
            []() -> Coroutine<std::string> { co_return "a text too long to be short"; });
        const std::string first = co_await wait_for(task, 1s);
        EXPECT_EQ(first, "a text too long to be short");
        EXPECT_EQ(task.result(), first);
    });
}

TEST(WaitFor, NotANumberIsAValueError) {
    simulate([]() -> Coroutine<void> {
        const std::chrono::duration<double> nan(std::numeric_limits<double>::quiet_NaN());
        EXPECT_THROW(static_cast<void>(wait_for(sleep(0), nan)), ValueError);
        co_return;
    });
}

// test_asyncio_wait_for_cancelled, test_asyncio_wait_for_timeout
TEST(WaitFor, WaitsForWorkThatIgnoresEveryCancellation) {
    auto stubborn = []() -> Coroutine<int> {
        int cancelled = 0;
        for (int i = 0; i < 4; ++i) cancelled += (co_await try_(sleep(1s))).cancelled();
        co_return cancelled;
    };
    simulate([stubborn](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        const int cancelled = co_await wait_for(stubborn(), 2500ms);
        EXPECT_EQ(cancelled, 1);
        EXPECT_EQ(sim.elapsed(), 3500ms);
    });
    simulate([stubborn](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        Task<int> waiter = create_task(wait_for(stubborn(), 8s));
        co_await sleep(500ms);
        waiter.cancel();
        co_await wait({waiter});
        EXPECT_EQ(waiter.result(), 1);
        EXPECT_EQ(sim.elapsed(), 3500ms);
    });
}

// test_wait_for_timeout_less_then_0_or_0, test_wait_for_waits_for_task_cancellation_w_timeout_0
TEST(WaitFor, ZeroOrNegativeTimeoutCancelsARunningTaskAndWaitsForIt) {
    for (const auto timeout : {0s, -1s}) {
        simulate([timeout](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
            bool wound_down = false;
            Task<void> task = create_task([&wound_down]() -> Coroutine<void> {
                const auto slept = co_await try_(sleep(10s));
                co_await sleep(1s);
                wound_down = true;
                slept.value();
            });
            co_await sleep(1s);
            EXPECT_THROW(co_await wait_for(task, timeout), TimeoutError);
            EXPECT_TRUE(wound_down);
            EXPECT_TRUE(task.cancelled());
            EXPECT_EQ(sim.elapsed(), 2s);
        });
    }
}

// test_cancel_blocking_wait_for
TEST(WaitFor, CancellingTheWaiterCancelsTheWorkAlsoWithoutLimit) {
    simulate([]() -> Coroutine<void> {
        Task<int> inner = create_task(answer_after(1h));
        Task<int> waiter = create_task(wait_for(inner, std::nullopt));
        co_await sleep(1s);
        waiter.cancel();
        EXPECT_THROW(co_await waiter, CancelledError);
        EXPECT_TRUE(inner.cancelled());
    });
}

// test_wait_for_issue86296
TEST(WaitFor, CancelledBetweenTheResultAndTheResumeIsACancellation) {
    simulate([]() -> Coroutine<void> {
        Task<int> inner = create_task([]() -> Coroutine<int> { co_return 7; });
        bool reached_end = false;
        Task<void> waiter = create_task([inner, &reached_end]() -> Coroutine<void> {
            co_await wait_for(inner, 100s);
            co_await sleep(1s);
            reached_end = true;
        });
        co_await sleep(0);
        EXPECT_TRUE(inner.done());
        waiter.cancel();
        EXPECT_THROW(co_await waiter, CancelledError);
        EXPECT_EQ(inner.result(), 7);
        EXPECT_FALSE(reached_end);
    });
}

// WaitForShieldTests: test_zero_timeout, test_none_timeout
TEST(WaitFor, BehindAShieldTheWorkGoesOnWhateverTheLimit) {
    simulate([]() -> Coroutine<void> {
        Task<int> work = create_task(answer_after(5s));
        Future<int> shielded = shield(work);
        EXPECT_THROW(co_await wait_for(shielded, 0s), TimeoutError);
        EXPECT_TRUE(shielded.cancelled());
        EXPECT_FALSE(work.done());
        const int answer = co_await wait_for(shield(work), std::nullopt);
        EXPECT_EQ(answer, 42);
    });
}
