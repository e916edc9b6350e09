// ContextVar, Token and Context, as CPython's test_context.py maps them.
#include <thread>

#include "support/simulate.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

ContextVar<int> number("number");
ContextVar<std::string> text("text", "default");

}  // namespace

// test_context_var_new_1
TEST(ContextVar, GivesItsValueItsDefaultOrTheFallback) {
    Context().run([] {
        EXPECT_EQ(number.name(), "number");
        EXPECT_THROW(static_cast<void>(number.get()), LookupError);
        EXPECT_EQ(number.get(7), 7);
        EXPECT_EQ(text.get(), "default");
        EXPECT_EQ(text.get("fallback"), "fallback");
        number.set(1);
        EXPECT_EQ(number.get(), 1);
        EXPECT_EQ(number.get(7), 1);
    });
}

TEST(ContextVar, AMissingValueIsNamed) {
    Context().run([] {
        try {
            static_cast<void>(number.get());
            FAIL();
        } catch (const LookupError& error) {
            EXPECT_NE(std::string(error.what()).find("'number'"), std::string::npos);
        }
    });
}

// test_context_getset_1
TEST(Token, PutsBackWhatWas) {
    Context().run([] {
        auto first = number.set(1);
        EXPECT_FALSE(first.old_value());
        EXPECT_EQ(&first.var(), &number);
        auto second = number.set(2);
        EXPECT_EQ(second.old_value(), 1);
        number.reset(second);
        EXPECT_EQ(number.get(), 1);
        number.reset(first);
        EXPECT_THROW(static_cast<void>(number.get()), LookupError);
    });
}

// test_context_getset_2
TEST(Token, WorksOnce) {
    Context().run([] {
        auto token = number.set(1);
        number.reset(token);
        number.set(3);
        EXPECT_THROW(number.reset(token), RuntimeError);
        EXPECT_EQ(number.get(), 3);
    });
}

// test_context_getset_4
TEST(Token, WorksInItsOwnContextOnly) {
    Context one, two;
    auto token = one.run([] { return number.set(1); });
    EXPECT_THROW(two.run([&] { number.reset(token); }), ValueError);
    EXPECT_EQ(one.get(number), 1);
    one.run([&] { number.reset(token); });
    EXPECT_FALSE(one.contains(number));
}

// test_context_getset_3
TEST(Token, WorksForItsOwnVariableOnly) {
    Context().run([] {
        static ContextVar<int> other("other");
        auto token = number.set(1);
        EXPECT_THROW(other.reset(token), ValueError);
        number.reset(token);
    });
}

// Python 3.14: `with var.set(x):`
TEST(Token, AGuardSetsForItsScope) {
    Context().run([] {
        number.set(1);
        {
            const auto outer = number.scoped(2);
            const auto inner = number.scoped(3);
            EXPECT_EQ(number.get(), 3);
        }
        EXPECT_EQ(number.get(), 1);
    });
}

