// wait and as_completed: semantics rules 71 to 74, as CPython's test_tasks.py maps them.
#include <ranges>
#include <thread>
#include <unordered_set>

#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

Coroutine<int> value_after(std::chrono::nanoseconds delay, int value) {
    co_await sleep(delay);
    co_return value;
}

Coroutine<int> failure_after(std::chrono::nanoseconds delay) {
    co_await sleep(delay);
    throw ValueError("failed");
}

std::vector<Task<int>> three_tasks() {
    std::vector<Task<int>> tasks;
    for (int i = 3; i > 0; --i) tasks.push_back(create_task(value_after(1s * i, i)));
    return tasks;
}

}  // namespace

// rule 71
TEST(Wait, ATimeoutNeitherThrowsNorCancels) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        const auto tasks = three_tasks();
        auto [done, pending] = co_await wait(tasks, {.timeout = 1500ms});
        EXPECT_EQ(done.size(), 1u);
        EXPECT_EQ(pending.size(), 2u);
        EXPECT_EQ(sim.elapsed(), 1500ms);
        for (const auto& task : pending) EXPECT_EQ(task.cancelling(), 0u);
        co_await gather(tasks);
    });
}

// rule 71
TEST(Wait, OfNothingIsAValueError) {
    simulate([]() -> Coroutine<void> {
        EXPECT_THROW(co_await wait(std::vector<Task<int>>()), ValueError);
    });
}

TEST(Wait, AllCompletedWaitsForEveryOneWhateverItsOutcome) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        std::vector<Task<int>> tasks = three_tasks();
        tasks.push_back(create_task(failure_after(1s)));
        auto [done, pending] = co_await wait(tasks);
        EXPECT_EQ(done.size(), 4u);
        EXPECT_TRUE(pending.empty());
        EXPECT_EQ(sim.elapsed(), 3s);
        EXPECT_TRUE(tasks[3].exception());
    });
}

TEST(Wait, FirstCompletedReturnsWithTheFirst) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        const auto tasks = three_tasks();
        auto [done, pending] = co_await wait(tasks, {.return_when = FIRST_COMPLETED});
        EXPECT_EQ(done.size(), 1u);
        EXPECT_EQ(done[0], tasks[2]);
        EXPECT_EQ(sim.elapsed(), 1s);
        co_await gather(tasks);
    });
}

// rule 72
TEST(Wait, ReturnsEverythingFinishedByTheTimeItResumes) {
    simulate([]() -> Coroutine<void> {
        EventLoop& loop = get_running_loop();
        std::vector<Future<int>> futures{loop.create_future<int>(), loop.create_future<int>()};
        loop.call_soon([futures] {
            futures[0].set_result(0);
            futures[1].set_result(1);
        });
        auto [done, pending] = co_await wait(futures, {.return_when = FIRST_COMPLETED});
        EXPECT_EQ(done.size(), 2u);
        EXPECT_TRUE(pending.empty());
    });
}

// rule 72
TEST(Wait, CancellingItLeavesTheTasksRunning) {
    simulate([]() -> Coroutine<void> {
        const auto tasks = three_tasks();
        Task<void> waiter = create_task([tasks]() -> Coroutine<void> { co_await wait(tasks); });
        co_await sleep(500ms);
        waiter.cancel();
        EXPECT_THROW(co_await waiter, CancelledError);
        for (const auto& task : tasks) EXPECT_FALSE(task.done());
        co_await gather(tasks);
    });
}

// rule 73
TEST(Wait, FirstExceptionIsNotTriggeredByACancelledTask) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        std::vector<Task<int>> tasks = three_tasks();
        tasks.push_back(create_task(failure_after(2500ms)));
        get_running_loop().call_later(1s, [cancelled = tasks[0]] { cancelled.cancel(); });
        auto [done, pending] = co_await wait(tasks, {.return_when = FIRST_EXCEPTION});
        EXPECT_EQ(sim.elapsed(), 2500ms);
        EXPECT_TRUE(pending.empty());
        EXPECT_TRUE(tasks[3].exception());
    });
}

