// Async iterators of every kind, and the adapters of async_itertools.hpp.
#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

using Trace = std::vector<std::string>;

AsyncGenerator<int> count_to(int n) {
    for (int i = 1; i <= n; ++i) {
        co_await sleep(1s);
        co_yield i;
    }
}

// Notes in `trace` when it is closed before its end; its clean-up awaits.
AsyncGenerator<int> traced(Trace& trace, std::string name, int n = 1000) {
    bool closed = false;
    try {
        for (int i = 1; i <= n; ++i) co_yield i;
    } catch (const GeneratorExit&) {
        closed = true;
    }
    co_await sleep(0);
    trace.push_back(name + (closed ? " closed" : " ended"));
}

AsyncGenerator<int> failing() {
    co_yield 1;
    throw ValueError("source");
}

// A user's own iterator, without anything of ours in it.
class Countdown {
  public:
    explicit Countdown(int from) : left_(from) {}
    Coroutine<std::optional<int>> anext() {
        co_await sleep(0);
        if (left_ == 0) co_return std::nullopt;
        co_return left_--;
    }

  private:
    int left_;
};

// An iterable that is no iterator.
struct Numbers {
    Countdown aiter() const { return Countdown(2); }
};

int doubled(int i) {
    return 2 * i;
}
Coroutine<int> doubled_later(int i) {
    co_await sleep(1s);
    co_return 2 * i;
}

static_assert(AsyncIterator<AsyncGenerator<int>>);
static_assert(AsyncIterator<Countdown> && AsyncIterator<Countdown&>);
static_assert(AsyncIterator<Queue<int>&>);
static_assert(AsyncIterable<Numbers> && !AsyncIterator<Numbers>);
static_assert(!AsyncIterator<std::vector<int>>);

}  // namespace

// ---- iterators ----------------------------------------------------------------------------

TEST(AsyncIteration, TakesAUsersOwnIterator) {
    simulate([]() -> Coroutine<void> {
        Countdown down(3);
        std::vector<int> seen;
        while (auto i = co_await anext(down)) seen.push_back(*i);
        EXPECT_EQ(seen, (std::vector{3, 2, 1}));
    });
}

TEST(AsyncIteration, AnextMayHaveAFallback) {
    simulate([]() -> Coroutine<void> {
        Countdown down(1);
        EXPECT_EQ(co_await anext(down, -1), 1);
        EXPECT_EQ(co_await anext(down, -1), -1);
    });
}

TEST(AsyncIteration, AiterGivesTheIteratorOfAnIterableAndAnIteratorItself) {
    simulate([]() -> Coroutine<void> {
        EXPECT_EQ(co_await to_vector(aiter(Numbers())), (std::vector{2, 1}));
        Countdown down(2);
        EXPECT_EQ(&aiter(down), &down);
        EXPECT_EQ(co_await to_vector(aiter(Countdown(1))), (std::vector{1}));
    });
}

TEST(AsyncIteration, AQueueIsAnIteratorThatEndsWhenShutDown) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        for (int i : {1, 2, 3}) queue.put_nowait(i);
        EXPECT_EQ(co_await anext(queue), 1);
        queue.shutdown();
        EXPECT_EQ(co_await to_vector(amap(doubled, queue)), (std::vector{4, 6}));
    });
}

TEST(ToVector, TakesItsIteratorOrGoesOnWithYours) {
    simulate([]() -> Coroutine<void> {
        EXPECT_EQ(co_await to_vector(count_to(3)), (std::vector{1, 2, 3}));
        auto numbers = count_to(3);
        co_await numbers.anext();
        EXPECT_EQ(co_await to_vector(numbers), (std::vector{2, 3}));
    });
}

TEST(ToVector, CarriesMoveOnlyItems) {
    simulate([]() -> Coroutine<void> {
        auto boxes = amap([](int i) { return std::make_unique<int>(i); }, Countdown(2));
        const auto all = co_await to_vector(std::move(boxes));
        EXPECT_EQ(*all.at(0) + *all.at(1), 3);
    });
}

