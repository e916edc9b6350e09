// Future, as CPython's test_concurrent_futures/test_future.py maps it.
#include <atomic>
#include <memory>
#include <thread>
#include <unordered_set>

#include "futures_fixture.hpp"

using namespace concurrent::futures;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

namespace {

static_assert(std::is_base_of_v<std::exception, CancelledError>);
static_assert(!std::is_base_of_v<asyncio::BaseException, CancelledError>);
static_assert(std::is_base_of_v<Error, CancelledError>);
static_assert(std::is_base_of_v<Error, InvalidStateError>);
static_assert(std::is_base_of_v<asyncio::RuntimeError, BrokenExecutor>);
static_assert(std::is_same_v<TimeoutError, asyncio::TimeoutError>);

// Tells how many there are.
struct Counted {
    explicit Counted(int& count) : count(&count) { ++count; }
    Counted(const Counted& other) : count(other.count) { ++*count; }
    ~Counted() { --*count; }
    int* count;
};

struct ThrowsWhenMoved {
    ThrowsWhenMoved() = default;
    ThrowsWhenMoved(ThrowsWhenMoved&&) { throw std::domain_error("moved"); }
};

}  // namespace

// ---- done callbacks -----------------------------------------------------------------------

TEST(FutureDoneCallback, SeesResultExceptionAndCancellation) {
    int result = 0;
    Future<int> value;
    value.add_done_callback([&](const Future<int>& future) { result = future.result(); });
    value.set_result(5);
    EXPECT_EQ(result, 5);

    std::exception_ptr error;
    Future<int> failing;
    failing.add_done_callback([&](const Future<int>& future) { error = future.exception(); });
    failing.set_exception(std::domain_error("test"));
    EXPECT_EQ(text_of<std::domain_error>(error), "test");

    bool was_cancelled = false;
    Future<int> dropped;
    dropped.add_done_callback([&](const AnyFuture& future) { was_cancelled = future.cancelled(); });
    EXPECT_TRUE(dropped.cancel());
    EXPECT_TRUE(was_cancelled);
}

TEST(FutureDoneCallback, IsCalledAtOnceWhenDoneAlready) {
    int result = 0;
    successful(5).add_done_callback([&](const Future<int>& future) { result = future.result(); });
    EXPECT_EQ(result, 5);

    std::exception_ptr error;
    failed().add_done_callback([&](const Future<int>& future) { error = future.exception(); });
    EXPECT_NE(error, nullptr);

    bool was_cancelled = false;
    cancelled().add_done_callback([&](auto&& future) { was_cancelled = future.cancelled(); });
    EXPECT_TRUE(was_cancelled);
}

// rule 161
TEST(FutureDoneCallback, ThatThrowsIsLoggedAndLaterOnesStillRun) {
    const LogCapture log;
    bool called = false;
    Future<int> future;
    future.add_done_callback([] { throw std::domain_error("doh!"); });
    future.add_done_callback([&] { called = true; });
    future.set_result(5);
    EXPECT_TRUE(called);
    EXPECT_THAT(log.lines(), ElementsAre(Pair(asyncio::LogLevel::error, HasSubstr("doh!"))));
}

// rule 161
TEST(FutureDoneCallback, ThatThrowsWhenCalledAtOnceIsLogged) {
    const LogCapture log;
    successful().add_done_callback([] { throw std::domain_error("doh!"); });
    EXPECT_THAT(log.lines(),
                ElementsAre(Pair(asyncio::LogLevel::error,
                                 AllOf(HasSubstr("exception calling"), HasSubstr("doh!")))));
}

TEST(FutureDoneCallback, AreCalledInTheOrderAdded) {
    std::vector<int> order;
    Future<void> future;
    for (int i = 0; i < 4; ++i) future.add_done_callback([&order, i] { order.push_back(i); });
    future.set_result();
    EXPECT_THAT(order, ElementsAre(0, 1, 2, 3));
}

TEST(FutureDoneCallback, RunsInTheThreadThatEndsTheFuture) {
    Future<void> future;
    std::thread::id called_in;
    future.add_done_callback([&] { called_in = std::this_thread::get_id(); });
    std::thread ender([&] { future.set_result(); });
    const std::thread::id ended_in = ender.get_id();
    ender.join();
    EXPECT_EQ(called_in, ended_in);
}

