// amerge(): several async iterators as one.
#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

using Trace = std::vector<std::string>;
using asyncio::testing::SimLoop;

// first, first + 1, ... each after `pause`; notes how it ends.
AsyncGenerator<int> every(std::chrono::seconds pause, int first, int count, Trace& trace) {
    std::string end = "ended";
    try {
        for (int i = 0; i < count; ++i) {
            co_await sleep(pause);
            co_yield first + i;
        }
    } catch (const GeneratorExit&) {
        end = "closed";
    } catch (const CancelledError&) {
        end = "cancelled";
    }
    co_await sleep(1s);  // clean-up takes its time
    trace.push_back(std::to_string(first) + " " + end);
    if (end == "cancelled") throw CancelledError();
}

AsyncGenerator<int> failing_after(std::chrono::milliseconds pause) {
    co_await sleep(pause);
    throw ValueError("source");
    co_yield 1;
}

class Countdown {
  public:
    explicit Countdown(int from) : left_(from) {}
    Coroutine<std::optional<int>> anext() {
        if (left_ == 0) co_return std::nullopt;
        co_return left_--;
    }

  private:
    int left_;
};

}  // namespace

TEST(AMerge, GivesItemsInTheOrderInWhichTheyCome) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        auto merged = amerge(every(2s, 10, 3, trace), every(5s, 20, 2, trace));
        EXPECT_EQ(co_await to_vector(std::move(merged)), (std::vector{10, 11, 20, 12, 21}));
        EXPECT_EQ(trace.size(), 2u);
    });
}

TEST(AMerge, TakesAnyNumberOfSources) {
    simulate([]() -> Coroutine<void> {
        std::vector<Countdown> sources;
        for (int i = 0; i < 100; ++i) sources.emplace_back(100);
        long sum = 0;
        auto merged = amerge(std::move(sources), {.buffer = 7});
        while (auto i = co_await anext(merged)) sum += *i;
        EXPECT_EQ(sum, 100 * 5050);
    });
}

TEST(AMerge, OfNothingEndsAtOnce) {
    simulate([]() -> Coroutine<void> {
        auto merged = amerge(std::vector<Countdown>());
        EXPECT_FALSE(co_await anext(merged));
        co_await merged.aclose();
    });
}

TEST(AMerge, GivesTheCommonType) {
    simulate([]() -> Coroutine<void> {
        auto merged = amerge(Countdown(1), amap([](int i) { return 0.5 * i; }, Countdown(1)));
        static_assert(std::same_as<decltype(merged)::value_type, double>);
        EXPECT_EQ(co_await to_vector(std::move(merged)), (std::vector{1.0, 0.5}));
    });
}

TEST(AMerge, ASourceIsAtMostOneItemAheadOfTheBuffer) {
    simulate([]() -> Coroutine<void> {
        int asked = 0;
        auto counted = amap(
            [&asked](int i) {
                ++asked;
                return i;
            },
            Countdown(100));
        auto merged = amerge(std::move(counted));
        EXPECT_EQ(asked, 0);  // nothing runs before the first step
        co_await anext(merged);
        co_await sleep(1s);
        EXPECT_EQ(asked, 3);  // taken, in the buffer, waiting for room
        co_await merged.aclose();
    });
}

TEST(AMerge, ABufferWithoutRoomIsAValueError) {
    std::vector<Countdown> sources(1, Countdown(1));
    EXPECT_THROW(static_cast<void>(amerge(sources, {.buffer = 0})), ValueError);
    EXPECT_THROW(static_cast<void>(amerge(sources, {.buffer = -3})), ValueError);
}

TEST(AMerge, TakesNoMoreSourcesOnceItRuns) {
    simulate([]() -> Coroutine<void> {
        Merged<int> merged;
        merged.add(Countdown(1));
        EXPECT_EQ(co_await anext(merged), 1);
        EXPECT_THROW(merged.add(Countdown(1)), RuntimeError);
        EXPECT_FALSE(co_await anext(merged));
    });
}

TEST(AMerge, SeveralTasksMayTakeItems) {
    simulate([]() -> Coroutine<void> {
        auto merged = amerge(Countdown(10), Countdown(10));
        int sum = 0;
        const auto take = [&]() -> Coroutine<void> {
            while (auto i = co_await anext(merged)) sum += *i;
        };
        co_await gather(take(), take(), take());
        EXPECT_EQ(sum, 110);
    });
}

// ---- errors -------------------------------------------------------------------------------

TEST(AMergeErrors, OneSourcesErrorEndsTheOthersAndComesLast) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        auto merged = amerge(every(1s, 10, 100, trace), failing_after(3s));
        EXPECT_EQ(co_await anext(merged), 10);
        co_await sleep(5s);  // 11 is in the buffer when it fails
        EXPECT_EQ(co_await anext(merged), 11);
        EXPECT_THROW(co_await anext(merged), ValueError);
        EXPECT_EQ(trace.size(), 1u);  // the other one has cleaned up
        EXPECT_FALSE(co_await anext(merged));
        co_await merged.aclose();
    });
}

TEST(AMergeErrors, AnErrorThatNobodyAskedForIsThrownByAclose) {
    simulate([]() -> Coroutine<void> {
        auto merged = amerge(Countdown(1), failing_after(1s));
        EXPECT_EQ(co_await anext(merged), 1);
        co_await sleep(2s);
        EXPECT_THROW(co_await merged.aclose(), ValueError);
    });
}

