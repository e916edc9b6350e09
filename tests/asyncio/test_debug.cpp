// Debug mode: what looks wrong is reported, each with where it was made.
#include <asyncio/debug_detail.hpp>
#include <cstdlib>
#include <source_location>
#include <thread>

#include "asyncio/loop_state.hpp"
#include "support/loop_fixture.hpp"
#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace {

// Collects what is logged while it lives.
class Log {
  public:
    Log()
        : previous_(set_log_sink([this](LogLevel level, std::string_view text) {
              lines.emplace_back(text);
              levels.push_back(level);
          })) {}
    ~Log() { set_log_sink(previous_); }
    std::vector<std::string> lines;
    std::vector<LogLevel> levels;

  private:
    LogSink previous_;
};

std::string line_here(std::source_location where = std::source_location::current()) {
    return "test_debug.cpp:" + std::to_string(where.line());
}

// A loop in debug mode.
class Debug : public LoopTest {
  protected:
    Debug() { loop.set_debug(true); }
    template <class Body>
    void run_in_task(Body body) {
        loop.run_until_complete(loop.create_task(body));
    }
    Log log;
};

// In debug mode, with time of its own.
template <class Body>
std::vector<std::string> logged_by(Body body) {
    Log log;
    asyncio::testing::SimLoop sim;
    sim.loop().set_debug(true);
    sim.run_until_complete(sim.create_task(body));
    sim.run_until_idle();
    EXPECT_TRUE(sim.reports().empty());
    return log.lines;
}

Coroutine<void> swallow() {
    try {
        co_await sleep(1h);
    } catch (const CancelledError&) {
    }
}

}  // namespace

TEST(DebugSwitch, ComesFromTheEnvironmentAndFromOptions) {
    ASSERT_EQ(unsetenv("ASYNCIO_DEBUG"), 0);
    EXPECT_FALSE(new_event_loop()->get_debug());
    ASSERT_EQ(setenv("ASYNCIO_DEBUG", "1", 1), 0);
    EXPECT_TRUE(new_event_loop()->get_debug());
    EXPECT_FALSE(new_event_loop({.debug = false})->get_debug());
    ASSERT_EQ(setenv("ASYNCIO_DEBUG", "0", 1), 0);
    EXPECT_FALSE(new_event_loop()->get_debug());
    ASSERT_EQ(setenv("ASYNCIO_DEBUG", "", 1), 0);
    EXPECT_FALSE(new_event_loop()->get_debug());
    ASSERT_EQ(unsetenv("ASYNCIO_DEBUG"), 0);
    const auto debugged = []() -> Coroutine<bool> { co_return get_running_loop().get_debug(); };
    EXPECT_TRUE(run(debugged(), {.debug = true}));
    EXPECT_FALSE(run(debugged()));
}

// test_base_events.py: test_log_slow_callbacks
TEST_F(Debug, ASlowCallbackIsNamedWithItsPlace) {
    loop.slow_callback_duration = 0ns;
    std::string place = line_here();
    loop.call_soon([] {});  // the line after
    loop.call_soon([](int) {}, 3);
    iterate();
    ASSERT_EQ(log.lines.size(), 2u);
    place = "test_debug.cpp:" + std::to_string(std::stoi(place.substr(place.find(':') + 1)) + 1);
    EXPECT_THAT(log.lines[0], AllOf(HasSubstr("Executing <Handle "), HasSubstr(place),
                                    HasSubstr(" took 0.0"), HasSubstr(" seconds")));
    EXPECT_EQ(log.levels[0], LogLevel::warning);
    EXPECT_THAT(log.lines[1], HasSubstr("Executing <Handle "));
}

