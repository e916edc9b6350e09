// Queue, PriorityQueue and LifoQueue, as CPython's test_queues.py maps them.
#include <memory>
#include <random>

#include "support/simulate.hpp"
#include "support/turns.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

using Ints = std::vector<int>;

template <class Q>
Ints drain(Q& queue) {
    Ints items;
    while (!queue.empty()) items.push_back(queue.get_nowait());
    return items;
}

}  // namespace

TEST(Queue, ReprTellsWhatItHolds) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue(2);
        EXPECT_EQ(queue.repr(), "<Queue maxsize=2>");
        auto getter = create_task(queue.get());
        co_await turns();
        EXPECT_EQ(queue.repr(), "<Queue maxsize=2 getters[1]>");
        queue.put_nowait(1);
        EXPECT_EQ(co_await getter, 1);
        queue.put_nowait(1);
        queue.put_nowait(1);
        auto putter = create_task(queue.put(1));
        co_await turns();
        EXPECT_EQ(queue.repr(), "<Queue maxsize=2 qsize=2 putters[1] tasks=3>");
        queue.shutdown(true);
        EXPECT_THROW(co_await putter, QueueShutDown);
        EXPECT_EQ(queue.repr(), "<Queue maxsize=2 tasks=1 shutdown>");
        EXPECT_EQ(LifoQueue<int>().repr(), "<LifoQueue maxsize=0>");
        EXPECT_EQ(PriorityQueue<int>(-1).repr(), "<PriorityQueue maxsize=-1>");
    });
}

TEST(Queue, KnowsItsSize) {
    Queue<int> queue(2);
    EXPECT_TRUE(queue.empty());
    EXPECT_FALSE(queue.full());
    queue.put_nowait(1);
    EXPECT_FALSE(queue.empty() || queue.full());
    queue.put_nowait(2);
    EXPECT_TRUE(queue.full());
    EXPECT_EQ(queue.qsize(), 2u);
    EXPECT_EQ(queue.maxsize(), 2);
}

TEST(Queue, WithoutAPositiveMaxsizeIsNeverFull) {
    for (const std::ptrdiff_t maxsize : {0, -1}) {
        Queue<int> queue(maxsize);
        EXPECT_EQ(queue.maxsize(), maxsize);
        for (int i = 0; i < 1000; ++i) queue.put_nowait(i);
        EXPECT_FALSE(queue.full());
        EXPECT_EQ(queue.qsize(), 1000u);
    }
}

TEST(Queue, IsFirstInFirstOut) {
    Queue<int> queue;
    for (const int i : {1, 3, 2}) queue.put_nowait(i);
    EXPECT_EQ(drain(queue), Ints({1, 3, 2}));
}