TEST(AMergeErrors, OrIsReportedWhenItIsDropped) {
    SimLoop sim;
    sim.run_until_complete(sim.create_task([]() -> Coroutine<void> {
        auto merged = amerge(Countdown(1), failing_after(1s));
        EXPECT_EQ(co_await anext(merged), 1);
        co_await sleep(2s);
    }));
    sim.run_until_idle();
    ASSERT_EQ(sim.reports().size(), 1u);
    EXPECT_NE(describe_exception(sim.reports()[0].exception).find("source"), std::string::npos);
}

// ---- closing ------------------------------------------------------------------------------

TEST(AMergeClose, CancelsAndClosesItsSourcesAndWaitsForThem) {
    simulate([](SimLoop& sim) -> Coroutine<void> {
        Trace trace;
        auto merged = amerge(every(1s, 10, 100, trace), every(100s, 20, 100, trace));
        EXPECT_EQ(co_await anext(merged), 10);
        co_await sleep(3s);  // the first waits for room, the second for its own sleep
        co_await merged.aclose();
        EXPECT_EQ(trace, (Trace{"10 closed", "20 cancelled"}));
        EXPECT_EQ(sim.elapsed(), 5s);
        EXPECT_FALSE(co_await anext(merged));
        co_await merged.aclose();
    });
}

TEST(AMergeClose, ClosesStartedSourcesAlsoBeforeItsFirstStep) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        auto source = every(1s, 10, 100, trace);
        co_await anext(source);
        auto merged = amerge(std::move(source), every(1s, 20, 100, trace));
        co_await merged.aclose();
        EXPECT_EQ(trace, (Trace{"10 closed"}));
    });
}

TEST(AMergeClose, DroppedItClosesThemAllTheSame) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        {
            auto merged = amerge(every(1s, 10, 100, trace), every(1s, 20, 100, trace));
            co_await anext(merged);
        }
        EXPECT_TRUE(trace.empty());
        co_await sleep(10s);
        EXPECT_EQ(trace.size(), 2u);
        // Before its first step nothing is there to be closed.
        static_cast<void>(amerge(Countdown(1), every(1s, 30, 100, trace)));
        EXPECT_EQ(trace.size(), 2u);
    });
}

TEST(AMergeClose, DoesNotInterruptTheCleanUpOfASourceThatEnded) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        // Closes its source, whose clean-up takes long, at its end.
        auto merged = amerge(atake(every(1s, 10, 100, trace), 1), failing_after(2500ms));
        EXPECT_EQ(co_await anext(merged), 10);
        EXPECT_THROW(co_await anext(merged), ValueError);
        EXPECT_EQ(trace, (Trace{"10 closed"}));
    });
}

TEST(AMergeClose, LeavesOpenWhatItWasLent) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        Countdown down(2);
        auto merged = amerge(queue, down);
        EXPECT_EQ(co_await anext(merged), 2);
        EXPECT_EQ(co_await anext(merged), 1);
        co_await merged.aclose();
        queue.put_nowait(5);
        EXPECT_EQ(co_await queue.get(), 5);
    });
}

// ---- cancellation -------------------------------------------------------------------------

TEST(AMergeCancel, AStepThatTimesOutLosesNothing) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        auto merged = amerge(every(10s, 10, 2, trace), every(25s, 20, 1, trace));
        std::vector<int> seen;
        int timeouts = 0;
        for (;;) {
            const auto step = co_await try_(wait_for(merged.anext(), 3s));
            if (!step) {
                ++timeouts;
            } else if (*step) {
                seen.push_back(**step);
            } else {
                break;
            }
        }
        EXPECT_EQ(seen, (std::vector{10, 11, 20}));
        EXPECT_GT(timeouts, 5);
    });
}

TEST(AMergeCancel, ASourceCancelledFromOutsideCancelsTheStep) {
    simulate([]() -> Coroutine<void> {
        auto merged = amerge(failing_after(100s));
        auto step = create_task(merged.anext());
        co_await sleep(1s);
        for (const AnyTask& task : all_tasks()) {
            if (task != current_task() && task != step) task.cancel();
        }
        EXPECT_THROW(co_await step, CancelledError);
    });
}

TEST(AMergeCancel, WhereverItIsCancelledAllIsClosed) {
    int started = 0;
    int cleaned_up = 0;
    const auto source = [&](std::chrono::seconds pause) {
        return [](int& starts, int& ends, std::chrono::seconds between) -> AsyncGenerator<int> {
            ++starts;
            std::exception_ptr error;
            try {
                for (int i = 0; i < 3; ++i) {
                    co_await sleep(between);
                    co_yield i;
                }
            } catch (...) {
                error = std::current_exception();
            }
            if (error) co_await sleep(1s);
            ++ends;
            if (error) std::rethrow_exception(error);
        }(started, cleaned_up, pause);
    };
    const auto report = asyncio::testing::cancel_everywhere(
        [&]() -> Coroutine<void> {
            started = cleaned_up = 0;
            auto merged = amerge(source(1s), source(2s));
            co_await finally(to_vector(merged), [&merged] { return merged.aclose(); });
        },
        [&] { EXPECT_EQ(started, cleaned_up); });
    EXPECT_GT(report.points, 5u);
}

TEST(AMergeSeeds, NoItemIsLostInAnyOrder) {
    asyncio::testing::for_each_seed(
        200,
        [](SimLoop& sim) {
            sim.run_until_complete(sim.create_task([]() -> Coroutine<void> {
                auto merged = amerge(Countdown(20), Countdown(30), atake(Countdown(100), 10));
                std::size_t taken = 0;
                const auto take = [&]() -> Coroutine<void> {
                    while (co_await anext(merged)) ++taken;
                };
                co_await gather(take(), take());
                EXPECT_EQ(taken, 60u);
            }));
        },
        [] { return ::testing::Test::HasFailure(); });
}