// test_wait_first_exception, test_wait_first_exception_in_wait
TEST(Wait, FirstExceptionReturnsAtTheFirstErrorOneFromBeforeToo) {
    for (const auto delay : {0s, 1s}) {
        simulate([delay](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
            std::vector<Task<int>> tasks = three_tasks();
            tasks.push_back(create_task(failure_after(delay)));
            if (delay == 0s) co_await sleep(0);
            auto [done, pending] = co_await wait(tasks, {.return_when = FIRST_EXCEPTION});
            EXPECT_EQ(sim.elapsed(), delay);
            EXPECT_EQ(done.size(), delay == 0s ? 1u : 2u);
            EXPECT_EQ(pending.size(), 4 - done.size());
            EXPECT_TRUE(tasks[3].exception());
            co_await gather(return_exceptions, tasks);
        });
    }
}

// test_wait_concurrent_complete
TEST(Wait, ATaskThatEndsAtTheTimeoutIsDone) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        const auto tasks = three_tasks();
        co_await sleep(0);  // they sleep already: their timers come before the timeout's
        auto [done, pending] = co_await wait(tasks, {.timeout = 1s});
        EXPECT_EQ(sim.elapsed(), 1s);
        EXPECT_EQ(done, std::vector{tasks[2]});
        EXPECT_EQ(pending.size(), 2u);
        co_await gather(tasks);
    });
}

// test_wait_with_iterator_of_tasks, test_wait_generator
TEST(Wait, TakesAnyRange) {
    simulate([]() -> Coroutine<void> {
        const auto tasks = three_tasks();
        const std::unordered_set<Task<int>> set(tasks.begin(), tasks.end());
        auto [done, pending] = co_await wait(set);
        EXPECT_EQ(done.size(), 3u);
        auto [again, none] = co_await wait(tasks | std::views::reverse);
        EXPECT_EQ(again.size(), 3u);
        EXPECT_TRUE(none.empty());
    });
}

TEST(Wait, CountsADuplicateOnce) {
    simulate([]() -> Coroutine<void> {
        Task<int> task = create_task(value_after(1s, 1));
        auto [done, pending] = co_await wait({task, task});
        EXPECT_EQ(done.size(), 1u);
        EXPECT_TRUE(pending.empty());
    });
}

TEST(Wait, TakesTasksOfDifferentTypesByTheirCommonHandle) {
    simulate([]() -> Coroutine<void> {
        std::vector<AnyTask> tasks{create_task(value_after(1s, 1)), create_task(sleep(2s))};
        auto [done, pending] = co_await wait(tasks);
        EXPECT_EQ(done.size(), 2u);
    });
}

// rule 74
TEST(AsCompleted, GivesTheCallersOwnTasksInOrderOfCompletion) {
    simulate([]() -> Coroutine<void> {
        const auto tasks = three_tasks();
        auto finished = as_completed(tasks);
        std::vector<Task<int>> order;
        while (auto task = co_await anext(finished)) order.push_back(*task);
        const std::vector<Task<int>> expected{tasks[2], tasks[1], tasks[0]};
        EXPECT_EQ(order, expected);
    });
}

TEST(AsCompleted, PlainIterationGivesResults) {
    simulate([]() -> Coroutine<void> {
        std::vector<Coroutine<int>> many;
        for (int i = 3; i > 0; --i) many.push_back(value_after(1s * i, i));
        std::vector<int> results;
        for (auto&& next : as_completed(many)) {
            const int result = co_await std::move(next);
            results.push_back(result);
        }
        EXPECT_EQ(results, (std::vector{1, 2, 3}));
    });
}

// rule 74
TEST(AsCompleted, GivesADuplicateOnce) {
    simulate([]() -> Coroutine<void> {
        Task<int> task = create_task(value_after(1s, 1));
        auto finished = as_completed(std::vector{task, task});
        EXPECT_TRUE(co_await anext(finished));
        EXPECT_FALSE(co_await anext(finished));
    });
}

