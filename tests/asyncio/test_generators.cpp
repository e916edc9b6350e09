// Generator: as CPython's test_generators.py and test_pep380.py map it.
#include <asyncio/generators.hpp>

#include <gtest/gtest.h>

#include <any>
#include <memory>
#include <ranges>
#include <string>
#include <vector>

#include <asyncio/log.hpp>

using namespace asyncio;

namespace {

using Trace = std::vector<std::string>;

Generator<int> count_to(int n) {
    for (int i = 1; i <= n; ++i) co_yield i;
}

template <class G>
std::vector<int> all_of(G generator) {
    std::vector<int> all;
    for (int i : generator) all.push_back(i);
    return all;
}

// Sums what it is sent; gives the sum so far, and at the end says how many there were.
Generator<int, int, std::string> summing() {
    int total = 0;
    int count = 0;
    while (std::optional<int> sent = co_yield total) {
        total += *sent;
        ++count;
    }
    co_return std::to_string(count) + " values";
}

// Notes what is thrown in and how it ends.
Generator<int> traced(Trace& trace) {
    for (int i = 0;; ++i) {
        try {
            co_yield i;
        } catch (const ValueError& error) {
            trace.push_back(error.what());
        } catch (const GeneratorExit&) {
            trace.push_back("exit");
            throw;
        }
    }
}

Generator<int> stubborn() {
    bool closing = false;
    try {
        co_yield 1;
    } catch (const GeneratorExit&) {
        closing = true;
    }
    if (closing) co_yield 2;
}

// What the library logs while `body` runs.
template <class Body>
Trace logged(Body body) {
    static Trace* lines;
    Trace here;
    lines = &here;
    LogSink before =
        set_log_sink([](LogLevel, std::string_view text) { lines->emplace_back(text); });
    body();
    set_log_sink(std::move(before));
    return here;
}

}  // namespace

// ---- next ---------------------------------------------------------------------------------

TEST(Generator, GivesItsItemsAndThenNothing) {
    auto numbers = count_to(2);
    EXPECT_EQ(numbers.next(), 1);
    EXPECT_EQ(numbers.next(), 2);
    EXPECT_EQ(numbers.next(), std::nullopt);
    EXPECT_EQ(numbers.next(), std::nullopt);
}

TEST(Generator, RunsNothingBeforeItsFirstStep) {
    bool ran = false;
    {
        auto generator = [](bool& flag) -> Generator<int> {
            flag = true;
            co_yield 1;
        }(ran);
        EXPECT_FALSE(generator.gi_suspended());
    }
    EXPECT_FALSE(ran);
}

TEST(Generator, IsARange) {
    EXPECT_EQ(all_of(count_to(3)), (std::vector{1, 2, 3}));
    EXPECT_TRUE(all_of(count_to(0)).empty());
    static_assert(std::ranges::input_range<Generator<int>>);
}

TEST(Generator, WorksWithStandardViews) {
    std::vector<int> seen;
    auto squares = count_to(1000) | std::views::transform([](int i) { return i * i; });
    for (int i : std::move(squares) | std::views::take_while([](int i) { return i < 20; })) {
        seen.push_back(i);
    }
    EXPECT_EQ(seen, (std::vector{1, 4, 9, 16}));
}

TEST(Generator, ALoopGoesOnWhereNextStopped) {
    auto numbers = count_to(4);
    numbers.next();
    for (int i : numbers) {
        EXPECT_EQ(i, 2);
        break;
    }
    EXPECT_EQ(numbers.next(), 3);
}

TEST(Generator, CarriesMoveOnlyItemsAndResults) {
    auto generator = []() -> Generator<std::unique_ptr<int>, void, std::unique_ptr<int>> {
        co_yield std::make_unique<int>(1);
        co_return std::make_unique<int>(2);
    }();
    EXPECT_EQ(**generator.next(), 1);
    EXPECT_FALSE(generator.next());
    EXPECT_EQ(*generator.result(), 2);
    EXPECT_EQ(*std::move(generator).result(), 2);
}

TEST(Generator, YieldsWhatMakesAnItem) {
    auto pairs = []() -> Generator<std::pair<int, std::string>> {
        co_yield {1, "one"};
        co_yield {};
    }();
    EXPECT_EQ(pairs.next(), std::pair(1, std::string("one")));
    EXPECT_EQ(pairs.next(), std::pair(0, std::string()));
}

TEST(Generator, YieldFromIsNoItemEvenWhereItCouldBe) {
    auto outer = []() -> Generator<std::any> {
        const std::vector<int> one = {1};
        co_yield yield_from(one);
    }();
    EXPECT_EQ(std::any_cast<int>(*outer.next()), 1);
    EXPECT_FALSE(outer.next());
}