TEST(FutureDoneCallback, MayBeMoveOnlyAndIsDestroyedOnceCalled) {
    int alive = 0;
    Future<int> future;
    future.add_done_callback([counted = std::make_unique<Counted>(alive)] {});
    EXPECT_EQ(alive, 1);
    future.set_result(1);
    EXPECT_EQ(alive, 0);
}

TEST(FutureDoneCallback, IsDestroyedUncalledWithAFutureThatNeverEnds) {
    int alive = 0;
    bool called = false;
    {
        const Future<int> future;
        future.add_done_callback([&called, counted = Counted(alive)] { called = true; });
        EXPECT_EQ(alive, 1);
    }
    EXPECT_EQ(alive, 0);
    EXPECT_FALSE(called);
}

TEST(FutureDoneCallback, MayAddAnotherWhichRunsAtOnce) {
    std::vector<int> order;
    Future<int> future;
    future.add_done_callback([&](const Future<int>& done) {
        done.add_done_callback([&] { order.push_back(1); });
        order.push_back(2);
    });
    future.set_result(1);
    EXPECT_THAT(order, ElementsAre(1, 2));
}

TEST(FutureDoneCallback, ComesWithoutAllocationAsANode) {
    struct Node final : detail::DoneCallback {
        void call(detail::StateBase& state) override { result = state.done() ? 1 : 2; }
        void release() noexcept override { ++released; }
        int result = 0;
        int released = 0;
    };
    Node called;
    Future<int> future;
    future.add_done_callback(&called);
    EXPECT_EQ(called.released, 0);
    future.set_result(3);
    EXPECT_EQ(called.result, 1);
    EXPECT_EQ(called.released, 1);

    Node uncalled;
    Future<int>().add_done_callback(&uncalled);
    EXPECT_EQ(uncalled.result, 0);
    EXPECT_EQ(uncalled.released, 1);
}

TEST(FutureDoneCallback, IsCalledOnceWhileThreadsAddAndEnd) {
    for (int round = 0; round < 200; ++round) {
        Future<int> future;
        std::atomic<int> called = 0;
        std::latch start(4);
        std::vector<std::thread> threads;
        for (int i = 0; i < 2; ++i) {
            threads.emplace_back([&] {
                start.arrive_and_wait();
                for (int n = 0; n < 5; ++n) future.add_done_callback([&] { ++called; });
            });
        }
        threads.emplace_back([&] {
            start.arrive_and_wait();
            future.cancel();
        });
        start.arrive_and_wait();
        if (future.set_running_or_notify_cancel()) future.set_result(1);
        for (std::thread& thread : threads) thread.join();
        EXPECT_EQ(called, 10);
    }
}

// ---- states -------------------------------------------------------------------------------

// rule 162
TEST(FutureCancel, SucceedsUnlessItRunsOrHasEnded) {
    EXPECT_TRUE(pending().cancel());
    EXPECT_FALSE(running().cancel());
    EXPECT_TRUE(cancelled().cancel());
    EXPECT_TRUE(cancelled_and_notified().cancel());
    EXPECT_FALSE(failed().cancel());
    EXPECT_FALSE(successful().cancel());
}

TEST(FutureStates, CancelledRunningAndDoneTellThemApart) {
    const auto all = [](const Future<int>& future) {
        return std::string(future.cancelled() ? "C" : "-") + (future.running() ? "R" : "-") +
               (future.done() ? "D" : "-");
    };
    EXPECT_EQ(all(pending()), "---");
    EXPECT_EQ(all(running()), "-R-");
    EXPECT_EQ(all(cancelled()), "C-D");
    EXPECT_EQ(all(cancelled_and_notified()), "C-D");
    EXPECT_EQ(all(failed()), "--D");
    EXPECT_EQ(all(successful()), "--D");
}

TEST(FutureStates, AnExecutorStartsAFutureOnce) {
    EXPECT_TRUE(pending().set_running_or_notify_cancel());
    EXPECT_FALSE(cancelled().set_running_or_notify_cancel());
    EXPECT_THROW(running().set_running_or_notify_cancel(), asyncio::RuntimeError);
    EXPECT_THROW(cancelled_and_notified().set_running_or_notify_cancel(), asyncio::RuntimeError);
    EXPECT_THROW(successful().set_running_or_notify_cancel(), asyncio::RuntimeError);
    EXPECT_THROW(failed().set_running_or_notify_cancel(), asyncio::RuntimeError);
}