TEST(Queue, KeepsTheOrderWhileItsStorageGrowsAndWraps) {
    Queue<int> queue;
    int next_in = 0;
    int next_out = 0;
    std::minstd_rand random(42);
    for (int step = 0; step < 10'000; ++step) {
        if (queue.empty() || random() % 100 < (step < 5'000 ? 60u : 40u)) {
            queue.put_nowait(next_in++);
        } else {
            ASSERT_EQ(queue.get_nowait(), next_out++);
        }
    }
    while (!queue.empty()) ASSERT_EQ(queue.get_nowait(), next_out++);
    EXPECT_EQ(next_in, next_out);
}

TEST(LifoQueue, IsLastInFirstOut) {
    LifoQueue<int> queue;
    for (const int i : {1, 3, 2}) queue.put_nowait(i);
    EXPECT_EQ(drain(queue), Ints({2, 3, 1}));
}

TEST(PriorityQueue, GivesTheLowestFirst) {
    PriorityQueue<int> queue;
    for (const int i : {1, 3, 2, -7}) queue.put_nowait(i);
    EXPECT_EQ(drain(queue), Ints({-7, 1, 2, 3}));
    PriorityQueue<int, std::greater<>> highest;
    for (const int i : {1, 3, 2}) highest.put_nowait(i);
    EXPECT_EQ(drain(highest), Ints({3, 2, 1}));
}

TEST(PriorityQueue, OrdersEqualItemsAsHeapqDoes) {
    struct ByTens {
        bool operator()(int a, int b) const { return a / 10 < b / 10; }
    };
    PriorityQueue<int, ByTens> queue;
    for (const int i : {10, 11, 1, 12, 2, 13, 3, 14}) queue.put_nowait(i);
    // What heapq gives for items that compare by their tens.
    EXPECT_EQ(drain(queue), Ints({1, 3, 2, 10, 13, 14, 11, 12}));
}

TEST(PriorityQueue, TakesMoveOnlyItemsAndStatefulOrders) {
    const auto by_value = [factor = -1](const std::unique_ptr<int>& a,
                                        const std::unique_ptr<int>& b) {
        return factor * *a < factor * *b;
    };
    PriorityQueue<std::unique_ptr<int>, decltype(by_value)> queue(0, by_value);
    for (const int i : {1, 3, 2}) queue.put_nowait(std::make_unique<int>(i));
    EXPECT_EQ(*queue.get_nowait(), 3);
    EXPECT_EQ(*queue.get_nowait(), 2);
}

TEST(Queue, TakesMoveOnlyItems) {
    simulate([]() -> Coroutine<void> {
        Queue<std::unique_ptr<int>> queue(1);
        co_await queue.put(std::make_unique<int>(1));
        auto putter = create_task(queue.put(std::make_unique<int>(2)));
        co_await turns();
        EXPECT_EQ(*co_await queue.get(), 1);
        EXPECT_EQ(**co_await queue.next(), 2);
        co_await putter;
        LifoQueue<std::unique_ptr<int>> stack;
        stack.put_nowait(std::make_unique<int>(3));
        EXPECT_EQ(*co_await stack.get(), 3);
        for (int i = 0; i < 100; ++i) queue.shutdown();  // what is left goes with the queue
    });
}

TEST(Queue, DestroysWhatIsLeftInIt) {
    const auto item = std::make_shared<int>(1);
    {
        Queue<std::shared_ptr<int>> queue;
        for (int i = 0; i < 40; ++i) queue.put_nowait(item);
        for (int i = 0; i < 30; ++i) queue.get_nowait();
        EXPECT_EQ(item.use_count(), 11);
    }
    EXPECT_EQ(item.use_count(), 1);
}

TEST(Queue, MayKeepItemsItsOwnWay) {
    struct Parity {
        void push(int item) { (item % 2 == 0 ? even : odd).push_back(item); }
        int pop() {
            Ints& from = even.empty() ? odd : even;
            const int item = from.back();
            from.pop_back();
            return item;
        }
        Ints even, odd;
    };
    struct EvenFirst : BasicQueue<int, Parity> {
        EvenFirst() : BasicQueue("EvenFirst", 0, Parity()) {}
    };
    EvenFirst queue;
    for (int i = 1; i <= 4; ++i) queue.put_nowait(i);
    EXPECT_EQ(drain(queue), Ints({4, 2, 3, 1}));
}

// ---- get ----------------------------------------------------------------------------------

TEST(QueueGet, GivesAStoredItemWithoutLeavingTheTurn) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        queue.put_nowait(1);
        bool other_ran = false;
        get_running_loop().call_soon([&] { other_ran = true; });
        EXPECT_EQ(co_await queue.get(), 1);
        EXPECT_FALSE(other_ran);
        co_await turns();
    });
}

TEST(QueueGet, WaitsForAnItem) {
    simulate([](asyncio::testing::SimLoop& sim) -> Coroutine<void> {
        Queue<int> queue;
        get_running_loop().call_later(10ms, [&] { queue.put_nowait(7); });
        EXPECT_EQ(co_await queue.get(), 7);
        EXPECT_EQ(sim.elapsed(), 10ms);
        EXPECT_THROW(co_await wait_for(queue.get(), 51ms), TimeoutError);
    });
}

