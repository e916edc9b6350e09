// with(), finally(), AsyncExitStack and their relatives, as CPython's test_contextlib_async.py
// maps them.
#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

using Trace = std::vector<std::string>;

// Notes what happens to it; gives its name.
class Manager {
  public:
    Manager(Trace& trace, std::string name, bool swallow = false)
        : trace_(&trace), name_(std::move(name)), swallow_(swallow) {}
    Coroutine<std::string> aenter() {
        co_await sleep(1s);
        trace_->push_back("enter " + name_);
        co_return name_;
    }
    Coroutine<bool> aexit(std::exception_ptr error) {
        co_await sleep(1s);
        trace_->push_back("exit " + name_ + (error ? " " + describe_exception(error) : ""));
        co_return swallow_;
    }

  private:
    Trace* trace_;
    std::string name_;
    bool swallow_;
};

}  // namespace

TEST(With, EntersRunsAndLeaves) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        const int result =
            co_await with(Manager(trace, "m"), [&](std::string& name) -> Coroutine<int> {
                trace.push_back("body " + name);
                co_return 5;
            });
        EXPECT_EQ(result, 5);
        EXPECT_EQ(trace, (Trace{"enter m", "body m", "exit m"}));
    });
}

TEST(With, LeavesWithTheErrorAndPassesItOn) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        EXPECT_THROW(co_await with(Manager(trace, "m"),
                                   []() -> Coroutine<void> {
                                       throw ValueError("x");
                                       co_return;
                                   }),
                     ValueError);
        EXPECT_EQ(trace, (Trace{"enter m", "exit m ValueError: x"}));
    });
}

TEST(With, AManagerMaySwallowTheError) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        co_await with(Manager(trace, "m", true), []() -> Coroutine<void> {
            throw ValueError("x");
            co_return;
        });
        EXPECT_EQ(trace.back(), "exit m ValueError: x");
    });
}

TEST(With, SeveralManagersNest) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        co_await with(Manager(trace, "a"), Manager(trace, "b"),
                      [&](std::string& a, std::string& b) -> Coroutine<void> {
                          trace.push_back(a + b);
                          co_return;
                      });
        EXPECT_EQ(trace, (Trace{"enter a", "enter b", "ab", "exit b", "exit a"}));
    });
}

TEST(With, LeavesWhereverItIsCancelled) {
    Trace trace;
    int entered = 0;
    const auto report = asyncio::testing::cancel_everywhere(
        [&]() -> Coroutine<void> {
            trace.clear();
            co_await with(Manager(trace, "m"), []() -> Coroutine<void> { co_await sleep(2s); });
        },
        [&] {
            if (trace.empty() || trace.front() != "enter m") return;
            ++entered;
            // A cancellation inside aexit() itself may cut it short, as in Python.
            EXPECT_LE(trace.size(), 2u);
        });
    EXPECT_GT(report.points, 3u);
    EXPECT_GT(entered, 0);
}

TEST(Finally, RunsTheCleanUpWhateverTheOutcome) {
    simulate([]() -> Coroutine<void> {
        int cleaned = 0;
        auto cleanup = [&cleaned]() -> Coroutine<void> {
            co_await sleep(1s);
            ++cleaned;
        };
        const int value = co_await finally(sleep(1s, 3), cleanup);
        EXPECT_EQ(value, 3);
        auto fails = []() -> Coroutine<void> {
            throw ValueError("x");
            co_return;
        };
        EXPECT_THROW(co_await finally(fails(), cleanup), ValueError);
        EXPECT_EQ(cleaned, 2);
    });
}

TEST(AsyncExitStack, LeavesInTheOppositeOrder) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        co_await with(AsyncExitStack(), [&](AsyncExitStack& stack) -> Coroutine<void> {
            const std::string name = co_await stack.enter_async_context(Manager(trace, "a"));
            EXPECT_EQ(name, "a");
            stack.callback([&trace](std::string text) { trace.push_back(text); }, "callback");
            stack.push_async_callback([&trace]() -> Coroutine<void> {
                co_await sleep(1s);
                trace.push_back("async callback");
            });
        });
        EXPECT_EQ(trace, (Trace{"enter a", "async callback", "callback", "exit a"}));
    });
}