TEST(FutureStates, AResultMayBeSetBeforeItRuns) {
    const Future<int> future;
    future.set_result(1);
    EXPECT_EQ(future.result(), 1);
}

TEST(FutureStates, ASecondResultIsRefusedAndTheFirstKept) {
    const Future<int> future = successful(1);
    EXPECT_THAT(text_thrown<InvalidStateError>([&] { future.set_result(2); }),
                HasSubstr("finished"));
    EXPECT_THROW(future.set_exception(std::domain_error("x")), InvalidStateError);
    EXPECT_EQ(future.result(), 1);

    const Future<int> failing = failed();
    const std::exception_ptr first = failing.exception();
    EXPECT_THROW(failing.set_exception(std::domain_error("x")), InvalidStateError);
    EXPECT_THROW(failing.set_result(1), InvalidStateError);
    EXPECT_EQ(failing.exception(), first);

    EXPECT_THAT(text_thrown<InvalidStateError>([&] { cancelled().set_result(1); }),
                HasSubstr("cancelled"));
    EXPECT_THROW(cancelled_and_notified().set_exception(std::domain_error("x")), InvalidStateError);
}

TEST(FutureStates, OneOfManyResultsWins) {
    for (int round = 0; round < 200; ++round) {
        const Future<int> future;
        std::atomic<int> won = -1;
        std::latch start(3);
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; ++i) {
            threads.emplace_back([&, i] {
                start.arrive_and_wait();
                try {
                    future.set_result(i);
                    won = i;
                } catch (const InvalidStateError&) {
                }
            });
        }
        EXPECT_LT(future.result(), 3);
        for (std::thread& thread : threads) thread.join();
        EXPECT_EQ(future.result(), won);
    }
}

TEST(FutureStates, AValueThatFailsToBeStoredLeavesThemAsTheyWere) {
    const Future<ThrowsWhenMoved> future = running<ThrowsWhenMoved>();
    EXPECT_THROW(future.set_result(ThrowsWhenMoved()), std::domain_error);
    EXPECT_TRUE(future.running());
    future.set_exception(std::range_error("no result"));
    EXPECT_THROW((void)future.result(), std::range_error);
}

TEST(FutureStates, NoExceptionIsNoException) {
    const Future<int> future;
    EXPECT_THROW(future.set_exception(std::exception_ptr()), asyncio::TypeError);
    EXPECT_FALSE(future.done());
}

// ---- results ------------------------------------------------------------------------------

TEST(FutureResult, WithATimeoutOfZeroOnlyLooks) {
    for (const auto limit : {0ns, -1ns}) {
        EXPECT_THROW((void)pending().result(limit), TimeoutError);
        EXPECT_THROW((void)running().result(limit), TimeoutError);
        EXPECT_THROW((void)cancelled().result(limit), CancelledError);
        EXPECT_THROW((void)cancelled_and_notified().result(limit), CancelledError);
        EXPECT_THROW((void)failed().result(limit), asyncio::OSError);
        EXPECT_EQ(successful().result(limit), 42);
    }
}

TEST(FutureException, WithATimeoutOfZeroOnlyLooks) {
    EXPECT_THROW((void)pending().exception(0s), TimeoutError);
    EXPECT_THROW((void)running().exception(0s), TimeoutError);
    EXPECT_THROW((void)cancelled().exception(0s), CancelledError);
    EXPECT_THROW((void)cancelled_and_notified().exception(0s), CancelledError);
    EXPECT_TRUE(asyncio::holds_exception<asyncio::OSError>(failed().exception(0s)));
    EXPECT_EQ(successful().exception(0s), nullptr);
}

TEST(FutureResult, TimesOut) {
    EXPECT_THROW((void)pending().result(1ms), TimeoutError);
    EXPECT_THROW((void)running().exception(1us), TimeoutError);
}