TEST(QueueGet, NowaitOfAnEmptyQueueIsAnError) {
    Queue<int> queue;
    queue.put_nowait(1);
    EXPECT_EQ(queue.get_nowait(), 1);
    EXPECT_THROW(queue.get_nowait(), QueueEmpty);
}

TEST(QueueGet, LetsAPutterIn) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue(1);
        queue.put_nowait(1);
        auto putter = create_task(queue.put(2));
        co_await turns();
        EXPECT_EQ(queue.qsize(), 1u);
        EXPECT_EQ(co_await queue.get(), 1);
        EXPECT_EQ(queue.qsize(), 0u);
        co_await turns();
        EXPECT_TRUE(putter.done());
        EXPECT_EQ(co_await queue.get(), 2);
    });
}

TEST(QueueGet, ServesGettersInTheirOrder) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        auto a = create_task(queue.get());
        auto b = create_task(queue.get());
        auto c = create_task(queue.get());
        co_await turns();
        for (int i = 1; i <= 3; ++i) queue.put_nowait(i);
        auto [x, y, z] = co_await gather(a, b, c);
        EXPECT_EQ(Ints({x, y, z}), Ints({1, 2, 3}));
    });
}

// rule 99
TEST(QueueGet, NewcomerMayTakeAnItemBeforeTheWokenGetterRuns) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        auto waiting = create_task(queue.get());
        auto behind = create_task(queue.get());
        co_await turns();
        queue.put_nowait(1);
        EXPECT_EQ(queue.get_nowait(), 1);
        co_await turns();
        EXPECT_FALSE(waiting.done());
        queue.put_nowait(2);
        queue.put_nowait(3);
        // It looked, found nothing, and went to the end of the line.
        EXPECT_EQ(co_await behind, 2);
        EXPECT_EQ(co_await waiting, 3);
    });
}

// rule 98: test_get_cancelled_race
TEST(QueueGet, CancelledGetterLosesNoItem) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        auto a = create_task(queue.get());
        auto b = create_task(queue.get());
        co_await turns();
        a.cancel();
        co_await turns();
        EXPECT_TRUE(a.done());
        queue.put_nowait(1);
        EXPECT_EQ(co_await b, 1);
    });
}

// rule 98
TEST(QueueGet, CancelledWhileChosenPassesItemToNextWaiter) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        auto a = create_task(queue.get());
        auto b = create_task(queue.get());
        co_await turns();
        queue.put_nowait(1);
        a.cancel();
        EXPECT_EQ(co_await b, 1);
        EXPECT_TRUE(a.cancelled());
    });
}

TEST(QueueGet, CancelledWhileChosenLeavesTheItemWhereNobodyWaits) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        auto getter = create_task(queue.get());
        co_await turns();
        queue.put_nowait(1);
        getter.cancel();
        EXPECT_THROW(co_await getter, CancelledError);
        EXPECT_EQ(queue.get_nowait(), 1);
    });
}

// test_cancelled_getters_not_being_held_in_self_getters
TEST(QueueGet, CancelledGettersLeaveTheLine) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        EXPECT_THROW(co_await wait_for(queue.get(), 100ms), TimeoutError);
        EXPECT_EQ(queue.repr(), "<Queue maxsize=0>");
    });
}

// test_why_are_getters_waiting
TEST(QueueGet, ManyGettersAndPuttersAllEnd) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue(2);
        const auto consumer = [&](int count) -> Coroutine<void> {
            for (int i = 0; i < count; ++i) co_await queue.get();
        };
        const auto producer = [&](int count) -> Coroutine<void> {
            for (int i = 0; i < count; ++i) co_await queue.put(i);
        };
        auto a = create_task(producer, 5);
        auto b = create_task(producer, 5);
        auto c = create_task(consumer, 4);
        auto d = create_task(consumer, 6);
        co_await gather(a, b, c, d);
        EXPECT_TRUE(queue.empty());
    });
}

