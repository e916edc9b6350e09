// AsyncGenerator: semantics rules 159 and 160, as CPython's test_asyncgen.py maps them.
#include <thread>

#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

AsyncGenerator<int> count_to(int n) {
    for (int i = 1; i <= n; ++i) {
        co_await sleep(1s);
        co_yield i;
    }
}

// Notes in `trace` how it ends.
AsyncGenerator<int> traced(std::vector<std::string>& trace) {
    try {
        for (int i = 0;; ++i) {
            co_yield i;
            co_await sleep(0);
        }
    } catch (const GeneratorExit&) {
        trace.push_back("exit");
    } catch (const ValueError& error) {
        trace.push_back(error.what());
    }
    // Clean-up that awaits.
    co_await sleep(1s);
    trace.push_back("cleaned");
}

AsyncGenerator<std::string, int> accumulator() {
    int total = 0;
    for (;;) {
        const std::optional<int> sent = co_yield std::to_string(total);
        total += sent.value_or(0);
    }
}

}  // namespace

TEST(AsyncGenerator, GivesItsItemsAndThenNothing) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        auto numbers = count_to(3);
        std::vector<int> seen;
        while (auto i = co_await anext(numbers)) seen.push_back(*i);
        EXPECT_EQ(seen, (std::vector{1, 2, 3}));
        EXPECT_EQ(sim.elapsed(), 3s);
        EXPECT_FALSE(co_await anext(numbers));
    });
}

TEST(AsyncGenerator, CarriesMoveOnlyItems) {
    simulate([]() -> Coroutine<void> {
        auto generator = []() -> AsyncGenerator<std::unique_ptr<int>> {
            co_yield std::make_unique<int>(7);
        }();
        auto item = co_await generator.anext();
        EXPECT_EQ(**item, 7);
    });
}

TEST(AsyncGenerator, AMillionItemsNeedNoStack) {
    simulate([]() -> Coroutine<void> {
        auto numbers = [](int n) -> AsyncGenerator<int> {
            for (int i = 0; i < n; ++i) co_yield i;
        }(1'000'000);
        long sum = 0;
        while (auto i = co_await numbers.anext()) sum += *i;
        EXPECT_EQ(sum, 499999500000L);
    });
}

TEST(AsyncGenerator, PassesOnItsErrorAndIsThenDone) {
    simulate([]() -> Coroutine<void> {
        auto failing = []() -> AsyncGenerator<int> {
            co_yield 1;
            throw ValueError("broken");
        }();
        EXPECT_TRUE(co_await failing.anext());
        EXPECT_THROW(co_await failing.anext(), ValueError);
        EXPECT_FALSE(co_await failing.anext());
    });
}

TEST(AsyncGeneratorSend, GivesTheValueToTheYield) {
    simulate([]() -> Coroutine<void> {
        auto sum = accumulator();
        EXPECT_THROW(static_cast<void>(sum.asend(1)), TypeError);  // not started
        EXPECT_EQ(*co_await sum.anext(), "0");
        EXPECT_EQ(*co_await sum.asend(5), "5");
        EXPECT_EQ(*co_await sum.anext(), "5");
        EXPECT_EQ(*co_await sum.asend(2), "7");
        co_await sum.aclose();
        EXPECT_FALSE(co_await sum.asend(1));
    });
}

TEST(AsyncGeneratorThrow, ThrowsAtTheYield) {
    simulate([]() -> Coroutine<void> {
        std::vector<std::string> trace;
        auto generator = traced(trace);
        co_await generator.anext();
        EXPECT_FALSE(co_await generator.athrow(ValueError("thrown in")));
        EXPECT_EQ(trace, (std::vector<std::string>{"thrown in", "cleaned"}));
    });
}

TEST(AsyncGeneratorClose, RunsItsCleanUp) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        std::vector<std::string> trace;
        auto generator = traced(trace);
        co_await generator.anext();
        co_await generator.aclose();
        EXPECT_EQ(trace, (std::vector<std::string>{"exit", "cleaned"}));
        EXPECT_EQ(sim.elapsed(), 1s);
        co_await generator.aclose();  // does nothing
    });
}

// rule 160
TEST(AsyncGeneratorClose, OfAnUnstartedOneRunsNothing) {
    simulate([]() -> Coroutine<void> {
        bool ran = false;
        auto generator = [](bool& flag) -> AsyncGenerator<int> {
            flag = true;
            co_yield 1;
        }(ran);
        co_await generator.aclose();
        EXPECT_FALSE(co_await generator.anext());
        EXPECT_FALSE(ran);
    });
}

TEST(AsyncGeneratorClose, YieldingInsteadIsARuntimeError) {
    simulate([]() -> Coroutine<void> {
        auto stubborn = []() -> AsyncGenerator<int> {
            bool closing = false;
            try {
                co_yield 1;
            } catch (const GeneratorExit&) {
                closing = true;
            }
            if (closing) co_yield 2;
        }();
        co_await stubborn.anext();
        EXPECT_THROW(co_await stubborn.aclose(), RuntimeError);
    });
}