TEST_F(Debug, ASlowStepIsNamedWithItsTaskAndWhereItBegan) {
    loop.slow_callback_duration = 0ns;
    const auto body = []() -> Coroutine<void> { co_await sleep(0); };
    loop.run_until_complete(loop.create_task({.name = "slow"}, body));
    ASSERT_GE(log.lines.size(), 2u);
    EXPECT_THAT(log.lines[0], AllOf(HasSubstr("Executing <Task 'slow' pending at "),
                                    HasSubstr("test_debug.cpp:"), HasSubstr(" took ")));
    EXPECT_THAT(log.lines[1], AllOf(HasSubstr("Executing <Task 'slow' finished"),
                                    HasSubstr(", beginning at "), HasSubstr("test_debug.cpp:")));
}

TEST_F(Debug, WhatIsFastEnoughIsNotNamed) {
    loop.slow_callback_duration = 1h;
    loop.call_soon([] {});
    loop.run_until_complete(loop.create_task([]() -> Coroutine<void> { co_await sleep(0); }));
    EXPECT_THAT(log.lines, IsEmpty());
}

TEST_F(Debug, ACancelledTimerIsForgotten) {
    loop.slow_callback_duration = 0ns;
    for (int i = 0; i < 100; ++i) loop.call_later(1h, [] {}).cancel();
    EXPECT_TRUE(EventLoop::Internals::state(loop).debug_notes.scheduled_at.empty());
    loop.call_later(0ns, [] {});
    loop.call_at(loop.time(), [] {});
    iterate(2);
    EXPECT_TRUE(EventLoop::Internals::state(loop).debug_notes.scheduled_at.empty());
    EXPECT_THAT(log.lines, ElementsAre(HasSubstr("test_debug.cpp"), HasSubstr("test_debug.cpp")));
}

TEST_F(Debug, AFailedCallbackTellsItsPlace) {
    std::string source;
    loop.set_exception_handler(
        [&source](EventLoop&, const ExceptionContext& context) { source = context.source; });
    loop.call_soon([] { throw ValueError("no"); });
    iterate();
    EXPECT_THAT(source, HasSubstr("test_debug.cpp:"));
}

TEST_F(Debug, ATaskTellsWhereItWasMade) {
    Task<void> task = loop.create_task(sleep(0));
    run_in_task([&task]() -> Coroutine<void> {
        const auto mine = create_task([]() -> Coroutine<void> { co_return; });
        EXPECT_THAT(mine.repr(), HasSubstr(" created at "));
        EXPECT_THAT(mine.repr(), HasSubstr("test_debug.cpp:"));
        get_running_loop().set_debug(false);
        EXPECT_EQ(mine.repr().find("created at"), std::string::npos);
        get_running_loop().set_debug(true);
        co_await mine;
        co_await task;
    });
}

// While the loop is kept busy, the kernel is asked as it is without debug mode.
TEST_F(Debug, CompletionsArriveWhileTasksAreAlwaysReady) {
    struct Nop : detail::Operation {
        bool done = false;
    } nop;
    nop.kind = detail::Operation::Kind::nop;
    nop.complete = [](detail::Operation& self, int, bool) { static_cast<Nop&>(self).done = true; };
    run_in_task([&]() -> Coroutine<void> {
        EventLoop::Internals::state(loop).proactor->submit(nop);
        for (int i = 0; i < 1'000'000 && !nop.done; ++i) co_await sleep(0);
    });
    EXPECT_TRUE(nop.done);
}

// ---- the wrong thread -----------------------------------------------------------------------