// rule 35
TEST(QueueGet, StoredItemIsTakenInSpiteOfACancelThatIsDue) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        queue.put_nowait(1);
        auto task = create_task([&]() -> Coroutine<void> {
            current_task().cancel();
            EXPECT_EQ(co_await queue.get(), 1);
            co_await queue.get();
            ADD_FAILURE() << "not reached";
        });
        EXPECT_THROW(co_await task, CancelledError);
    });
}

// ---- put ----------------------------------------------------------------------------------

TEST(QueuePut, WaitsForRoom) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue(1);
        co_await queue.put(1);
        auto putter = create_task(queue.put(2));
        co_await turns(3);
        EXPECT_FALSE(putter.done());
        EXPECT_EQ(queue.get_nowait(), 1);
        co_await putter;
        EXPECT_EQ(queue.get_nowait(), 2);
    });
}

TEST(QueuePut, NowaitOfAFullQueueIsAnErrorAndKeepsTheItem) {
    Queue<std::unique_ptr<int>> queue(1);
    queue.put_nowait(std::make_unique<int>(1));
    auto item = std::make_unique<int>(2);
    EXPECT_THROW(queue.put_nowait(std::move(item)), QueueFull);
    EXPECT_NE(item, nullptr);
    queue.shutdown();
    EXPECT_THROW(queue.put_nowait(std::move(item)), QueueShutDown);
    EXPECT_NE(item, nullptr);
}

// rule 98: test_put_cancelled
TEST(QueuePut, CancelledPutterAddsNothing) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue(1);
        queue.put_nowait(1);
        auto putter = create_task(queue.put(2));
        co_await turns();
        putter.cancel();
        EXPECT_THROW(co_await putter, CancelledError);
        EXPECT_EQ(drain(queue), Ints({1}));
        EXPECT_EQ(queue.repr(), "<Queue maxsize=1 tasks=1>");
    });
}

// rule 98: test_put_cancelled_race
TEST(QueuePut, CancelledWhileChosenPassesTheRoomToNextWaiter) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue(1);
        queue.put_nowait(1);
        auto a = create_task(queue.put(2));
        auto b = create_task(queue.put(3));
        co_await turns();
        EXPECT_EQ(queue.get_nowait(), 1);
        a.cancel();
        co_await b;
        EXPECT_TRUE(a.cancelled());
        EXPECT_EQ(drain(queue), Ints({3}));
    });
}

// rule 98: test_get_cancel_drop_many_pending_readers
TEST(QueuePut, ItemPassesOverManyCancelledGetters) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue(1);
        auto a = create_task(queue.get());
        auto b = create_task(queue.get());
        auto c = create_task(queue.get());
        co_await turns();
        a.cancel();
        b.cancel();
        co_await queue.put(1);
        EXPECT_EQ(co_await c, 1);
        co_await queue.put(2);
        EXPECT_EQ(queue.qsize(), 1u);
    });
}

// rule 99: test_why_are_putters_waiting
TEST(QueuePut, SeveralSlotsFreedAtOnceWakeEnoughPutters) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue(2);
        std::vector<Task<void>> putters;
        for (int i = 0; i < 4; ++i) putters.push_back(create_task(queue.put(i)));
        co_await turns();
        queue.get_nowait();
        queue.get_nowait();
        co_await turns();
        EXPECT_TRUE(putters[2].done() && putters[3].done());
        EXPECT_EQ(drain(queue), Ints({2, 3}));
    });
}

// ---- task_done, join ----------------------------------------------------------------------

// rule 100
TEST(QueueTaskDone, OnceTooOftenIsAnError) {
    Queue<int> queue;
    EXPECT_THROW(queue.task_done(), ValueError);
    queue.put_nowait(1);
    queue.task_done();
    EXPECT_THROW(queue.task_done(), ValueError);
    EXPECT_EQ(queue.get_nowait(), 1);
}

// rule 100
TEST(QueueJoin, ReturnsAtOnceWhenNothingWasEverPut) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        bool other_ran = false;
        get_running_loop().call_soon([&] { other_ran = true; });
        co_await queue.join();
        EXPECT_FALSE(other_ran);
        co_await turns();
    });
}