// rule 160
TEST(AsyncGeneratorMisuse, TwoTasksAtOnceAreARuntimeError) {
    simulate([]() -> Coroutine<void> {
        auto numbers = count_to(3);
        Task<void> first =
            create_task([&numbers]() -> Coroutine<void> { co_await numbers.anext(); });
        co_await sleep(0);
        EXPECT_THROW(co_await numbers.anext(), RuntimeError);
        co_await first;
        EXPECT_EQ(*co_await numbers.anext(), 2);
    });
}

TEST(AsyncGeneratorCancel, IsThrownInsideAndEndsIt) {
    simulate([]() -> Coroutine<void> {
        auto numbers = count_to(3);
        Task<void> task =
            create_task([&numbers]() -> Coroutine<void> { co_await numbers.anext(); });
        co_await sleep(0);
        co_await sleep(0);
        task.cancel();
        EXPECT_THROW(co_await task, CancelledError);
        EXPECT_FALSE(co_await numbers.anext());
    });
}

// rule 159
TEST(AsyncGeneratorDrop, GetsItsCleanUpRunByTheLoop) {
    simulate([]() -> Coroutine<void> {
        std::vector<std::string> trace;
        {
            auto generator = traced(trace);
            co_await generator.anext();
        }
        EXPECT_TRUE(trace.empty());
        co_await sleep(2s);
        EXPECT_EQ(trace, (std::vector<std::string>{"exit", "cleaned"}));
    });
}

// rule 159
TEST(AsyncGeneratorDrop, FromAnotherThreadToo) {
    std::vector<std::string> trace;
    run([&trace]() -> Coroutine<void> {
        auto generator = traced(trace);
        co_await generator.anext();
        co_await to_thread([](AsyncGenerator<int>) {}, std::move(generator));
        while (trace.size() < 2) co_await sleep(1ms);
    });
    EXPECT_EQ(trace, (std::vector<std::string>{"exit", "cleaned"}));
}

TEST(AsyncGeneratorShutdown, RunClosesWhatIsLeft) {
    std::vector<std::string> trace;
    auto generator = traced(trace);
    run([&generator]() -> Coroutine<void> { co_await generator.anext(); });
    EXPECT_EQ(trace, (std::vector<std::string>{"exit", "cleaned"}));
}

TEST(AsyncGeneratorAbandon, ATaskDestroyedInsideTakesTheFrameAlong) {
    asyncio::testing::SimLoop sim;
    auto numbers = count_to(3);
    {
        EventLoopPtr loop = new_event_loop();
        loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
        auto task =
            loop->create_task([&numbers]() -> Coroutine<void> { co_await numbers.anext(); });
        loop->run_until_complete(sleep(0));
        loop->close();
        EXPECT_FALSE(task.done());
    }
    // Its frame went with the task: it has ended.
    EXPECT_FALSE(sim.run_until_complete(numbers.anext()));
}

// ---- what CPython's test_asyncgen.py checks besides ---------------------------------------

TEST(AsyncGeneratorAttributes, SayWhetherItRunsAndWhereItStands) {
    simulate([]() -> Coroutine<void> {
        auto numbers = count_to(1);
        EXPECT_FALSE(numbers.ag_running());
        EXPECT_NE(std::string(numbers.ag_frame()->function_name()).find("count_to"),
                  std::string::npos);
        auto step = create_task([&numbers]() -> Coroutine<void> { co_await numbers.anext(); });
        co_await sleep(0);
        EXPECT_TRUE(numbers.ag_running());
        co_await step;
        EXPECT_FALSE(numbers.ag_running());
        co_await numbers.anext();
        EXPECT_FALSE(numbers.ag_frame());
    });
}

// test_async_gen_asyncio_athrow_01
TEST(AsyncGeneratorThrow, GivesWhatIsYieldedNext) {
    simulate([]() -> Coroutine<void> {
        auto generator = []() -> AsyncGenerator<int> {
            bool caught = false;
            try {
                co_yield 1;
            } catch (const ValueError&) {
                caught = true;
            }
            co_await sleep(1s);
            if (caught) co_yield 2;
        }();
        co_await generator.anext();
        EXPECT_EQ(co_await generator.athrow(ValueError("x")), 2);
        EXPECT_FALSE(co_await generator.anext());
    });
}

TEST(AsyncGeneratorThrow, WhatItDoesNotCatchComesBackAndEndsIt) {
    simulate([]() -> Coroutine<void> {
        auto numbers = count_to(3);
        co_await numbers.anext();
        EXPECT_THROW(co_await numbers.athrow(RuntimeError("x")), RuntimeError);
        EXPECT_FALSE(co_await numbers.anext());
    });
}

