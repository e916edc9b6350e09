// The way of an exception through the awaits it left.
#include <atomic>
#include <source_location>

#include "support/loop_fixture.hpp"
#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

namespace {

Coroutine<void> fail(std::string text) {
    co_await sleep(0);
    throw RuntimeError(text);
}
Coroutine<void> middle() {
    co_await fail("boom");
}
Coroutine<void> outermost() {
    co_await middle();
}

std::vector<std::string> functions_of(const std::exception_ptr& error) {
    std::vector<std::string> names;
    for (const StackFrame& frame : extract_tb(error)) names.push_back(frame.function);
    return names;
}

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
    return found;
}

}  // namespace

TEST(Traceback, ListsTheAwaitsMostRecentLast) {
    const unsigned line = std::source_location::current().line();
    try {
        run(outermost());
        FAIL();
    } catch (const RuntimeError&) {
        const std::exception_ptr error = std::current_exception();
        EXPECT_THAT(functions_of(error), ElementsAre("outermost", "middle", "fail"));
        const std::vector<StackFrame> frames = extract_tb(error);
        ASSERT_EQ(frames.size(), 3u);
        EXPECT_THAT(frames[0].file, HasSubstr("test_traceback.cpp"));
        EXPECT_LT(frames[0].line, line);
        EXPECT_GT(frames[0].line, frames[1].line);
        const std::string text = format_exception(error);
        EXPECT_THAT(text, StartsWith("Traceback (most recent call last):\n  File \""));
        EXPECT_THAT(text, ::testing::EndsWith(", in fail\nRuntimeError: boom"));
    }
}

TEST(Traceback, SurvivesThatRunCancelsTheOtherTasks) {
    try {
        run([]() -> Coroutine<void> {
            auto other = create_task(sleep(1h));
            co_await outermost();
        });
        FAIL();
    } catch (const RuntimeError&) {
        EXPECT_EQ(extract_tb(std::current_exception()).size(), 4u);
    }
}

TEST(Traceback, OfAnExceptionThatLeftNoCoroutineIsItsTextOnly) {
    const auto error = std::make_exception_ptr(ValueError("no"));
    EXPECT_TRUE(extract_tb(error).empty());
    EXPECT_EQ(format_exception(error), "ValueError: no");
    EXPECT_EQ(format_exception(nullptr), "");
    EXPECT_TRUE(extract_tb(nullptr).empty());
}

TEST(Traceback, IsKnownInAHandlerOnTheWay) {
    simulate([]() -> Coroutine<void> {
        std::vector<std::string> names;
        try {
            co_await middle();
        } catch (const RuntimeError&) {
            names = functions_of(std::current_exception());
        }
        EXPECT_THAT(names, ElementsAre("middle", "fail"));
    });
}

// A new exception often gets the memory of the last one.
TEST(Traceback, OfOneExceptionIsNotTakenForThatOfTheNext) {
    simulate([]() -> Coroutine<void> {
        for (int i = 0; i < 10; ++i) {
            std::vector<std::string> names;
            try {
                co_await middle();
            } catch (const RuntimeError&) {
                names = functions_of(std::current_exception());
            }
            EXPECT_THAT(names, ElementsAre("middle", "fail"));
            try {
                throw RuntimeError("another");
            } catch (const RuntimeError&) {
                EXPECT_TRUE(extract_tb(std::current_exception()).empty());
            }
        }
    });
}

TEST(Traceback, GoesOnFromTaskToWhoAwaitsIt) {
    simulate([]() -> Coroutine<void> {
        auto task = create_task(middle());
        const auto await_it = [task]() -> Coroutine<void> { co_await task; };
        std::string text;
        try {
            co_await await_it();
        } catch (const RuntimeError&) {
            text = format_exception(std::current_exception());
        }
        EXPECT_THAT(text, HasSubstr("<lambda>\n  File"));
        EXPECT_THAT(text, HasSubstr(", in middle\n  File"));
        EXPECT_EQ(count(text, "  File "), 3u);
        co_await sleep(0);
        // And who awaits it next sees nothing of who awaited it before.
        EXPECT_THAT(functions_of(task.exception()), ElementsAre("middle", "fail"));
    });
}

TEST(Traceback, GoesThroughGather) {
    simulate([]() -> Coroutine<void> {
        std::string text;
        try {
            co_await gather(middle(), sleep(1s));
        } catch (const RuntimeError&) {
            text = format_exception(std::current_exception());
        }
        EXPECT_THAT(text, HasSubstr(", in middle\n"));
        EXPECT_THAT(text, HasSubstr(", in fail\nRuntimeError: boom"));
    });
}

TEST(Traceback, OfEachMemberOfATaskGroup) {
    simulate([]() -> Coroutine<void> {
        std::string text;
        try {
            co_await with(TaskGroup(), [](TaskGroup& group) -> Coroutine<void> {
                group.create_task(middle());
                group.create_task(fail("bang"));
                co_return;
            });
        } catch (const ExceptionGroup&) {
            text = format_exception(std::current_exception());
        }
        EXPECT_THAT(text, HasSubstr("ExceptionGroup: unhandled errors in a TaskGroup"));
        EXPECT_THAT(text, HasSubstr("\n  +---------------- 1 ----------------\n"
                                    "  | Traceback (most recent call last):\n"));
        EXPECT_THAT(text, HasSubstr(", in middle\n  |   File "));
        EXPECT_THAT(text, HasSubstr("  | RuntimeError: boom"));
        EXPECT_THAT(text, HasSubstr("  | RuntimeError: bang"));
    });
}