// rule 100
TEST(QueueJoin, WaitsForTaskDoneNotForEmptiness) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        for (int i = 0; i < 100; ++i) queue.put_nowait(i);
        int sum = 0;
        const auto worker = [&]() -> Coroutine<void> {
            while (true) {
                sum += co_await queue.get();
                co_await sleep(0);
                queue.task_done();
            }
        };
        auto a = create_task(worker);
        auto b = create_task(worker);
        co_await queue.join();
        EXPECT_EQ(sum, 99 * 100 / 2);
        co_await queue.join();  // a second time is fine
        a.cancel();
        b.cancel();
        static_cast<void>(co_await gather(return_exceptions, a, b));
    });
}

TEST(QueueJoin, WakesEverybodyEvenIfMoreIsPutAtOnce) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        queue.put_nowait(1);
        auto a = create_task(queue.join());
        auto b = create_task(queue.join());
        co_await turns();
        queue.task_done();
        queue.put_nowait(2);
        co_await gather(a, b);
        auto c = create_task(queue.join());
        co_await turns();
        c.cancel();
        EXPECT_THROW(co_await c, CancelledError);
    });
}

// ---- shutdown -----------------------------------------------------------------------------

// rule 101
TEST(QueueShutdown, EmptyQueueThrowsForEverything) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        auto getter = create_task(queue.get());
        auto next = create_task(queue.next());
        co_await turns();
        queue.shutdown();
        EXPECT_THROW(co_await getter, QueueShutDown);
        EXPECT_EQ(co_await next, std::nullopt);
        EXPECT_THROW(co_await queue.put(1), QueueShutDown);
        EXPECT_THROW(queue.put_nowait(1), QueueShutDown);
        EXPECT_THROW(co_await queue.get(), QueueShutDown);
        EXPECT_THROW(queue.get_nowait(), QueueShutDown);
        EXPECT_EQ(co_await queue.next(), std::nullopt);
        co_await queue.join();
    });
}

// rule 101
TEST(QueueShutdown, PutsFailAtOnceGetsDrainFirst) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue(2);
        queue.put_nowait(1);
        queue.put_nowait(2);
        auto putter = create_task(queue.put(3));
        auto join = create_task(queue.join());
        co_await turns();
        queue.shutdown();
        EXPECT_FALSE(queue.empty());
        EXPECT_TRUE(queue.full());
        EXPECT_THROW(co_await putter, QueueShutDown);
        EXPECT_THROW(queue.put_nowait(3), QueueShutDown);
        EXPECT_EQ(co_await queue.get(), 1);
        EXPECT_EQ(co_await queue.next(), 2);
        EXPECT_THROW(co_await queue.get(), QueueShutDown);
        EXPECT_FALSE(join.done());
        queue.task_done();
        queue.task_done();
        co_await join;
        queue.shutdown();  // again changes nothing
        EXPECT_THROW(queue.task_done(), ValueError);
    });
}

// rule 102
TEST(QueueShutdown, ImmediateDropsItemsAndUnblocksJoin) {
    simulate([]() -> Coroutine<void> {
        const auto item = std::make_shared<int>(1);
        Queue<std::shared_ptr<int>> queue(2);
        queue.put_nowait(item);
        queue.put_nowait(item);
        auto join = create_task(queue.join());
        auto putter = create_task(queue.put(item));
        co_await turns();
        queue.shutdown(true);
        EXPECT_TRUE(queue.empty());
        co_await join;
        EXPECT_THROW(co_await putter, QueueShutDown);
        EXPECT_THROW(co_await queue.get(), QueueShutDown);
        EXPECT_THROW(queue.task_done(), ValueError);
        putter = {};
        EXPECT_EQ(item.use_count(), 1);
    });
}