// ---- adapters -----------------------------------------------------------------------------

TEST(AMap, TakesPlainAndAsyncFunctions) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        EXPECT_EQ(co_await to_vector(amap(doubled, Countdown(2))), (std::vector{4, 2}));
        EXPECT_EQ(sim.elapsed(), 0s);
        EXPECT_EQ(co_await to_vector(amap(doubled_later, Countdown(2))), (std::vector{4, 2}));
        EXPECT_EQ(sim.elapsed(), 2s);
    });
}

TEST(AMap, AnErrorOfItsFunctionLeavesTheRest) {
    simulate([]() -> Coroutine<void> {
        auto halves = amap(
            [](int i) {
                if (i % 2 != 0) throw ValueError("odd");
                return i / 2;
            },
            Countdown(4));
        EXPECT_EQ(co_await anext(halves), 2);
        EXPECT_THROW(co_await anext(halves), ValueError);
        EXPECT_EQ(co_await anext(halves), 1);
    });
}

TEST(AFilter, TakesPlainAndAsyncPredicates) {
    simulate([]() -> Coroutine<void> {
        const auto odd = [](int i) { return i % 2 != 0; };
        const auto odd_later = [](int i) -> Coroutine<bool> {
            co_await sleep(1s);
            co_return i % 2 != 0;
        };
        EXPECT_EQ(co_await to_vector(afilter(odd, Countdown(4))), (std::vector{3, 1}));
        EXPECT_EQ(co_await to_vector(afilter(odd_later, Countdown(4))), (std::vector{3, 1}));
    });
}

TEST(ATake, TakesNoMoreThanItGives) {
    simulate([]() -> Coroutine<void> {
        Countdown down(5);
        EXPECT_EQ(co_await to_vector(atake(down, 2)), (std::vector{5, 4}));
        EXPECT_TRUE((co_await to_vector(atake(down, 0))).empty());
        EXPECT_EQ(co_await to_vector(atake(down, 10)), (std::vector{3, 2, 1}));
    });
}

TEST(ATake, ANegativeCountIsAValueError) {
    EXPECT_THROW(static_cast<void>(atake(Countdown(1), -1)), ValueError);
}

TEST(ATake, ACancelledStepDoesNotCount) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        auto two = atake(queue, 2);
        EXPECT_THROW(co_await wait_for(two.anext(), 1s), TimeoutError);
        for (int i : {1, 2, 3}) queue.put_nowait(i);
        EXPECT_EQ(co_await to_vector(std::move(two)), (std::vector{1, 2}));
    });
}

TEST(AEnumerate, CountsFromWhereItIsTold) {
    simulate([]() -> Coroutine<void> {
        using Pair = std::pair<std::ptrdiff_t, int>;
        EXPECT_EQ(co_await to_vector(aenumerate(Countdown(2))),
                  (std::vector<Pair>{{0, 2}, {1, 1}}));
        EXPECT_EQ(co_await to_vector(aenumerate(Countdown(1), 7)), (std::vector<Pair>{{7, 1}}));
    });
}

TEST(AZip, EndsWithTheShortest) {
    simulate([]() -> Coroutine<void> {
        auto pairs = azip(count_to(3), amap([](int i) { return std::to_string(i); }, Countdown(2)));
        using Pair = std::tuple<int, std::string>;
        EXPECT_EQ(co_await to_vector(std::move(pairs)), (std::vector<Pair>{{1, "2"}, {2, "1"}}));
    });
}

TEST(AChain, GivesOneAfterTheOther) {
    simulate([]() -> Coroutine<void> {
        auto all =
            achain(Countdown(2), count_to(0), amap([](int i) { return long{i}; }, count_to(2)));
        static_assert(std::same_as<decltype(all)::value_type, long>);
        EXPECT_EQ(co_await to_vector(std::move(all)), (std::vector<long>{2, 1, 1, 2}));
    });
}