// test_async_gen_asyncio_asend_03, _athrow_03: cancelled inside, it may go on.
TEST(AsyncGeneratorCancel, ACaughtOneGoesOn) {
    simulate([]() -> Coroutine<void> {
        auto generator = []() -> AsyncGenerator<std::string> {
            bool cancelled = false;
            try {
                co_await sleep(100s);
            } catch (const CancelledError&) {
                cancelled = true;
            }
            if (cancelled) current_task().uncancel();
            co_yield cancelled ? "cancelled" : "not";
        }();
        auto step = create_task(
            [&generator]() -> Coroutine<std::string> { co_return *co_await generator.anext(); });
        co_await sleep(1s);
        step.cancel();
        EXPECT_EQ(co_await step, "cancelled");
    });
}

// test_async_gen_asyncio_aclose_11, _12; test_async_gen_aclose_twice_with_different_coros
TEST(AsyncGeneratorMisuse, ClosingOrThrowingWhileItRunsIsARuntimeError) {
    simulate([]() -> Coroutine<void> {
        auto numbers = count_to(3);
        auto step = create_task([&numbers]() -> Coroutine<void> { co_await numbers.anext(); });
        co_await sleep(0);
        EXPECT_THROW(co_await numbers.aclose(), RuntimeError);
        EXPECT_THROW(co_await numbers.athrow(ValueError("x")), RuntimeError);
        co_await step;
        co_await numbers.aclose();
        co_await numbers.aclose();
    });
}

// test_async_gen_await_same_anext_coro_twice
TEST(AsyncGeneratorMisuse, AwaitingAStepTwiceIsARuntimeError) {
    simulate([]() -> Coroutine<void> {
        auto numbers = count_to(3);
        auto step = numbers.anext();
        EXPECT_EQ(co_await std::move(step), 1);
        EXPECT_THROW(co_await std::move(step), RuntimeError);  // NOLINT(bugprone-use-after-move)
        EXPECT_EQ(co_await numbers.anext(), 2);
    });
}

TEST(AsyncGeneratorMisuse, OneThatWasMovedFromSaysSo) {
    simulate([]() -> Coroutine<void> {
        auto numbers = count_to(3);
        auto moved = std::move(numbers);
        EXPECT_THROW(static_cast<void>(numbers.anext()), RuntimeError);  // NOLINT
        EXPECT_EQ(co_await moved.anext(), 1);
    });
}

// test_async_gen_aclose_after_exhaustion
TEST(AsyncGeneratorClose, AfterItsEndDoesNothing) {
    simulate([]() -> Coroutine<void> {
        auto numbers = count_to(0);
        EXPECT_FALSE(co_await numbers.anext());
        co_await numbers.aclose();
    });
}

// test_async_gen_asyncio_aclose_07: errors of the clean-up come out.
TEST(AsyncGeneratorClose, PassesOnWhatTheCleanUpThrows) {
    simulate([]() -> Coroutine<void> {
        auto generator = []() -> AsyncGenerator<int> {
            try {
                co_yield 1;
            } catch (const GeneratorExit&) {
                throw ValueError("clean-up");
            }
        }();
        co_await generator.anext();
        EXPECT_THROW(co_await generator.aclose(), ValueError);
        EXPECT_FALSE(co_await generator.anext());
    });
}

// test_async_gen_asyncio_shutdown_exception_01
TEST(AsyncGeneratorShutdown, ReportsWhatACleanUpThrows) {
    std::vector<std::string> reports;
    auto generator = []() -> AsyncGenerator<int> {
        try {
            co_yield 1;
        } catch (const GeneratorExit&) {
            throw ValueError("clean-up");
        }
    }();
    run([&]() -> Coroutine<void> {
        get_running_loop().set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
            reports.push_back(context.message + ": " + describe_exception(context.exception));
        });
        co_await generator.anext();
    });
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_NE(reports[0].find("closing of asynchronous generator"), std::string::npos);
    EXPECT_NE(reports[0].find("ValueError: clean-up"), std::string::npos);
}

// test_asyncgen_nonstarted_hooks_are_cancellable
TEST(AsyncGeneratorShutdown, LeavesOneThatHasNotStartedAlone) {
    auto generator = count_to(1);
    run([&generator]() -> Coroutine<void> {
        static_cast<void>(generator.anext());  // a step that nobody awaits
        co_return;
    });
    EXPECT_TRUE(generator.ag_frame());
}

TEST(AsyncGeneratorCancel, WhereverItIsCancelledItsCleanUpRuns) {
    int open = 0;
    const auto report = asyncio::testing::cancel_everywhere(
        [&open]() -> Coroutine<void> {
            auto generator = [](int& count) -> AsyncGenerator<int> {
                struct Guard {
                    int& count;
                    explicit Guard(int& n) : count(n) { ++count; }
                    ~Guard() { --count; }
                } guard(count);
                for (int i = 0; i < 3; ++i) {
                    co_await sleep(1s);
                    co_yield i;
                }
            }(open);
            while (co_await generator.anext()) co_await sleep(1s);
        },
        [&open] { EXPECT_EQ(open, 0); });
    EXPECT_GT(report.cancelled, 3u);
}
