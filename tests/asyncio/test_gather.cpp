// gather and shield: semantics rules 64 to 70, as CPython's test_tasks.py maps them.
#include <thread>

#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

Coroutine<int> value_after(std::chrono::nanoseconds delay, int value) {
    co_await sleep(delay);
    co_return value;
}

Coroutine<int> failure_after(std::chrono::nanoseconds delay, std::string text) {
    co_await sleep(delay);
    throw ValueError(text);
}

}  // namespace

// rule 64
TEST(Gather, KeepsTheOrderOfItsArguments) {
    simulate([]() -> Coroutine<void> {
        auto [a, b, c] =
            co_await gather(value_after(3s, 1), value_after(1s, 2), value_after(2s, 3));
        EXPECT_EQ(a, 1);
        EXPECT_EQ(b, 2);
        EXPECT_EQ(c, 3);
    });
}

TEST(Gather, MixesTypesAndResultsWithoutValue) {
    simulate([]() -> Coroutine<void> {
        auto text = []() -> Coroutine<std::unique_ptr<std::string>> {
            co_return std::make_unique<std::string>("moved");
        };
        auto [slept, pointer, number] = co_await gather(sleep(1s), text(), value_after(1s, 9));
        static_assert(std::is_same_v<decltype(slept), None>);
        EXPECT_EQ(*pointer, "moved");
        EXPECT_EQ(number, 9);
    });
}

TEST(Gather, OfARangeGivesAVector) {
    simulate([]() -> Coroutine<void> {
        std::vector<Coroutine<int>> many;
        for (int i = 0; i < 100; ++i) many.push_back(value_after(1s * (100 - i), i));
        const std::vector<int> all = co_await gather(many);
        EXPECT_EQ(all.size(), 100u);
        for (int i = 0; i < 100; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], i);
    });
}

TEST(Gather, OfNothingIsDone) {
    simulate([]() -> Coroutine<void> {
        Future<std::tuple<>> none = gather();
        EXPECT_TRUE(none.done());
        const std::vector<int> empty = co_await gather(std::vector<Task<int>>());
        EXPECT_TRUE(empty.empty());
    });
}

// rule 64
TEST(Gather, ARepeatedTaskRunsOnceAndFillsEverySlot) {
    simulate([]() -> Coroutine<void> {
        int runs = 0;
        Task<int> task = create_task([&runs]() -> Coroutine<int> { co_return ++runs; });
        auto [a, b] = co_await gather(task, task);
        EXPECT_EQ(a, 1);
        EXPECT_EQ(b, 1);
        EXPECT_EQ(runs, 1);
    });
}

// rule 65
TEST(Gather, TheFirstErrorLeavesAtOnceAndSiblingsRunOn) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        Task<int> sibling = create_task(value_after(10s, 5));
        Task<int> late_failure = create_task(failure_after(20s, "late"));
        EXPECT_THROW(co_await gather(failure_after(1s, "first"), sibling, late_failure),
                     ValueError);
        EXPECT_EQ(sim.elapsed(), 1s);
        EXPECT_FALSE(sibling.done());
        const int five = co_await sibling;
        EXPECT_EQ(five, 5);
        co_await sleep(20s);
        EXPECT_TRUE(late_failure.done());  // and its error counts as retrieved
    });
}

// rule 66
TEST(Gather, ACancelledChildIsAnErrorAndNotACancellationOfTheGather) {
    simulate([]() -> Coroutine<void> {
        Task<int> child = create_task(value_after(1h, 1));
        auto all = gather(child, value_after(2h, 2));
        co_await sleep(0);
        child.cancel();
        const auto outcome = co_await try_(all);
        EXPECT_TRUE(outcome.cancelled());
        EXPECT_FALSE(all.cancelled());
        EXPECT_TRUE(all.done());
        EXPECT_EQ(current_task().cancelling(), 0u);
    });
}

