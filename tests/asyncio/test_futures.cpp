// Future: semantics rules 21 to 30, as CPython's test_futures.py maps them.
#include <thread>

#include "support/loop_fixture.hpp"

using namespace asyncio;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

namespace {

class FutureTest : public LoopTest {
  protected:
    template <class T = int>
    Future<T> make() {
        return loop.create_future<T>();
    }
};

void count_call() {}

}  // namespace

TEST_F(FutureTest, StartsPending) {
    Future<int> future = make();
    EXPECT_FALSE(future.done());
    EXPECT_FALSE(future.cancelled());
    EXPECT_EQ(&future.get_loop(), &loop);
    EXPECT_EQ(future.repr(), "<Future pending>");
}

// rule 25
TEST_F(FutureTest, AskedTooEarlyIsAnInvalidStateError) {
    Future<int> future = make();
    EXPECT_THROW(future.result(), InvalidStateError);
    EXPECT_THROW(static_cast<void>(future.exception()), InvalidStateError);
    EXPECT_THAT(thrown_by([&] { future.result(); }), HasSubstr("not set"));
}

// rule 25
TEST_F(FutureTest, CompletedTwiceIsAnInvalidStateError) {
    Future<int> future = make();
    future.set_result(1);
    EXPECT_THROW(future.set_result(2), InvalidStateError);
    EXPECT_THROW(future.set_exception(ValueError("x")), InvalidStateError);
    EXPECT_EQ(future.result(), 1);
}

// rule 25
TEST_F(FutureTest, CancelledGivesCancelledErrorWithItsMessage) {
    Future<int> future = make();
    EXPECT_TRUE(future.cancel("enough"));
    EXPECT_FALSE(future.cancel());
    EXPECT_TRUE(future.done());
    EXPECT_TRUE(future.cancelled());
    EXPECT_EQ(thrown_by([&] { future.result(); }), "CancelledError: enough");
    EXPECT_THROW(static_cast<void>(future.exception()), CancelledError);
    EXPECT_THROW(future.set_result(1), InvalidStateError);
}

TEST_F(FutureTest, TakesAnExceptionObjectOrPointer) {
    Future<int> a = make(), b = make();
    a.set_exception(ValueError("object"));
    b.set_exception(std::make_exception_ptr(ValueError("pointer")));
    EXPECT_THROW(a.result(), ValueError);
    EXPECT_TRUE(holds_exception<ValueError>(b.exception()));
    EXPECT_THROW(make().set_exception(std::exception_ptr()), TypeError);
}

TEST_F(FutureTest, MoveOnlyResultsAreReadInPlaceAndMovedOutOnce) {
    auto future = make<std::unique_ptr<int>>();
    future.set_result(std::make_unique<int>(3));
    EXPECT_EQ(*future.result(), 3);
    std::unique_ptr<int> taken = std::move(future).result();
    EXPECT_EQ(*taken, 3);
}

TEST_F(FutureTest, ReferencesAndVoid) {
    int target = 1;
    auto reference = make<int&>();
    reference.set_result(target);
    reference.result() = 2;
    EXPECT_EQ(target, 2);
    auto nothing = make<void>();
    nothing.set_result();
    EXPECT_NO_THROW(nothing.result());
}

// rule 21
TEST_F(FutureTest, CallbacksRunInTheNextIterationInTheOrderAdded) {
    Future<int> future = make();
    std::vector<int> order;
    for (int i = 0; i < 3; ++i) {
        future.add_done_callback([&order, i](const Future<int>& done) {
            order.push_back(i);
            EXPECT_EQ(done.result(), 7);
        });
    }
    future.set_result(7);
    EXPECT_TRUE(order.empty());
    iterate();
    EXPECT_EQ(order, (std::vector{0, 1, 2}));
}

// test_callbacks_invoked_on_set_exception
TEST_F(FutureTest, CallbacksRunForErrorsAndCancellationsToo) {
    Future<int> failed = make(), cancelled = make();
    std::vector<std::string> seen;
    const auto note = [&seen](const Future<int>& done) { seen.push_back(done.repr()); };
    failed.add_done_callback(note);
    cancelled.add_done_callback(note);
    failed.set_exception(ValueError("x"));
    cancelled.cancel();
    iterate();
    EXPECT_EQ(seen, (std::vector<std::string>{failed.repr(), cancelled.repr()}));
    static_cast<void>(failed.exception());
}

TEST_F(FutureTest, ACallbackAddedLateIsStillScheduled) {
    Future<int> future = make();
    future.set_result(1);
    int calls = 0;
    future.add_done_callback([&calls] { ++calls; });
    EXPECT_EQ(calls, 0);
    iterate();
    EXPECT_EQ(calls, 1);
}

// rule 23
TEST_F(FutureTest, RemovingCallbacksByTokenAndByEquality) {
    Future<int> future = make();
    int calls = 0;
    const DoneCallbackToken token = future.add_done_callback([&calls] { ++calls; });
    future.add_done_callback(&count_call);
    future.add_done_callback(&count_call);
    EXPECT_EQ(future.remove_done_callback(token), 1u);
    EXPECT_EQ(future.remove_done_callback(token), 0u);
    EXPECT_EQ(future.remove_done_callback(&count_call), 2u);
    const DoneCallbackToken late = future.add_done_callback([&calls] { ++calls; });
    future.set_result(1);
    EXPECT_EQ(future.remove_done_callback(late), 0u);  // scheduled already
    iterate();
    EXPECT_EQ(calls, 1);
}