TEST(Adapters, NothingRunsBeforeTheFirstStepNorAhead) {
    simulate([]() -> Coroutine<void> {
        int steps = 0;
        auto counted = amap(
            [&steps](int i) {
                ++steps;
                return i;
            },
            Countdown(5));
        auto some = afilter([](int i) { return i < 5; }, atake(std::move(counted), 4));
        EXPECT_EQ(steps, 0);
        EXPECT_EQ(co_await anext(some), 4);
        EXPECT_EQ(steps, 2);
    });
}

TEST(Adapters, PassOnTheErrorOfTheirSource) {
    simulate([]() -> Coroutine<void> {
        EXPECT_THROW(co_await to_vector(amap(doubled, failing())), ValueError);
        EXPECT_THROW(co_await to_vector(afilter(doubled, failing())), ValueError);
        EXPECT_THROW(co_await to_vector(atake(failing(), 3)), ValueError);
        EXPECT_THROW(co_await to_vector(aenumerate(failing())), ValueError);
        EXPECT_THROW(co_await to_vector(azip(count_to(3), failing())), ValueError);
        EXPECT_THROW(co_await to_vector(achain(count_to(1), failing())), ValueError);
    });
}

// ---- closing ------------------------------------------------------------------------------

TEST(AdaptersClose, CloseWhatTheyOwn) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        auto nested = amap(
            [](auto pair) { return pair.second; },
            afilter([](const auto&) { return true; }, aenumerate(atake(traced(trace, "a"), 5))));
        EXPECT_EQ(co_await anext(nested), 1);
        co_await nested.aclose();
        EXPECT_EQ(trace, (Trace{"a closed"}));
        EXPECT_FALSE(co_await anext(nested));
    });
}

TEST(AdaptersClose, LeaveWhatTheyWereLent) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        auto source = traced(trace, "a", 3);
        auto mapped = amap(doubled, source);
        EXPECT_EQ(co_await anext(mapped), 2);
        co_await mapped.aclose();
        EXPECT_EQ(co_await anext(source), 2);
        EXPECT_EQ(co_await to_vector(source), (std::vector{3}));
        EXPECT_EQ(trace, (Trace{"a ended"}));
    });
}

TEST(AdaptersClose, OneThatEndsEarlyClosesItsSource) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        co_await to_vector(atake(traced(trace, "taken"), 2));
        EXPECT_EQ(trace, (Trace{"taken closed"}));
        trace.clear();
        co_await to_vector(azip(traced(trace, "a"), Countdown(1), traced(trace, "c")));
        EXPECT_EQ(trace, (Trace{"a closed", "c closed"}));
    });
}

TEST(AdaptersClose, CloseAllTheirSourcesAlsoWhenOneFails) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        auto broken = []() -> AsyncGenerator<int> {
            try {
                co_yield 1;
            } catch (const GeneratorExit&) {
                throw RuntimeError("clean-up");
            }
        };
        auto pairs = azip(broken(), traced(trace, "b"));
        co_await anext(pairs);
        EXPECT_THROW(co_await pairs.aclose(), RuntimeError);
        EXPECT_EQ(trace, (Trace{"b closed"}));
        EXPECT_FALSE(co_await anext(pairs));

        auto chained = achain(traced(trace, "c"), traced(trace, "unstarted"));
        co_await anext(chained);
        co_await chained.aclose();
        EXPECT_EQ(trace, (Trace{"b closed", "c closed"}));
        EXPECT_FALSE(co_await anext(chained));
    });
}

TEST(AdaptersCancel, WhereverTheyAreCancelledNothingIsLeft) {
    Trace trace;
    const auto report = asyncio::testing::cancel_everywhere(
        [&trace]() -> Coroutine<void> {
            trace.clear();
            auto numbers = azip(count_to(3), amap(doubled_later, traced(trace, "a")));
            co_await finally(to_vector(numbers), [&numbers] { return numbers.aclose(); });
        },
        [&trace] { EXPECT_LE(trace.size(), 1u); });
    EXPECT_GT(report.points, 5u);
    EXPECT_GT(report.cancelled, 0u);
}