TEST(Generator, PassesOnItsErrorAndHasEnded) {
    auto failing = []() -> Generator<int> {
        co_yield 1;
        throw ValueError("broken");
    }();
    failing.next();
    EXPECT_THROW(failing.next(), ValueError);
    EXPECT_FALSE(failing.next());
}

TEST(Generator, CanBeMovedBetweenSteps) {
    auto numbers = count_to(3);
    numbers.next();
    auto moved = std::move(numbers);
    EXPECT_EQ(moved.next(), 2);
    EXPECT_THROW(numbers.next(), RuntimeError);  // NOLINT(bugprone-use-after-move)
}

// ---- send ---------------------------------------------------------------------------------

TEST(GeneratorSend, GivesTheValueToTheYield) {
    auto sum = summing();
    EXPECT_EQ(sum.next(), 0);
    EXPECT_EQ(sum.send(5), 5);
    EXPECT_EQ(sum.send(2), 7);
    EXPECT_EQ(sum.next(), std::nullopt);
    EXPECT_EQ(sum.result(), "2 values");
}

TEST(GeneratorSend, BeforeTheFirstStepIsATypeError) {
    auto sum = summing();
    EXPECT_THROW(sum.send(1), TypeError);
    EXPECT_EQ(sum.next(), 0);
    EXPECT_EQ(sum.send(1), 1);
}

TEST(GeneratorSend, ToAnEndedOneGivesNothing) {
    auto sum = summing();
    sum.close();
    EXPECT_EQ(sum.send(1), std::nullopt);
}

TEST(GeneratorSend, AGeneratorMayOnlyTake) {
    Trace trace;
    auto sink = [](Trace& lines) -> Generator<void, std::string> {
        while (auto line = co_yield {}) lines.push_back(*line);
        lines.push_back("end");
    }(trace);
    EXPECT_TRUE(sink.next());
    EXPECT_TRUE(sink.send("a"));
    EXPECT_TRUE(sink.send("b"));
    EXPECT_FALSE(sink.next());
    EXPECT_EQ(trace, (Trace{"a", "b", "end"}));
}

TEST(GeneratorResult, IsThereOnlyAfterAnOrdinaryEnd) {
    auto sum = summing();
    EXPECT_THROW(static_cast<void>(sum.result()), InvalidStateError);
    sum.next();
    sum.close();
    EXPECT_THROW(static_cast<void>(sum.result()), InvalidStateError);
}

// ---- throw_ -------------------------------------------------------------------------------

TEST(GeneratorThrow, ThrowsAtTheYieldAndGivesTheNextItem) {
    Trace trace;
    auto generator = traced(trace);
    generator.next();
    EXPECT_EQ(generator.throw_(ValueError("thrown in")), 1);
    EXPECT_EQ(generator.next(), 2);
    EXPECT_EQ(trace, (Trace{"thrown in"}));
}

TEST(GeneratorThrow, WhatItDoesNotCatchComesBack) {
    Trace trace;
    auto generator = traced(trace);
    generator.next();
    EXPECT_THROW(generator.throw_(std::make_exception_ptr(RuntimeError("x"))), RuntimeError);
    EXPECT_FALSE(generator.next());
}

// test_generators.py: throw() on one that has not started runs none of it.
TEST(GeneratorThrow, ComesBackFromOneThatHasNotStartedOrHasEnded) {
    Trace trace;
    auto generator = traced(trace);
    EXPECT_THROW(generator.throw_(ValueError("early")), ValueError);
    EXPECT_FALSE(generator.next());
    EXPECT_THROW(generator.throw_(ValueError("late")), ValueError);
    EXPECT_TRUE(trace.empty());
}

// ---- close --------------------------------------------------------------------------------

TEST(GeneratorClose, ThrowsGeneratorExitOnce) {
    Trace trace;
    auto generator = traced(trace);
    generator.next();
    EXPECT_TRUE(generator.gi_suspended());
    generator.close();
    generator.close();
    EXPECT_FALSE(generator.gi_suspended());
    EXPECT_EQ(trace, (Trace{"exit"}));
    EXPECT_FALSE(generator.next());
}

TEST(GeneratorClose, OfAnUnstartedOneRunsNothing) {
    Trace trace;
    auto generator = traced(trace);
    generator.close();
    EXPECT_FALSE(generator.next());
    EXPECT_TRUE(trace.empty());
}

TEST(GeneratorClose, YieldingInsteadIsARuntimeError) {
    auto generator = stubborn();
    generator.next();
    EXPECT_THROW(generator.close(), RuntimeError);
    EXPECT_EQ(generator.next(), std::nullopt);  // the 2 was nobody's
}