TEST(AsyncExitStack, WhatAnArgumentIsConvertedToLivesAsLongAsTheCallback) {
    simulate([]() -> Coroutine<void> {
        std::string seen;
        AsyncExitStack stack;
        stack.push_async_callback(
            [&seen](const std::string& text) -> Coroutine<void> {
                co_await sleep(1s);
                seen = text;
            },
            "a text that is too long for the string itself");
        co_await stack.aclose();
        EXPECT_EQ(seen, "a text that is too long for the string itself");
    });
}

TEST(AsyncExitStack, LeavesPlainThingsInTheSameOrder) {
    struct Guard {
        explicit Guard(Trace& trace) : trace(&trace) {}
        Guard(Guard&& other) noexcept : trace(std::exchange(other.trace, nullptr)) {}
        ~Guard() {
            if (trace) trace->push_back("guard");
        }
        Trace* trace;
    };
    simulate([]() -> Coroutine<void> {
        Trace trace;
        co_await with(AsyncExitStack(), [&](AsyncExitStack& stack) -> Coroutine<void> {
            co_await stack.enter_async_context(Manager(trace, "a"));
            Guard& guard = stack.enter_context(Guard(trace));
            EXPECT_EQ(guard.trace, &trace);
            stack.push([&trace](const std::exception_ptr& error) {
                trace.push_back("exit " + describe_exception(error));
                return true;
            });
            throw ValueError("swallowed");
        });
        EXPECT_EQ(trace, (Trace{"enter a", "exit ValueError: swallowed", "guard", "exit a"}));
    });
}

TEST(AsyncExitStack, AnExitMaySwallowForThoseBelow) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        co_await with(AsyncExitStack(), [&](AsyncExitStack& stack) -> Coroutine<void> {
            co_await stack.enter_async_context(Manager(trace, "below"));
            co_await stack.enter_async_context(Manager(trace, "swallows", true));
            throw ValueError("x");
        });
        EXPECT_EQ(trace.back(), "exit below");
    });
}

TEST(AsyncExitStack, PopAllKeepsEverythingOpen) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        AsyncExitStack kept;
        co_await with(AsyncExitStack(), [&](AsyncExitStack& stack) -> Coroutine<void> {
            co_await stack.enter_async_context(Manager(trace, "m"));
            AsyncExitStack moved = stack.pop_all();
            kept.push_async_exit([moved = std::make_shared<AsyncExitStack>(std::move(moved))](
                                     std::exception_ptr error) { return moved->aexit(error); });
        });
        EXPECT_EQ(trace, (Trace{"enter m"}));
        co_await kept.aclose();
        EXPECT_EQ(trace, (Trace{"enter m", "exit m"}));
    });
}

TEST(NullContext, GivesItsValue) {
    simulate([]() -> Coroutine<void> {
        const int value =
            co_await with(nullcontext(4), [](int& x) -> Coroutine<int> { co_return x; });
        EXPECT_EQ(value, 4);
    });
}

TEST(Aclosing, ClosesAtTheEnd) {
    simulate([]() -> Coroutine<void> {
        auto generator = []() -> AsyncGenerator<int> {
            for (int i = 0;; ++i) co_yield i;
        }();
        co_await with(aclosing(generator), [](AsyncGenerator<int>& numbers) -> Coroutine<void> {
            co_await numbers.anext();
        });
        EXPECT_FALSE(co_await generator.anext());
    });
}

TEST(Aclosing, ClosesAlsoWhenTheBodyFails) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        auto generator = [](Trace& lines) -> AsyncGenerator<int> {
            try {
                co_yield 1;
            } catch (const GeneratorExit&) {
                lines.push_back("closed");
            }
        }(trace);
        EXPECT_THROW(co_await with(aclosing(generator),
                                   [](AsyncGenerator<int>& numbers) -> Coroutine<void> {
                                       co_await numbers.anext();
                                       throw ValueError("x");
                                   }),
                     ValueError);
        EXPECT_EQ(trace, (Trace{"closed"}));
    });
}

