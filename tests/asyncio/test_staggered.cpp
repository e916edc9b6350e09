// staggered_race, as CPython's test_staggered.py maps it.
#include <functional>

#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;
using asyncio::testing::SimLoop;

namespace {

using Way = std::function<Coroutine<int>()>;

Way gives(int value, std::chrono::milliseconds after = 0ms) {
    return [value, after]() -> Coroutine<int> {
        co_await sleep(after);
        co_return value;
    };
}

Way fails(std::string text, std::chrono::milliseconds after = 0ms) {
    return [text, after]() -> Coroutine<int> {
        co_await sleep(after);
        throw ValueError(text);
    };
}

std::string text_of(const std::exception_ptr& error) {
    return error ? describe_exception(error) : "none";
}

}  // namespace

// test_empty
TEST(StaggeredRace, OfNobodyHasNoWinner) {
    simulate([]() -> Coroutine<void> {
        const auto race = co_await staggered_race(std::vector<Way>(), 1s);
        EXPECT_FALSE(race.winner);
        EXPECT_FALSE(race.index);
        EXPECT_TRUE(race.exceptions.empty());
    });
}

// test_one_successful
TEST(StaggeredRace, StartsNobodyAfterAWinner) {
    simulate([](SimLoop& sim) -> Coroutine<void> {
        const auto [winner, index, exceptions] =
            co_await staggered_race(std::vector{gives(7), gives(8)});
        EXPECT_EQ(winner, 7);
        EXPECT_EQ(index, 0u);
        EXPECT_EQ(exceptions.size(), 1u);
        EXPECT_EQ(sim.elapsed(), 0s);
    });
}

// test_first_error_second_successful
TEST(StaggeredRace, AFailureStartsTheNextAtOnce) {
    simulate([](SimLoop& sim) -> Coroutine<void> {
        const auto race =
            co_await staggered_race(std::vector{fails("first", 10ms), gives(2, 5ms)}, 1h);
        EXPECT_EQ(race.winner, 2);
        EXPECT_EQ(race.index, 1u);
        EXPECT_EQ(sim.elapsed(), 15ms);
        EXPECT_NE(text_of(race.exceptions.at(0)).find("first"), std::string::npos);
        EXPECT_EQ(text_of(race.exceptions.at(1)), "none");
    });
}

// test_first_timeout_second_successful
TEST(StaggeredRace, TheDelayStartsTheNextAndTheWinnerCancelsTheRest) {
    simulate([](SimLoop& sim) -> Coroutine<void> {
        const auto race = co_await staggered_race(
            std::vector{gives(1, 10s), gives(2, 300ms), gives(3, 10s)}, 200ms);
        EXPECT_EQ(race.winner, 2);
        EXPECT_EQ(race.index, 1u);
        EXPECT_EQ(sim.elapsed(), 500ms);
        EXPECT_EQ(race.exceptions.size(), 3u);
        EXPECT_NE(text_of(race.exceptions.at(0)).find("CancelledError"), std::string::npos);
        EXPECT_NE(text_of(race.exceptions.at(2)).find("CancelledError"), std::string::npos);
    });
}

// test_none_successful
TEST(StaggeredRace, WithoutAWinnerGivesEverybodysError) {
    simulate([]() -> Coroutine<void> {
        const auto race = co_await staggered_race(
            std::vector{fails("one", 30ms), fails("two"), fails("three", 5ms)}, 10ms);
        EXPECT_FALSE(race.winner);
        EXPECT_FALSE(race.index);
        const char* texts[] = {"one", "two", "three"};
        EXPECT_EQ(race.exceptions.size(), 3u);
        for (std::size_t i = 0; i < race.exceptions.size(); ++i) {
            EXPECT_NE(text_of(race.exceptions[i]).find(texts[i]), std::string::npos) << i;
        }
    });
}

// Only the one that began last: an older failure is no reason to hurry.
TEST(StaggeredRace, AnOlderFailureDoesNotStartTheNext) {
    simulate([](SimLoop& sim) -> Coroutine<void> {
        const auto race = co_await staggered_race(
            std::vector{fails("old", 120ms), gives(1, 10s), gives(2, 1ms)}, 100ms);
        EXPECT_EQ(race.index, 2u);
        EXPECT_EQ(sim.elapsed(), 201ms);
    });
}

TEST(StaggeredRace, TheFirstOfTwoWinnersCounts) {
    simulate([]() -> Coroutine<void> {
        // Wins although it was cancelled, only too late.
        const Way stubborn = []() -> Coroutine<int> {
            static_cast<void>(co_await try_(sleep(1h)));
            co_return 1;
        };
        const auto race = co_await staggered_race(std::vector{stubborn, gives(2)}, 1ms);
        EXPECT_EQ(race.winner, 2);
        EXPECT_EQ(race.index, 1u);
    });
}

TEST(StaggeredRace, OfFunctionsWithoutAResult) {
    simulate([]() -> Coroutine<void> {
        const std::vector<std::function<Coroutine<void>()>> ways = {
            []() -> Coroutine<void> { co_await sleep(0); }};
        const auto race = co_await staggered_race(ways);
        EXPECT_TRUE(race.winner.has_value());
        EXPECT_EQ(race.index, 0u);
    });
}

TEST(StaggeredRace, AFunctionThatThrowsAtOnceHasFailed) {
    simulate([]() -> Coroutine<void> {
        const Way throws = []() -> Coroutine<int> { throw ValueError("no coroutine"); };
        const auto race = co_await staggered_race(std::vector{throws, gives(3)});
        EXPECT_EQ(race.winner, 3);
        EXPECT_NE(text_of(race.exceptions.at(0)).find("no coroutine"), std::string::npos);
    });
}

TEST(StaggeredRace, CancelledAnywhereItLeavesNothingRunning) {
    int running = 0;
    const auto attempt = [&running](std::chrono::milliseconds time) -> Way {
        return [&running, time]() -> Coroutine<int> {
            struct Count {
                explicit Count(int& n) : n(n) { ++n; }
                ~Count() { --n; }
                int& n;
            } count(running);
            co_await sleep(time);
            if (time < 50ms) throw ValueError("too quick");
            co_return 1;
        };
    };
    asyncio::testing::cancel_everywhere([&]() -> Coroutine<void> {
        auto outcome = co_await try_(
            staggered_race(std::vector{attempt(10ms), attempt(60ms), attempt(90ms)}, 20ms));
        EXPECT_EQ(running, 0);
        static_cast<void>(outcome.value());
    });
    EXPECT_EQ(running, 0);
}