TEST(GeneratorClose, PassesOnWhatTheCleanUpThrows) {
    auto generator = []() -> Generator<int> {
        try {
            co_yield 1;
        } catch (const GeneratorExit&) {
            throw ValueError("in clean-up");
        }
    }();
    generator.next();
    EXPECT_THROW(generator.close(), ValueError);
}

// test_generators.py, FinalizationTest: close() gives what it returns.
TEST(GeneratorClose, OneThatReturnsThenHasItsResult) {
    auto generator = []() -> Generator<int, void, int> {
        try {
            co_yield 1;
        } catch (const GeneratorExit&) {
        }
        co_return 7;
    }();
    generator.next();
    generator.close();
    EXPECT_EQ(generator.result(), 7);
}

TEST(GeneratorDrop, ClosesIt) {
    Trace trace;
    {
        auto generator = traced(trace);
        generator.next();
    }
    EXPECT_EQ(trace, (Trace{"exit"}));
}

TEST(GeneratorDrop, LogsWhatTheCleanUpThrows) {
    const Trace lines = logged([] {
        auto generator = stubborn();
        generator.next();
    });
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_NE(lines[0].find("ignored GeneratorExit"), std::string::npos) << lines[0];
    EXPECT_NE(lines[0].find("stubborn"), std::string::npos) << lines[0];
}

TEST(GeneratorDrop, WhileAnExceptionUnwindsToo) {
    Trace trace;
    try {
        auto generator = traced(trace);
        generator.next();
        throw RuntimeError("unwinding");
    } catch (const RuntimeError& error) {
        EXPECT_STREQ(error.what(), "unwinding");
    }
    EXPECT_EQ(trace, (Trace{"exit"}));
}

// ---- misuse -------------------------------------------------------------------------------

TEST(GeneratorMisuse, SteppingItFromInsideIsAValueError) {
    Generator<int>* self = nullptr;
    auto generator = [](Generator<int>*& me) -> Generator<int> {
        EXPECT_TRUE(me->gi_running());
        EXPECT_THROW(me->throw_(RuntimeError("x")), ValueError);
        EXPECT_THROW(me->close(), ValueError);
        co_yield *me->next();
    }(self);
    self = &generator;
    EXPECT_THROW(generator.next(), ValueError);
}

TEST(GeneratorMisuse, DroppingItInALoopOverItEndsTheLoop) {
    std::optional<Generator<int>> generator;
    generator = [](std::optional<Generator<int>>& me) -> Generator<int> {
        co_yield 1;
        me.reset();
        co_yield 2;
    }(generator);
    std::vector<int> seen;
    for (int i : *generator) seen.push_back(i);
    EXPECT_EQ(seen, (std::vector{1}));
}

TEST(GeneratorMisuse, DroppingItFromInsideWaitsForTheStep) {
    Trace trace;
    std::optional<Generator<int>> generator;
    generator = [](std::optional<Generator<int>>& me, Trace& lines) -> Generator<int> {
        me.reset();
        try {
            co_yield 1;
        } catch (const GeneratorExit&) {
            lines.push_back("exit");
        }
    }(generator, trace);
    EXPECT_EQ(generator->next(), 1);
    EXPECT_FALSE(generator);
    EXPECT_EQ(trace, (Trace{"exit"}));
}

// ---- yield_from ---------------------------------------------------------------------------

namespace {

Generator<int, int, std::string> outer(Trace& trace) {
    std::string result = co_yield yield_from(summing());
    trace.push_back(result);
    co_return "outer of " + result;
}

Generator<int> down(int depth) {
    if (depth > 0) {
        co_yield depth;
        co_yield yield_from(down(depth - 1));
    }
}

}  // namespace

TEST(YieldFrom, PassesItemsSentValuesAndTheResult) {
    Trace trace;
    auto generator = outer(trace);
    EXPECT_EQ(generator.next(), 0);
    EXPECT_EQ(generator.send(3), 3);
    EXPECT_EQ(generator.send(4), 7);
    EXPECT_FALSE(generator.next());
    EXPECT_EQ(generator.result(), "outer of 2 values");
    EXPECT_EQ(trace, (Trace{"2 values"}));
}

TEST(YieldFrom, ARangeYieldsItsElements) {
    auto generator = []() -> Generator<int> {
        std::vector<int> own = {1, 2};
        co_yield yield_from(own);
        co_yield yield_from(std::vector{3, 4});
        co_yield yield_from(std::views::iota(5, 7));
    }();
    EXPECT_EQ(all_of(std::move(generator)), (std::vector{1, 2, 3, 4, 5, 6}));
}

TEST(YieldFrom, ARangeTakesNoValues) {
    auto generator = []() -> Generator<int, int> { co_yield yield_from(std::vector{1, 2}); }();
    generator.next();
    EXPECT_EQ(generator.next(), 2);
    EXPECT_THROW(generator.send(1), TypeError);
}