TEST(Traceback, OfANestedExceptionGoesBefore) {
    simulate([]() -> Coroutine<void> {
        const auto translate = []() -> Coroutine<void> {
            try {
                co_await middle();
            } catch (...) {
                std::throw_with_nested(ValueError("cannot go on"));
            }
        };
        std::string text;
        try {
            co_await translate();
        } catch (const ValueError&) {
            text = format_exception(std::current_exception());
        }
        EXPECT_THAT(text,
                    HasSubstr("RuntimeError: boom\n\nThe above exception was the direct cause "
                              "of the following exception:\n\n"));
        EXPECT_THAT(text, StartsWith("Traceback (most recent call last):\n"));
        EXPECT_THAT(text, HasSubstr("ValueError: cannot go on"));
        EXPECT_LT(text.find("boom"), text.find("cannot go on"));
        EXPECT_THAT(text.substr(0, text.find("boom")), HasSubstr(", in fail\n"));
    });
}

TEST(Traceback, IsInTheReportOfWhatNobodyRetrieved) {
    std::string log;
    const LogSink before = set_log_sink([&log](LogLevel, std::string_view text) { log += text; });
    run([]() -> Coroutine<void> {
        {
            const auto lost = create_task(outermost());
        }
        co_await sleep(1ms);
    });
    set_log_sink(before);
    EXPECT_THAT(log, StartsWith("Task exception was never retrieved"));
    EXPECT_THAT(log, HasSubstr("Traceback (most recent call last):\n"));
    EXPECT_THAT(log, HasSubstr(", in outermost\n"));
    EXPECT_THAT(log, HasSubstr("RuntimeError: boom"));
}

TEST(Traceback, OfATenThousandDeepCallShowsItsEnds) {
    struct Deep {
        static Coroutine<void> down(int depth) {
            if (depth == 0) {
                co_await fail("deep");
            } else {
                co_await down(depth - 1);
            }
        }
    };
    simulate([]() -> Coroutine<void> {
        std::string text;
        try {
            co_await Deep::down(10'000);
        } catch (const RuntimeError&) {
            text = format_exception(std::current_exception());
        }
        EXPECT_EQ(count(text, "  File "), 200u);
        EXPECT_THAT(text, HasSubstr(", in fail\n"));
        EXPECT_THAT(text, HasSubstr("more frames in between]"));
    });
}

TEST(Traceback, HoldsTheExceptionNoLongerThanTheStep) {
    struct Counted : std::exception {
        explicit Counted(std::shared_ptr<int> token) : token_(std::move(token)) {}
        std::shared_ptr<int> token_;
    };
    simulate([]() -> Coroutine<void> {
        auto token = std::make_shared<int>(0);
        const auto thrower = [token]() -> Coroutine<void> {
            co_await sleep(0);
            throw Counted(token);
        };
        const long others = token.use_count();
        try {
            co_await thrower();
        } catch (const Counted&) {
        }
        co_await sleep(0);
        EXPECT_EQ(token.use_count(), others);
    });
}

TEST(Traceback, GoesThroughAGenerator) {
    simulate([]() -> Coroutine<void> {
        const auto numbers = []() -> AsyncGenerator<int> {
            co_yield 1;
            co_await middle();
        };
        auto generator = numbers();
        std::string text;
        try {
            while (co_await generator.anext()) {
            }
        } catch (const RuntimeError&) {
            text = format_exception(std::current_exception());
        }
        EXPECT_THAT(text, HasSubstr("<lambda>\n  File"));
        EXPECT_THAT(text, HasSubstr(", in fail\n"));
    });
}

// test_tasks.py: test_print_stack, test_get_stack of a failed task
TEST(PrintStack, OfAFailedTaskIsItsTraceback) {
    simulate([]() -> Coroutine<void> {
        auto task = create_task(outermost(), {.name = "failed"});
        co_await wait({task});
        EXPECT_EQ(task.get_stack().size(), 3u);
        const auto oldest = task.get_stack(1);
        EXPECT_EQ(oldest.size(), 1u);
        EXPECT_EQ(oldest[0].function, "outermost");
        char text[2000] = {};
        std::FILE* file = fmemopen(text, sizeof text - 1, "w");
        task.print_stack(std::nullopt, file);
        std::fclose(file);
        EXPECT_THAT(text, StartsWith("Traceback for <Task 'failed' finished"));
        EXPECT_THAT(text, ::testing::EndsWith("RuntimeError: boom\n"));
        static_cast<void>(task.exception());
    });
}

TEST(PrintException, WritesALine) {
    char text[200] = {};
    std::FILE* file = fmemopen(text, sizeof text - 1, "w");
    print_exception(std::make_exception_ptr(RuntimeError("told")), file);
    std::fclose(file);
    EXPECT_STREQ(text, "RuntimeError: told\n");
}