// rule 102
TEST(QueueShutdown, ImmediateReleasesJoinOnlyAtZero) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue;
        queue.put_nowait(1);
        queue.put_nowait(2);
        auto join = create_task(queue.join());
        EXPECT_EQ(co_await queue.get(), 1);
        co_await turns();
        queue.shutdown(true);
        co_await turns(2);
        EXPECT_FALSE(join.done());
        queue.task_done();
        co_await join;
        EXPECT_THROW(queue.task_done(), ValueError);
    });
}

TEST(QueueShutdown, DrainsAllKindsInTheirOrder) {
    simulate([]() -> Coroutine<void> {
        const auto check = [](auto& queue, Ints expected) -> Coroutine<void> {
            for (const int i : {2, 3, 1}) queue.put_nowait(i);
            queue.shutdown();
            Ints items;
            while (auto item = co_await queue.next()) items.push_back(*item);
            EXPECT_EQ(items, expected);
        };
        Queue<int> fifo;
        PriorityQueue<int> lowest;
        LifoQueue<int> lifo;
        co_await check(fifo, Ints({2, 3, 1}));
        co_await check(lowest, Ints({1, 2, 3}));
        co_await check(lifo, Ints({1, 3, 2}));
    });
}

TEST(QueueNext, EndsAWorkerWithoutAnException) {
    simulate([]() -> Coroutine<void> {
        Queue<int> queue(3);
        int sum = 0;
        std::vector<Task<void>> workers;
        for (int i = 0; i < 4; ++i) {
            workers.push_back(create_task([&]() -> Coroutine<void> {
                while (auto job = co_await queue.next()) {
                    sum += *job;
                    co_await turns();
                    queue.task_done();
                }
            }));
        }
        for (int i = 1; i <= 100; ++i) co_await queue.put(i);
        co_await queue.join();
        queue.shutdown();
        co_await gather(workers);
        EXPECT_EQ(sum, 5050);
    });
}

// ---- lifetimes ----------------------------------------------------------------------------

// rule 95
TEST(Queue, BelongsToTheFirstLoopOnWhichATaskWaited) {
    Queue<int> queue;
    asyncio::run([&]() -> Coroutine<void> {
        auto getter = create_task(queue.get());
        co_await turns();
        queue.put_nowait(1);
        co_await getter;
    });
    asyncio::run([&]() -> Coroutine<void> {
        queue.put_nowait(2);
        EXPECT_EQ(co_await queue.get(), 2);
        EXPECT_THROW(co_await queue.get(), RuntimeError);
    });
}

TEST(Queue, MayBeDestroyedUnderItsWaiters) {
    simulate([]() -> Coroutine<void> {
        auto queue = std::make_unique<Queue<int>>(1);
        auto woken = create_task(queue->get());
        auto waiting = create_task(queue->get());
        co_await turns();
        queue->put_nowait(1);
        queue = std::make_unique<Queue<int>>(1);
        queue->put_nowait(1);
        auto putting = create_task(queue->put(2));
        auto joining = create_task(queue->join());
        co_await turns();
        queue.reset();
        co_await turns(3);
        for (const AnyTask& task :
             {AnyTask(woken), AnyTask(waiting), AnyTask(putting), AnyTask(joining)}) {
            EXPECT_FALSE(task.done());
            task.cancel();
            co_await turns();
            EXPECT_TRUE(task.cancelled());
        }
    });
}

// Their queue is a local of main, and run() cancels them once main has ended.
TEST(Queue, WorkersLeftBehindByMainAreCancelledQuietly) {
    int cancelled = 0;
    asyncio::run([&]() -> Coroutine<void> {
        Queue<int> queue;
        for (int i = 0; i < 3; ++i) {
            create_task(
                [](Queue<int>& queue, int& cancelled) -> Coroutine<void> {
                    try {
                        while (true) co_await queue.get();
                    } catch (const CancelledError&) {
                        ++cancelled;
                        throw;
                    }
                },
                std::ref(queue), std::ref(cancelled));
        }
        co_await turns(2);
        queue.put_nowait(1);  // one is woken, and main ends before it runs
    });
    EXPECT_EQ(cancelled, 3);
}