// test_context_run_1 to _5
TEST(ContextRun, PassesArgumentsResultsAndErrors) {
    Context context;
    EXPECT_EQ(context.run([](int a, int b) { return a + b; }, 2, 3), 5);
    EXPECT_THROW(context.run([] { throw ValueError("from inside"); }), ValueError);
    const auto pointer =
        context.run([](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(4));
    EXPECT_EQ(*pointer, 4);
}

TEST(ContextRun, ChangesStayInside) {
    Context outside;
    outside.run([] {
        number.set(1);
        Context inside = copy_context();
        inside.run([] {
            EXPECT_EQ(number.get(), 1);
            number.set(2);
        });
        EXPECT_EQ(number.get(), 1);
        EXPECT_EQ(inside.at(number), 2);
        inside.run([] { EXPECT_EQ(number.get(), 2); });
    });
}

TEST(ContextRun, ChangesOfAThrowingFunctionStayToo) {
    Context context;
    EXPECT_THROW(context.run([] {
        number.set(1);
        throw ValueError("x");
    }),
                 ValueError);
    EXPECT_EQ(context.get(number), 1);
    context.run([] {});  // it was left
}

// test_context_run_6, _7
TEST(ContextRun, EnteredTwiceIsRefused) {
    Context context;
    EXPECT_THROW(context.run([&] { context.run([] {}); }), RuntimeError);
    context.run([] {});
    Context copy = context.copy();
    EXPECT_EQ(context.run([&] { return copy.run([] { return 1; }); }), 1);
}

// rule: a context is entered by one thread at a time
TEST(ContextRun, EnteredOnAnotherThreadIsRefused) {
    Context context;
    context.run(
        [&] { std::thread([&] { EXPECT_THROW(context.run([] {}), RuntimeError); }).join(); });
}

// test_context_getset_5, test_context_new_1
TEST(Context, LooksThingsUp) {
    Context context;
    EXPECT_EQ(context.size(), 0u);
    EXPECT_FALSE(context.get(number));
    EXPECT_FALSE(context.contains(text));
    EXPECT_THROW(static_cast<void>(context.at(number)), LookupError);
    context.run([] {
        number.set(1);
        text.set("one");
        number.set(2);
    });
    EXPECT_EQ(context.size(), 2u);
    EXPECT_EQ(context.get(number), 2);
    EXPECT_EQ(context.at(text), "one");
}

// test_context_copy_1
TEST(Context, ACopyGoesItsOwnWay) {
    Context original;
    original.run([] { number.set(1); });
    Context copy = original.copy();
    original.run([] { number.set(2); });
    copy.run([] { text.set("copy"); });
    EXPECT_EQ(copy.get(number), 1);
    EXPECT_EQ(original.get(number), 2);
    EXPECT_FALSE(original.contains(text));
    const Context same = original;  // a second handle
    EXPECT_TRUE(same.is(original));
    EXPECT_FALSE(copy.is(original));
}

// test_hamt_stress, as far as it concerns what a context promises
TEST(Context, HoldsManyVariables) {
    std::vector<std::unique_ptr<ContextVar<int>>> variables;
    for (int i = 0; i < 500; ++i) {
        variables.push_back(std::make_unique<ContextVar<int>>("v" + std::to_string(i)));
    }
    Context context;
    std::vector<Context> snapshots;
    context.run([&] {
        for (int i = 0; i < 500; ++i) {
            variables[static_cast<std::size_t>(i)]->set(i);
            if (i % 100 == 99) snapshots.push_back(copy_context());
        }
        for (int i = 0; i < 500; ++i) {
            EXPECT_EQ(variables[static_cast<std::size_t>(i)]->get(), i);
        }
    });
    EXPECT_EQ(context.size(), 500u);
    for (std::size_t i = 0; i < snapshots.size(); ++i) {
        EXPECT_EQ(snapshots[i].size(), (i + 1) * 100);
    }
}

// test_hamt_gc_1
TEST(Context, LetsGoOfItsValues) {
    const auto value = std::make_shared<int>(1);
    static ContextVar<std::shared_ptr<int>> pointer("pointer");
    {
        Context context;
        context.run([&] {
            pointer.set(value);
            Context copy = copy_context();
            pointer.set(nullptr);
            EXPECT_EQ(value.use_count(), 2);
        });
        EXPECT_EQ(value.use_count(), 1);
    }
}

TEST(Context, OutlivesAVariable) {
    Context context;
    {
        ContextVar<std::string> brief("brief");
        context.run([&] { brief.set("value"); });
    }
    EXPECT_EQ(context.size(), 1u);
    EXPECT_FALSE(context.contains(number));
}

// test_context_threads_1
TEST(Context, EachThreadHasItsOwn) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
        threads.emplace_back([i] {
            EXPECT_THROW(static_cast<void>(number.get()), LookupError);
            for (int round = 0; round < 1000; ++round) {
                number.set(i + round);
                EXPECT_EQ(number.get(), i + round);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

// rule 165
TEST(Context, EachTaskRunsInACopy) {
    simulate([]() -> Coroutine<void> {
        number.set(1);
        auto child = create_task([]() -> Coroutine<int> {
            const int seen = number.get();
            number.set(2);
            co_await sleep(1s);
            EXPECT_EQ(number.get(), 2);
            co_return seen;
        });
        number.set(3);
        EXPECT_EQ(co_await child, 1);  // copied as the task was made
        EXPECT_EQ(number.get(), 3);
    });
}