TEST(YieldFrom, AnInnerOneThatHasEndedGivesNothingMore) {
    auto inner = count_to(1);
    all_of(std::move(inner));
    auto ended = count_to(0);
    ended.next();
    auto generator = [](Generator<int>& from) -> Generator<int> {
        co_yield yield_from(from);
        co_yield 9;
    }(ended);
    EXPECT_EQ(all_of(std::move(generator)), (std::vector{9}));
}

TEST(YieldFrom, ThrowsInTheInnerOneFirst) {
    Trace trace;
    auto generator = [](Trace& lines) -> Generator<int> {
        try {
            co_yield yield_from(traced(lines));
        } catch (const RuntimeError& error) {
            lines.push_back(std::string("outer: ") + error.what());
        }
        co_yield 100;
    }(trace);
    generator.next();
    EXPECT_EQ(generator.throw_(ValueError("one")), 1);
    EXPECT_EQ(generator.throw_(RuntimeError("two")), 100);
    EXPECT_EQ(trace, (Trace{"one", "outer: two"}));
}

TEST(YieldFrom, ClosesTheInnerOneFirst) {
    Trace trace;
    auto generator = [](Trace& lines) -> Generator<int> {
        try {
            co_yield yield_from(traced(lines));
        } catch (const GeneratorExit&) {
            lines.push_back("outer exit");
        }
    }(trace);
    generator.next();
    generator.close();
    EXPECT_EQ(trace, (Trace{"exit", "outer exit"}));
}

// test_pep380.py: the inner one takes GeneratorExit and ends; the outer one gets its own.
TEST(YieldFrom, ClosingGoesOnWhenTheInnerOneJustEnds) {
    Trace trace;
    auto inner = [](Trace& lines) -> Generator<int> {
        try {
            co_yield 1;
        } catch (const GeneratorExit&) {
            lines.push_back("inner ends");
        }
    };
    auto generator = [](Generator<int> from, Trace& lines) -> Generator<int> {
        co_yield yield_from(std::move(from));
        lines.push_back("not reached");
    }(inner(trace), trace);
    generator.next();
    generator.close();
    EXPECT_EQ(trace, (Trace{"inner ends"}));
}

TEST(YieldFrom, AnErrorOfTheInnerOneIsThrownAtTheDelegation) {
    auto generator = []() -> Generator<int> {
        auto failing = []() -> Generator<int> {
            co_yield 1;
            throw ValueError("inner");
        };
        std::string caught;
        try {
            co_yield yield_from(failing());
        } catch (const ValueError& error) {
            caught = error.what();
        }
        co_yield caught == "inner" ? 2 : 3;
    }();
    EXPECT_EQ(all_of(std::move(generator)), (std::vector{1, 2}));
}

TEST(YieldFrom, AStartedOneGoesOnAlsoInTheMidstOfItsOwn) {
    auto inner = down(4);
    EXPECT_EQ(inner.next(), 4);
    EXPECT_EQ(inner.next(), 3);
    auto generator = [](Generator<int>& from) -> Generator<int> {
        co_yield yield_from(from);
        co_yield 0;
    }(inner);
    EXPECT_EQ(generator.next(), 2);
    EXPECT_THROW(inner.next(), ValueError);  // delegated to
    EXPECT_EQ(all_of(std::move(generator)), (std::vector{1, 0}));
    EXPECT_FALSE(inner.next());
}

TEST(YieldFrom, ARunningOneIsAValueError) {
    Generator<int>* self = nullptr;
    auto generator = [](Generator<int>*& me) -> Generator<int> { co_yield yield_from(*me); }(self);
    self = &generator;
    EXPECT_THROW(generator.next(), ValueError);
}

TEST(YieldFrom, AnInnerOneOutlivesAnOuterOneThatNeverEnded) {
    auto inner = count_to(3);
    const Trace lines = logged([&inner] {
        auto generator = [](Generator<int>& from) -> Generator<int> {
            try {
                co_yield yield_from(from);
            } catch (const GeneratorExit&) {
            }
            co_yield 1;
        }(inner);
        generator.next();
    });
    EXPECT_EQ(lines.size(), 1u);  // it yielded while closing
    EXPECT_FALSE(inner.next());   // closed with it
}

TEST(YieldFrom, AHundredThousandDeepNeedsNoStack) {
    constexpr int depth = 100'000;
    auto generator = down(depth);
    long sum = 0;
    for (int i : generator) sum += i;
    EXPECT_EQ(sum, long{depth} * (depth + 1) / 2);
}

TEST(YieldFrom, ADeepOneThatIsDroppedNeedsNoStack) {
    constexpr int depth = 100'000;
    auto generator = down(depth);
    for (int i = 0; i < depth; ++i) generator.next();
}