TEST(NullContext, MayGiveNothing) {
    simulate([]() -> Coroutine<void> {
        bool ran = false;
        co_await with(nullcontext(), [&]() -> Coroutine<void> {
            ran = true;
            co_return;
        });
        EXPECT_TRUE(ran);
    });
}

// ---- AsyncExitStack -----------------------------------------------------------------------

// test_contextlib.py: what an exit throws replaces the error for those below.
TEST(AsyncExitStack, AnErrorOfAnExitReplacesTheOneBefore) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        const auto body = [&](AsyncExitStack& stack) -> Coroutine<void> {
            co_await stack.enter_async_context(Manager(trace, "below"));
            stack.push([](std::exception_ptr) -> bool { throw RuntimeError("in exit"); });
            throw ValueError("x");
        };
        EXPECT_THROW(co_await with(AsyncExitStack(), body), RuntimeError);
        EXPECT_EQ(trace.back(), "exit below RuntimeError: in exit");
    });
}

TEST(AsyncExitStack, AManagerThatCannotBeEnteredIsNotLeft) {
    simulate([]() -> Coroutine<void> {
        struct Broken {
            Coroutine<void> aenter() {
                throw ValueError("cannot enter");
                co_return;
            }
            Coroutine<void> aexit(std::exception_ptr) {
                ADD_FAILURE() << "left";
                co_return;
            }
        };
        AsyncExitStack stack;
        EXPECT_THROW(co_await stack.enter_async_context(Broken()), ValueError);
        co_await stack.aclose();
    });
}

// ---- asynccontextmanager ------------------------------------------------------------------

namespace {

AsyncGenerator<std::string> session(Trace& trace, std::string name) {
    trace.push_back("open " + name);
    co_await sleep(1s);
    std::exception_ptr error;
    try {
        co_yield name;
    } catch (...) {
        error = std::current_exception();
    }
    co_await sleep(1s);
    trace.push_back("close " + name + (error ? " after " + describe_exception(error) : ""));
    if (error && !holds_exception<LookupError>(error)) std::rethrow_exception(error);
}

AsyncGenerator<std::string> named(const std::string& name) {
    co_await sleep(0);
    co_yield name;
}

Coroutine<void> fail() {
    throw ValueError("body");
    co_return;
}

}  // namespace

// test_contextmanager_plain
TEST(AsyncContextManager, EntersUpToTheYieldAndLeavesToTheEnd) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        const auto open = asynccontextmanager(session);
        for (std::string name : {"a", "b"}) {
            const int length = co_await with(open(std::ref(trace), name),
                                             [&](std::string& given) -> Coroutine<int> {
                                                 trace.push_back("in " + given);
                                                 co_return static_cast<int>(given.size());
                                             });
            EXPECT_EQ(length, 1);
        }
        EXPECT_EQ(trace, (Trace{"open a", "in a", "close a", "open b", "in b", "close b"}));
    });
}

TEST(AsyncContextManager, WhatAnArgumentIsConvertedToLivesAsLongAsTheManager) {
    simulate([]() -> Coroutine<void> {
        const auto open = asynccontextmanager(named);
        co_await with(open("a text that is too long for the string itself"),
                      [](std::string& name) -> Coroutine<void> {
                          EXPECT_EQ(name, "a text that is too long for the string itself");
                          co_return;
                      });
        std::string text = "given by reference";
        auto manager = open(std::ref(text));
        text = "changed meanwhile";
        co_await with(manager, [](std::string& name) -> Coroutine<void> {
            EXPECT_EQ(name, "changed meanwhile");
            co_return;
        });
    });
}

// test_contextmanager_finally
TEST(AsyncContextManager, ThrowsTheBodysErrorAtTheYield) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        const auto open = asynccontextmanager(session);
        EXPECT_THROW(co_await with(open(std::ref(trace), "a"), fail), ValueError);
        EXPECT_EQ(trace.back(), "close a after ValueError: body");
    });
}