// rule 66
TEST(Gather, WithReturnExceptionsErrorsAreElements) {
    simulate([]() -> Coroutine<void> {
        Task<int> cancelled = create_task(value_after(1h, 1));
        auto all = gather(return_exceptions, cancelled, failure_after(1s, "x"), value_after(2s, 3));
        co_await sleep(0);
        cancelled.cancel();
        auto [a, b, c] = co_await all;
        EXPECT_TRUE(a.cancelled());
        EXPECT_TRUE(holds_exception<ValueError>(b.exception()));
        EXPECT_EQ(*c, 3);
    });
}

// rule 67
TEST(Gather, CancellingItCancelsEveryUnfinishedChild) {
    simulate([]() -> Coroutine<void> {
        Task<int> a = create_task(value_after(1s, 1));
        Task<int> b = create_task(value_after(1h, 2));
        auto all = gather(return_exceptions, a, b);
        co_await sleep(2s);
        EXPECT_TRUE(all.cancel());
        const auto outcome = co_await try_(all);
        EXPECT_TRUE(outcome.cancelled());
        EXPECT_TRUE(b.cancelled());
        EXPECT_FALSE(a.cancelled());
        EXPECT_FALSE(all.cancel());
    });
}

// rule 67
TEST(Gather, CancellingTheTaskThatAwaitsItCancelsTheChildren) {
    simulate([]() -> Coroutine<void> {
        Task<int> child = create_task(value_after(1h, 1));
        Task<void> waiter = create_task([child]() -> Coroutine<void> { co_await gather(child); });
        co_await sleep(1s);
        waiter.cancel();
        EXPECT_THROW(co_await waiter, CancelledError);
        EXPECT_TRUE(child.cancelled());
        EXPECT_TRUE(waiter.cancelled());
    });
}

// rule 68
TEST(Gather, AfterACancelThePlainFormEndsWithItsFirstChildTheOtherWithItsLast) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        auto slow_to_stop = [](std::chrono::seconds delay) -> Coroutine<void> {
            const auto outcome = co_await try_(sleep(1h));
            co_await sleep(delay);
            outcome.value();
        };
        auto plain = gather(create_task(slow_to_stop, 1s), create_task(slow_to_stop, 5s));
        auto collecting =
            gather(return_exceptions, create_task(slow_to_stop, 1s), create_task(slow_to_stop, 5s));
        co_await sleep(0);
        co_await sleep(0);
        const auto start = sim.elapsed();
        plain.cancel();
        collecting.cancel();
        EXPECT_TRUE((co_await try_(plain)).cancelled());
        EXPECT_EQ(sim.elapsed() - start, 1s);
        EXPECT_TRUE((co_await try_(collecting)).cancelled());
        EXPECT_EQ(sim.elapsed() - start, 5s);
    });
}

TEST(Gather, FuturesOfDifferentLoopsAreAValueError) {
    simulate([]() -> Coroutine<void> {
        EventLoopPtr loop = new_event_loop();
        Future<int> here = get_running_loop().create_future<int>();
        Future<int> there = loop->create_future<int>();
        EXPECT_THROW(static_cast<void>(gather(here, there)), ValueError);
        co_return;
    });
}

// CoroutineGatherTests.test_constructor_without_loop, test_shield_coroutine_without_loop
TEST(Gather, OfCoroutinesWithoutALoopIsARuntimeError) {
    std::thread([] {
        Coroutine<int> one = value_after(1s, 1);
        EXPECT_THROW(static_cast<void>(gather(one)), RuntimeError);
        EXPECT_THROW(static_cast<void>(shield(one)), RuntimeError);
        one.close();
    }).join();
}

// CoroutineGatherTests.test_exception_marking
TEST(Gather, ErrorsAfterTheFirstCountAsRetrievedAlsoOnceItIsGone) {
    simulate([]() -> Coroutine<void> {
        Task<void> outer = create_task([]() -> Coroutine<void> {
            co_await gather(failure_after(1s, "first"), failure_after(2s, "second"));
        });
        EXPECT_THROW(co_await outer, ValueError);
        co_await sleep(2s);  // simulate() fails on reports
    });
}

