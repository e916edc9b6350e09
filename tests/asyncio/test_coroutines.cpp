// Coroutine: awaiting once, foreign awaitables, outcomes; semantics rules 42, 43.
#include <latch>
#include <thread>

#include "support/loop_fixture.hpp"

using namespace asyncio;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

namespace {

class CoroutineTest : public LoopTest {};

Coroutine<int> value(int v) {
    co_return v;
}
Coroutine<int&> reference(int& target) {
    co_return target;
}
Coroutine<std::unique_ptr<int>> pointer(int v) {
    co_return std::make_unique<int>(v);
}

// An awaiter of nobody's library: resumes on a thread of its own.
struct OnAThread {
    std::thread* thread;
    std::latch* go = nullptr;  // waited for, if there is one
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> frame) {
        *thread = std::thread([frame, go = go] {
            if (go != nullptr) go->wait();
            frame.resume();
        });
    }
    std::thread::id await_resume() const noexcept { return std::this_thread::get_id(); }
};

// A coroutine type of another library, eager and self-destroying, that awaits what is ours.
struct Foreign {
    struct promise_type {
        std::coroutine_handle<> waiter;
        int result = 0;
        Foreign get_return_object() {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        struct Final {
            bool await_ready() noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> me) noexcept {
                return me.promise().waiter;
            }
            void await_resume() noexcept {}
        };
        Final final_suspend() noexcept { return {}; }
        void return_value(int v) { result = v; }
        void unhandled_exception() { std::terminate(); }
    };
    std::coroutine_handle<promise_type> frame;

    struct Awaiter {
        std::coroutine_handle<promise_type> frame;
        bool await_ready() noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) noexcept {
            frame.promise().waiter = waiter;
            return frame;
        }
        int await_resume() {
            const int result = frame.promise().result;
            frame.destroy();
            return result;
        }
    };
    Awaiter operator co_await() && { return {frame}; }
};

Foreign foreign(int n) {
    co_await sleep(1ms);
    const int inner = co_await value(n);
    co_return inner * 2;
}

}  // namespace

TEST_F(CoroutineTest, ResultsOfEveryKind) {
    int target = 1;
    loop.run_until_complete([](int& t) -> Coroutine<void> {
        EXPECT_EQ(co_await value(3), 3);
        (co_await reference(t)) = 5;
        std::unique_ptr<int> moved = co_await pointer(7);
        EXPECT_EQ(*moved, 7);
    }(target));
    EXPECT_EQ(target, 5);
}

TEST_F(CoroutineTest, AwaitedTwiceIsARuntimeError) {
    const std::string error = loop.run_until_complete([]() -> Coroutine<std::string> {
        Coroutine<int> once = value(1);
        EXPECT_EQ(co_await once, 1);
        std::string text;
        try {
            co_await once;
        } catch (const RuntimeError& error) {
            text = error.what();
        }
        co_return text;
    }());
    EXPECT_THAT(error, HasSubstr("awaited already"));
    EXPECT_THAT(error, HasSubstr("create_task()"));
}

TEST_F(CoroutineTest, AwaitedAfterAMoveIsARuntimeError) {
    const std::string error = loop.run_until_complete([]() -> Coroutine<std::string> {
        Coroutine<int> first = value(1);
        Coroutine<int> second = std::move(first);
        std::string text;
        try {
            co_await first;
        } catch (const RuntimeError& error) {
            text = error.what();
        }
        co_await second;
        co_return text;
    }());
    EXPECT_THAT(error, HasSubstr("moved from"));
}

// rule 43
TEST_F(CoroutineTest, AwaitedByTwoTasksIsARuntimeErrorForTheSecond) {
    auto shared = std::make_shared<Coroutine<int>>([]() -> Coroutine<int> {
        co_await sleep(1ms);
        co_return 1;
    }());
    const auto use = [](std::shared_ptr<Coroutine<int>> c) -> Coroutine<int> {
        co_return co_await *c;
    };
    auto first = loop.create_task(use, shared);
    auto second = loop.create_task(use, shared);
    EXPECT_EQ(loop.run_until_complete(first), 1);
    EXPECT_THROW(loop.run_until_complete(second), RuntimeError);
}

TEST_F(CoroutineTest, NeverAwaitedIsReportedWithItsName) {
    loop.run_until_complete([]() -> Coroutine<void> {
        {
            Coroutine<int> dropped = value(1);
        }
        Coroutine<int> closed = value(2);
        closed.close();  // on purpose: no report
        co_return;
    }());
    const auto reported = take_reports();
    ASSERT_EQ(reported.size(), 1u);
    EXPECT_THAT(reported[0], HasSubstr("value' was never awaited"));
}

TEST_F(CoroutineTest, AForeignAwaitableComesBackToTheLoopsThread) {
    const auto here = std::this_thread::get_id();
    std::thread helper;
    loop.run_until_complete([](std::thread& helper, std::thread::id here) -> Coroutine<void> {
        co_await OnAThread{&helper};
        EXPECT_EQ(std::this_thread::get_id(), here);
        EXPECT_TRUE(current_task());
        helper.join();
    }(helper, here));
}

TEST_F(CoroutineTest, AForeignCoroutineMayAwaitOurs) {
    EXPECT_EQ(loop.run_until_complete([]() -> Coroutine<int> {
        const AnyTask me = current_task();
        const int result = co_await foreign(21);
        EXPECT_EQ(current_task(), me);
        co_return result;
    }()),
              42);
}

TEST_F(CoroutineTest, ACancellationWaitsForAForeignOperation) {
    std::thread helper;
    std::latch go(1);
    auto task = loop.create_task([&]() -> Coroutine<void> { co_await OnAThread{&helper, &go}; });
    iterate();
    task.cancel();
    go.count_down();
    EXPECT_THROW(loop.run_until_complete(task), CancelledError);
    helper.join();
}

TEST_F(CoroutineTest, AnOutcomeHoldsAValueOrAnError) {
    loop.run_until_complete([]() -> Coroutine<void> {
        const Outcome<int> good = co_await try_(value(1));
        EXPECT_TRUE(good);
        EXPECT_EQ(*good, 1);
        EXPECT_FALSE(good.exception());
        const Outcome<int> bad = co_await try_([]() -> Coroutine<int> {
            throw ValueError("x");
            co_return 1;
        }());
        EXPECT_FALSE(bad);
        EXPECT_FALSE(bad.cancelled());
        EXPECT_THROW(bad.value(), ValueError);
        auto task = create_task(sleep(1h));
        co_await sleep(0);
        task.cancel();
        const Outcome<void> cancelled = co_await try_(task);
        EXPECT_TRUE(cancelled.cancelled());
    }());
}

TEST_F(CoroutineTest, ArgumentsOfTheCallableFormAreCopiedIn) {
    auto task = [&] {
        std::string local = "a local long enough to live on the heap";
        return loop.create_task(
            [](const std::string& text) -> Coroutine<std::size_t> {
                co_await sleep(1ms);
                co_return text.size();
            },
            local);
    }();
    EXPECT_EQ(loop.run_until_complete(task), 39u);
}