// test_base_events.py: test_check_thread
TEST_F(Debug, TheWrongThreadIsRefused) {
    std::vector<std::string> refused;
    run_in_task([&]() -> Coroutine<void> {
        Future<int> future = loop.create_future<int>();
        auto task = create_task(sleep(1h));
        co_await sleep(0);
        std::thread([&] {
            refused.push_back(thrown_by([&] { loop.call_soon([] {}); }));
            refused.push_back(thrown_by([&] { loop.call_later(1s, [] {}); }));
            refused.push_back(thrown_by([&] { loop.call_at(loop.time(), [] {}); }));
            refused.push_back(thrown_by([&] { future.set_result(1); }));
            refused.push_back(thrown_by([&] { future.set_exception(ValueError("no")); }));
            refused.push_back(thrown_by([&] { task.cancel(); }));
            loop.call_soon_threadsafe([&] { future.set_result(2); });
        }).join();
        EXPECT_EQ(co_await future, 2);
        EXPECT_FALSE(task.done());
        task.cancel();
        co_await wait({task});
    });
    ASSERT_EQ(refused.size(), 6u);
    for (const std::string& error : refused) {
        EXPECT_THAT(error, AllOf(HasSubstr("RuntimeError: "), HasSubstr("another thread"),
                                 HasSubstr("call_soon_threadsafe()")));
    }
}

// ---- cancellations --------------------------------------------------------------------------

TEST(SwallowedCancel, IsReportedWithBothPlaces) {
    const auto lines = logged_by([]() -> Coroutine<void> {
        auto task = create_task(swallow(), {.name = "deaf"});
        co_await sleep(1s);
        task.cancel();
        co_await task;
    });
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_THAT(lines[0], HasSubstr("Task 'deaf' swallowed its cancellation, due at "));
    EXPECT_THAT(lines[0], HasSubstr(" in swallow"));
    EXPECT_THAT(lines[0], HasSubstr("\nsource: "));
    EXPECT_THAT(lines[0], HasSubstr("test_debug.cpp:"));
}

TEST(SwallowedCancel, IsNoneWhenItWasTakenBack) {
    EXPECT_THAT(logged_by([]() -> Coroutine<void> {
                    auto task = create_task([]() -> Coroutine<void> {
                        co_await swallow();
                        current_task().uncancel();
                    });
                    co_await sleep(1s);
                    task.cancel();
                    co_await task;
                }),
                IsEmpty());
}

TEST(SwallowedCancel, IsNoneWhenItGotOutOrBecameAnError) {
    EXPECT_THAT(logged_by([]() -> Coroutine<void> {
                    auto cancelled = create_task(sleep(1h));
                    auto failed = create_task([]() -> Coroutine<void> {
                        co_await swallow();
                        throw ValueError("instead");
                    });
                    co_await sleep(1s);
                    cancelled.cancel();
                    failed.cancel();
                    co_await wait(std::vector<AnyTask>{cancelled, failed});
                    EXPECT_TRUE(failed.exception());
                }),
                IsEmpty());
}

// Who uses cancellation itself takes it back itself.
TEST(SwallowedCancel, IsNoneForTimeoutsAndGroups) {
    EXPECT_THAT(logged_by([]() -> Coroutine<void> {
                    const auto timed = co_await try_(wait_for(sleep(1h), 1s));
                    EXPECT_TRUE(timed.exception());
                    const auto limited = co_await try_(
                        with(timeout(1s), []() -> Coroutine<void> { co_await sleep(1h); }));
                    EXPECT_TRUE(limited.exception());
                    const auto group =
                        co_await try_(with(TaskGroup(), [](TaskGroup& tasks) -> Coroutine<void> {
                            tasks.create_task([]() -> Coroutine<void> {
                                co_await sleep(1s);
                                throw ValueError("child");
                            });
                            co_await sleep(1h);
                        }));
                    EXPECT_TRUE(group.exception());
                }),
                IsEmpty());
}

TEST(SwallowedCancel, IsSilentWithoutDebugMode) {
    Log log;
    simulate([]() -> Coroutine<void> {
        auto task = create_task(swallow());
        co_await sleep(1s);
        task.cancel();
        co_await task;
    });
    EXPECT_THAT(log.lines, IsEmpty());
}

// ---- what was not closed or not looked at ---------------------------------------------------