// rule 74
TEST(AsCompleted, ATimeoutThrowsForEachLeftAndCancelsNothing) {
    simulate([]() -> Coroutine<void> {
        const auto tasks = three_tasks();
        auto finished = as_completed(tasks, {.timeout = 1500ms});
        EXPECT_TRUE(co_await anext(finished));
        EXPECT_THROW(co_await anext(finished), TimeoutError);
        EXPECT_THROW(co_await anext(finished), TimeoutError);
        EXPECT_FALSE(co_await anext(finished));
        for (const auto& task : tasks) EXPECT_EQ(task.cancelling(), 0u);
        co_await gather(tasks);
    });
}

TEST(AsCompleted, CancellingAStepLosesNoResult) {
    simulate([]() -> Coroutine<void> {
        const auto tasks = three_tasks();
        auto finished = as_completed(tasks);
        Task<void> impatient =
            create_task([&finished]() -> Coroutine<void> { co_await finished.anext(); });
        co_await sleep(500ms);
        impatient.cancel();
        EXPECT_THROW(co_await impatient, CancelledError);
        int seen = 1;  // the cancelled step was one of the three
        while (co_await anext(finished)) ++seen;
        EXPECT_EQ(seen, 3);
        co_await gather(tasks);
    });
}

// test_as_completed_with_unused_timeout
TEST(AsCompleted, AnUnusedTimeoutLeavesNothingBehind) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        auto finished = as_completed(three_tasks(), {.timeout = 1h});
        int count = 0;
        while (co_await anext(finished)) ++count;
        EXPECT_EQ(count, 3);
        EXPECT_EQ(sim.elapsed(), 3s);
    });
}

// test_as_completed_resume_iterator
TEST(AsCompleted, ALoopMayBeLeftAndTakenUpAgain) {
    simulate([]() -> Coroutine<void> {
        auto finished = as_completed(three_tasks());
        std::vector<int> results;
        for (auto&& next : finished) {
            const int result = co_await std::move(next);
            results.push_back(result);
            if (results.size() == 2) break;
        }
        EXPECT_EQ(results, (std::vector{1, 2}));
        for (auto&& next : finished) {
            const int result = co_await std::move(next);
            results.push_back(result);
        }
        EXPECT_EQ(results, (std::vector{1, 2, 3}));
        EXPECT_FALSE(co_await anext(finished));
    });
}

// test_as_completed_reverse_wait
TEST(AsCompleted, WhoeverAwaitsFirstGetsTheFirstResult) {
    simulate([]() -> Coroutine<void> {
        const auto tasks = three_tasks();
        auto finished = as_completed(tasks);
        std::vector<Coroutine<int>> steps;
        for (auto&& next : finished) steps.push_back(std::move(next));
        std::vector<int> results;
        for (std::size_t i = steps.size(); i > 0; --i) {
            const int result = co_await std::move(steps[i - 1]);
            results.push_back(result);
        }
        EXPECT_EQ(results, (std::vector{1, 2, 3}));
    });
}

// test_as_completed_concurrent
TEST(AsCompleted, ItsStepsMayBeAwaitedTogether) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        auto finished = as_completed(three_tasks());
        std::vector<Coroutine<int>> steps;
        for (auto&& next : finished) steps.push_back(std::move(next));
        const std::vector<int> results = co_await gather(std::move(steps));
        EXPECT_EQ(results, (std::vector{1, 2, 3}));
        EXPECT_EQ(sim.elapsed(), 3s);
    });
}

// test_as_completed_coroutine_without_loop
TEST(AsCompleted, WithoutALoopIsARuntimeError) {
    std::thread([] {
        std::vector<Coroutine<int>> many;
        many.push_back(value_after(1s, 1));
        EXPECT_THROW(static_cast<void>(as_completed(many)), RuntimeError);
        for (auto& coroutine : many) coroutine.close();
    }).join();
}