// rule 24
TEST_F(FutureTest, CallbacksMayChangeTheList) {
    Future<int> future = make();
    int added = 0;
    future.add_done_callback([&] {
        future.add_done_callback([&added] { ++added; });
        future.remove_done_callback(&count_call);
    });
    future.add_done_callback(&count_call);
    future.set_result(1);
    iterate(2);
    EXPECT_EQ(added, 1);
}

// test_remove_done_callbacks_list_mutation, test_callbacks_remove_first_and_second_callback
TEST_F(FutureTest, ComparingCallbacksMayChangeTheList) {
    struct Meddler {
        Future<int>* future;
        void operator()() const {}
        bool operator==(const Meddler&) const {
            future->remove_done_callback(&count_call);
            return true;
        }
    };
    Future<int> future = make();
    future.add_done_callback(&count_call);
    future.add_done_callback(Meddler{&future});
    future.add_done_callback(&count_call);
    future.add_done_callback(Meddler{&future});
    EXPECT_EQ(future.remove_done_callback(Meddler{&future}), 2u);
    EXPECT_EQ(future.remove_done_callback(&count_call), 0u);
    future.set_result(1);
    iterate();
}

// rule 22
TEST_F(FutureTest, WaitersResumeInOrderOneIterationLater) {
    Future<int> future = make();
    std::vector<int> order;
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 3; ++i) {
        tasks.push_back(loop.create_task([&order, future, i]() -> Coroutine<void> {
            co_await future;
            order.push_back(i);
        }));
    }
    iterate();
    future.set_result(1);
    EXPECT_TRUE(order.empty());
    iterate();
    EXPECT_EQ(order, (std::vector{0, 1, 2}));
}

// rule 26
TEST_F(FutureTest, AwaitingADoneFutureGivesUpNoTurn) {
    Future<int> future = make();
    future.set_result(1);
    bool other_ran = false;
    const int sum = loop.run_until_complete([&]() -> Coroutine<int> {
        loop.call_soon([&other_ran] { other_ran = true; });
        int total = 0;
        for (int i = 0; i < 10; ++i) total += co_await future;
        EXPECT_FALSE(other_ran);
        co_return total;
    }());
    EXPECT_EQ(sum, 10);
}

// rule 27
TEST_F(FutureTest, AnErrorNobodyLookedAtIsReportedOnce) {
    {
        make().set_exception(ValueError("lost"));
    }
    EXPECT_EQ(take_reports(), (std::vector<std::string>{"Future exception was never retrieved"}));
}

// test_tb_logger_abandoned, test_tb_logger_result_unretrieved,
// test_tb_logger_not_called_after_cancel
TEST_F(FutureTest, PendingCancelledOrWithAResultItMayBeDropped) {
    {
        Future<int> pending = make(), cancelled = make(), finished = make();
        cancelled.cancel();
        finished.set_result(1);
    }
    iterate();
    EXPECT_TRUE(take_reports().empty());
}

// test_future_repr
TEST_F(FutureTest, ReprTellsTheState) {
    Future<int> cancelled = make(), finished = make(), failed = make();
    cancelled.cancel();
    finished.set_result(1);
    failed.set_exception(ValueError("x"));
    EXPECT_EQ(cancelled.repr(), "<Future cancelled>");
    EXPECT_EQ(finished.repr(), "<Future finished>");
    EXPECT_EQ(failed.repr(), "<Future finished exception=ValueError: x>");
    static_cast<void>(failed.exception());
}

// rule 27
TEST_F(FutureTest, LookingAtTheErrorDisarmsTheReport) {
    {
        Future<int> a = make(), b = make();
        a.set_exception(ValueError("a"));
        b.set_exception(ValueError("b"));
        EXPECT_THROW(a.result(), ValueError);
        EXPECT_TRUE(b.exception());
    }
    EXPECT_TRUE(take_reports().empty());
}

// rule 28
TEST_F(FutureTest, AwaitingAnotherLoopsFutureIsARuntimeErrorAtTheAwait) {
    EventLoopPtr other = new_event_loop();
    Future<int> foreign = other->create_future<int>();
    const bool caught = loop.run_until_complete([](Future<int> future) -> Coroutine<bool> {
        try {
            co_await future;
        } catch (const RuntimeError& error) {
            co_return std::string(error.what()).find("different loop") != std::string::npos;
        }
        co_return false;
    }(foreign));
    EXPECT_TRUE(caught);
}

// rule 30
TEST_F(FutureTest, OrdinaryHandlersDoNotSeeACancellation) {
    static_assert(!std::is_base_of_v<std::exception, CancelledError>);
    static_assert(std::is_base_of_v<std::exception, concurrent::futures::CancelledError>);
    static_assert(std::is_same_v<TimeoutError, concurrent::futures::TimeoutError>);
    Future<int> future = make();
    future.cancel();
    bool swallowed = false;
    EXPECT_THROW(
        {
            try {
                future.result();
            } catch (const std::exception&) {
                swallowed = true;
            }
        },
        CancelledError);
    EXPECT_FALSE(swallowed);
}

TEST_F(FutureTest, OutlivesItsLoop) {
    Future<int> pending = make(), done = make();
    done.set_result(4);
    close();
    loop_owner.reset();
    EXPECT_EQ(done.result(), 4);
    EXPECT_FALSE(pending.done());
    EXPECT_TRUE(pending.cancel());
}

TEST(FutureWithoutLoop, IsARuntimeError) {
    std::thread([] { EXPECT_THROW(Future<int>(), RuntimeError); }).join();
}

TEST(FutureHandle, ThatNamesNothingSaysSo) {
    Future<int> none(nullptr);
    EXPECT_FALSE(none);
    EXPECT_THROW(static_cast<void>(none.done()), RuntimeError);
}