TEST_F(Debug, AGeneratorDroppedAfterShutdownIsUnclosed) {
    run_in_task([this]() -> Coroutine<void> {
        const auto numbers = []() -> AsyncGenerator<int> {
            co_yield 1;
            co_yield 2;
        };
        {
            auto early = numbers();
            co_await early.anext();
        }  // its loop ends it
        auto late = numbers();
        auto never_begun = numbers();
        co_await loop.shutdown_asyncgens();
        {
            auto after = numbers();
            co_await after.anext();
        }
        for (int i = 0; i < 5; ++i) co_await sleep(0);  // its loop ends it all the same
    });
    ASSERT_EQ(log.lines.size(), 2u);
    EXPECT_THAT(log.lines[0], HasSubstr("was started after shutdown_asyncgens()"));
    EXPECT_THAT(log.lines[1], AllOf(HasSubstr("unclosed asynchronous generator"),
                                    HasSubstr("\nsource: "), HasSubstr("<lambda>")));
}

TEST_F(Debug, ReportUnclosedNamesThePlace) {
    detail::report_unclosed(loop, "transport", std::source_location::current());
    loop.set_debug(false);
    detail::report_unclosed(loop, "transport", std::source_location::current());
    EXPECT_THAT(log.lines, ElementsAre(AllOf(HasSubstr("unclosed transport\nsource: "),
                                             HasSubstr("test_debug.cpp:"))));
}

TEST(Reports, CarryWhereThingsWereMade) {
    std::vector<std::string> reports;
    const auto loop = new_event_loop();
    loop->set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
        reports.push_back(context.message + " | " + context.source);
    });
    loop->run_until_complete(loop->create_task([]() -> Coroutine<void> {
        {
            const auto failed = create_task([]() -> Coroutine<void> {
                co_await sleep(0);
                throw ValueError("lost");
            });
            co_await wait({failed});
        }
        {
            const auto dropped = swallow();
        }
        {
            const auto future = get_running_loop().create_future<int>();
            future.set_exception(ValueError("lost, too"));
        }
        static_cast<void>(create_task(sleep(1h)));
        co_await sleep(0);
    }));
    loop->close();
    EXPECT_THAT(reports, ElementsAre(AllOf(HasSubstr("Task exception was never retrieved | "),
                                           HasSubstr("test_debug.cpp:")),
                                     AllOf(HasSubstr("coroutine 'swallow' was never awaited | "),
                                           HasSubstr("test_debug.cpp:")),
                                     AllOf(HasSubstr("Future exception was never retrieved | "),
                                           HasSubstr("test_debug.cpp:")),
                                     AllOf(HasSubstr("Task was destroyed but it is pending! | "),
                                           HasSubstr("test_debug.cpp:"))));
}

// A cancel that comes after a future failed goes first, and the future has told its error all
// the same.
TEST(Reports, AnErrorThatACancelOvertookCountsAsRetrieved) {
    simulate([]() -> Coroutine<void> {
        Future<void> future = get_running_loop().create_future();
        auto waiter = create_task([future]() -> Coroutine<void> { co_await future; });
        co_await sleep(0);
        future.set_exception(ValueError("first"));
        waiter.cancel();
        co_await wait({waiter});
        EXPECT_TRUE(waiter.cancelled());
    });
}

// ---- the log --------------------------------------------------------------------------------

TEST(TheLog, DropsWhatIsBelowItsLevel) {
    Log log;
    EXPECT_EQ(logger_name, "asyncio");
    EXPECT_EQ(get_log_level(), LogLevel::warning);
    asyncio::log(LogLevel::info, "unheard");
    set_log_level(LogLevel::debug);
    asyncio::log(LogLevel::debug, "heard");
    set_log_level(LogLevel::critical);
    asyncio::log(LogLevel::error, "unheard");
    set_log_level(LogLevel::warning);
    EXPECT_THAT(log.lines, ElementsAre("heard"));
}

TEST(TheLog, OutlivesASinkThatThrows) {
    const LogSink before =
        set_log_sink([](LogLevel, std::string_view) { throw ValueError("full"); });
    asyncio::log(LogLevel::error, "lost");
    set_log_sink(before);
}