TEST(Gather, EverySuspensionPointCanBeCancelled) {
    const auto report = asyncio::testing::cancel_everywhere([]() -> Coroutine<void> {
        co_await gather(sleep(1s), value_after(2s, 1), value_after(3s, 2));
    });
    EXPECT_GT(report.points, 3u);
    EXPECT_EQ(report.completed, 1u);
}

// rule 69
TEST(Shield, CancellingTheWaiterLeavesTheWorkAlone) {
    simulate([]() -> Coroutine<void> {
        Task<int> inner = create_task(value_after(5s, 3));
        Task<int> waiter =
            create_task([inner]() -> Coroutine<int> { co_return co_await shield(inner); });
        co_await sleep(1s);
        waiter.cancel();
        EXPECT_THROW(co_await waiter, CancelledError);
        EXPECT_FALSE(inner.done());
        const int three = co_await inner;
        EXPECT_EQ(three, 3);
    });
}

// rule 69
TEST(Shield, CancellingTheWorkCancelsTheWaiter) {
    simulate([]() -> Coroutine<void> {
        Task<int> inner = create_task(value_after(5s, 3));
        auto outer = shield(inner);
        co_await sleep(0);
        inner.cancel();
        EXPECT_THROW(co_await outer, CancelledError);
        EXPECT_TRUE(outer.cancelled());
    });
}

// rule 70
TEST(Shield, AnErrorAfterTheWaiterLeftIsReportedOnce) {
    asyncio::testing::SimLoop sim;
    sim.run_until_complete(sim.create_task([]() -> Coroutine<void> {
        Task<int> inner = create_task(failure_after(5s, "unseen"));
        auto first = shield(inner);
        auto second = shield(inner);
        co_await sleep(1s);
        first.cancel();
        second.cancel();
        co_await sleep(10s);
        EXPECT_TRUE(inner.done());
    }));
    ASSERT_EQ(sim.reports().size(), 1u);
    EXPECT_EQ(sim.reports()[0].message, "ValueError exception in shielded future");
}

TEST(Shield, GivesADoneFutureAsItIs) {
    simulate([]() -> Coroutine<void> {
        Future<int> done = get_running_loop().create_future<int>();
        done.set_result(1);
        EXPECT_EQ(shield(done), done);
        co_return;
    });
}

// test_shield_result, test_shield_exception
TEST(Shield, HandsResultsAndErrorsThrough) {
    simulate([]() -> Coroutine<void> {
        const int three = co_await shield(value_after(1s, 3));
        EXPECT_EQ(three, 3);
        EXPECT_THROW(co_await shield(failure_after(1s, "x")), ValueError);
    });
}

// test_shield_gather
TEST(Shield, OfAGatherLetsItEnd) {
    simulate([]() -> Coroutine<void> {
        EventLoop& loop = get_running_loop();
        Future<int> a = loop.create_future<int>(), b = loop.create_future<int>();
        auto both = gather(a, b);
        auto outer = shield(both);
        outer.cancel();
        co_await sleep(0);
        EXPECT_TRUE(outer.cancelled());
        a.set_result(1);
        b.set_result(2);
        co_await sleep(0);
        EXPECT_EQ(both.result(), std::tuple(1, 2));
    });
}

// test_gather_shield
TEST(Shield, InsideACancelledGatherSavesTheWork) {
    simulate([]() -> Coroutine<void> {
        EventLoop& loop = get_running_loop();
        Future<int> a = loop.create_future<int>(), b = loop.create_future<int>();
        Future<int> shielded = shield(a);
        auto both = gather(shielded, shield(b));
        both.cancel();
        EXPECT_TRUE((co_await try_(both)).cancelled());
        EXPECT_TRUE(shielded.cancelled());
        EXPECT_FALSE(a.done());
        a.set_result(1);
        b.set_result(2);
        co_await sleep(0);
    });
}