// test_contextmanager_except
TEST(AsyncContextManager, AGeneratorThatCatchesTheErrorSwallowsIt) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        const auto open = asynccontextmanager(session);
        co_await with(open(std::ref(trace), "a"), []() -> Coroutine<void> {
            throw LookupError("gone");
            co_return;
        });
        EXPECT_EQ(trace.back(), "close a after LookupError: gone");
    });
}

TEST(AsyncContextManager, AnotherErrorOfTheGeneratorReplacesTheBodys) {
    simulate([]() -> Coroutine<void> {
        const auto open = asynccontextmanager([]() -> AsyncGenerator<int> {
            try {
                co_yield 1;
            } catch (const ValueError&) {
                throw RuntimeError("other");
            }
        });
        EXPECT_THROW(co_await with(open(), fail), RuntimeError);
    });
}

// test_contextmanager_trap_no_yield, _trap_second_yield, _trap_yield_after_throw
TEST(AsyncContextManager, AGeneratorThatYieldsNeverOrTwiceIsARuntimeError) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        const auto never = asynccontextmanager([]() -> AsyncGenerator<int> { co_return; });
        const auto nothing = []() -> Coroutine<void> { co_return; };
        EXPECT_THROW(co_await with(never(), nothing), RuntimeError);
        const auto twice = asynccontextmanager([&trace]() -> AsyncGenerator<int> {
            try {
                co_yield 1;
            } catch (const ValueError&) {
            }
            try {
                co_yield 2;
            } catch (const GeneratorExit&) {
                trace.push_back("closed");
            }
        });
        EXPECT_THROW(co_await with(twice(), nothing), RuntimeError);
        EXPECT_THROW(co_await with(twice(), fail), RuntimeError);
        EXPECT_EQ(trace, (Trace{"closed", "closed"}));
    });
}

TEST(AsyncContextManager, IsEnteredOnce) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        auto manager = asynccontextmanager(session)(std::ref(trace), "a");
        const auto nothing = []() -> Coroutine<void> { co_return; };
        co_await with(manager, nothing);
        EXPECT_THROW(co_await with(manager, nothing), RuntimeError);
    });
}

TEST(AsyncContextManager, KeepsTheCapturesOfALambda) {
    simulate([]() -> Coroutine<void> {
        const std::string text(100, 'x');
        auto manager = asynccontextmanager([text]() -> AsyncGenerator<std::size_t> {
            co_await sleep(1s);
            co_yield text.size();
            EXPECT_EQ(text, std::string(100, 'x'));
        })();
        EXPECT_EQ(co_await with(std::move(manager),
                                [](std::size_t n) -> Coroutine<std::size_t> { co_return n; }),
                  100u);
    });
}

TEST(AsyncContextManager, WorksOnAnExitStack) {
    simulate([]() -> Coroutine<void> {
        Trace trace;
        const auto open = asynccontextmanager(session);
        co_await with(AsyncExitStack(), [&](AsyncExitStack& stack) -> Coroutine<void> {
            EXPECT_EQ(co_await stack.enter_async_context(open(std::ref(trace), "a")), "a");
            co_await stack.enter_async_context(open(std::ref(trace), "b"));
        });
        EXPECT_EQ(trace, (Trace{"open a", "open b", "close b", "close a"}));
    });
}

TEST(AsyncContextManager, LeavesWhereverTheBodyIsCancelled) {
    int open = 0;
    const auto manager = asynccontextmanager([&open]() -> AsyncGenerator<int> {
        ++open;
        std::exception_ptr error;
        try {
            co_yield 1;
        } catch (...) {
            error = std::current_exception();
        }
        --open;
        if (error) std::rethrow_exception(error);
    });
    const auto report = asyncio::testing::cancel_everywhere(
        [&]() -> Coroutine<void> {
            co_await with(manager(), []() -> Coroutine<void> { co_await sleep(2s); });
        },
        [&] { EXPECT_EQ(open, 0); });
    EXPECT_GT(report.cancelled, 1u);
}