TEST(FutureResult, ThreadsThatWaitAreWokenByResultExceptionAndCancel) {
    const auto wake = [](auto end) {
        Future<int> future;
        std::latch waiting(3);
        std::atomic<int> ended = 0;
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; ++i) {
            threads.emplace_back([&, i] {
                waiting.count_down();
                try {
                    // Two kinds of sleep.
                    (void)(i == 0 ? future.result() : future.result(1h));
                } catch (const CancelledError&) {
                } catch (const std::domain_error&) {
                }
                ++ended;
            });
        }
        waiting.wait();
        end(future);
        for (std::thread& thread : threads) thread.join();
        EXPECT_EQ(ended, 3);
    };
    for (int round = 0; round < 20; ++round) {
        wake([](const Future<int>& future) { future.set_result(1); });
        wake([](const Future<int>& future) { future.set_exception(std::domain_error("x")); });
        wake([](const Future<int>& future) { future.cancel(); });
    }
}

TEST(FutureResult, AnEndlessTimeoutIsNoTimeout) {
    const Future<int> future;
    std::thread ender([&] { future.set_result(1); });
    EXPECT_EQ(future.result(std::chrono::nanoseconds::max()), 1);
    ender.join();
}

TEST(FutureResult, ThrowsTheExceptionItselfEachTime) {
    const Future<int> future = failed();
    const void* first = nullptr;
    for (int i = 0; i < 2; ++i) {
        try {
            (void)future.result();
            ADD_FAILURE();
        } catch (const asyncio::OSError& error) {
            EXPECT_TRUE(first == nullptr || first == &error);
            first = &error;
        }
    }
}

TEST(FutureResult, IsCopiedFromAnLvalueAndMovedFromAnRvalue) {
    Future<std::string> future;
    future.set_result("a text too long to be stored in place");
    EXPECT_EQ(future.result(), future.result());
    const std::string taken = std::move(future).result();
    EXPECT_EQ(taken, "a text too long to be stored in place");
}

TEST(FutureResult, MayBeMoveOnlyAReferenceOrNothing) {
    Future<std::unique_ptr<int>> unique;
    unique.set_result(std::make_unique<int>(7));
    static_assert(std::is_same_v<decltype(unique.result()), const std::unique_ptr<int>&>);
    EXPECT_EQ(*unique.result(), 7);
    EXPECT_EQ(*std::move(unique).result(), 7);

    int variable = 1;
    const Future<int&> reference;
    reference.set_result(variable);
    EXPECT_EQ(&reference.result(), &variable);

    const Future<void> nothing;
    nothing.set_result();
    static_assert(std::is_void_v<decltype(nothing.result())>);
    EXPECT_NO_THROW(nothing.result());
}

TEST(FutureResult, LivesAsLongAsTheLastHandle) {
    int alive = 0;
    {
        std::optional<Future<Counted>> one(std::in_place);
        one->set_result(Counted(alive));
        const Future<Counted> other = *one;
        one.reset();
        EXPECT_EQ(alive, 1);
    }
    EXPECT_EQ(alive, 0);
}

// ---- handles ------------------------------------------------------------------------------

TEST(FutureHandle, CopiesNameTheSameFuture) {
    const Future<int> one;
    const Future<int> other = one;
    const Future<int> another;
    EXPECT_EQ(one, other);
    EXPECT_NE(one, another);
    const std::unordered_set<Future<int>> set{one, other, another};
    EXPECT_EQ(set.size(), 2u);
    EXPECT_EQ(std::hash<AnyFuture>()(one), std::hash<Future<int>>()(other));
    one.set_result(3);
    EXPECT_EQ(other.result(), 3);
}

TEST(FutureHandle, AnyFutureHasAllButTheResult) {
    const Future<int> typed = failed();
    const AnyFuture any = typed;
    EXPECT_EQ(any, typed);
    EXPECT_TRUE(any.done());
    EXPECT_EQ(any.exception(), typed.exception());
    int called = 0;
    any.add_done_callback([&](const AnyFuture& future) { called += future == typed ? 1 : 100; });
    EXPECT_EQ(called, 1);
}

TEST(FutureHandle, ThatWasMovedFromSaysSo) {
    Future<int> from;
    const Future<int> to = std::move(from);
    EXPECT_THAT(text_thrown<asyncio::RuntimeError>([&] { (void)from.result(); }),
                HasSubstr("moved from"));
    EXPECT_THROW((void)from.done(), asyncio::RuntimeError);
    EXPECT_THROW(from.add_done_callback([] {}), asyncio::RuntimeError);
    EXPECT_FALSE(to.done());
}
