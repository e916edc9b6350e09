// Waiting at locks and queues allocates nothing once everything has been used a little.
#include <cstdlib>
#include <new>

#include "support/simulate.hpp"
#include "support/turns.hpp"

using namespace asyncio;

namespace {

std::size_t allocations = 0;

// Runs it once to warm up, then counts.
template <class Body>
void expect_no_allocation(Body body) {
    if constexpr (!detail::recycle_blocks) {
        GTEST_SKIP() << "frames are not recycled under sanitizers";
    }
    simulate([&]() -> Coroutine<void> {
        co_await body();
        const std::size_t before = allocations;
        co_await body();
        EXPECT_EQ(allocations - before, 0u);
    });
}

// `a` and `b` side by side.
template <class A, class B>
Coroutine<void> both(A a, B b) {
    auto task = create_task(a);
    co_await b();
    co_await task;
}

}  // namespace

void* operator new(std::size_t bytes) {
    ++allocations;
    if (void* block = std::malloc(bytes)) return block;
    throw std::bad_alloc();
}
void operator delete(void* block) noexcept {
    std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
    std::free(block);
}

TEST(Allocations, NoneForAQueueOfOne) {
    Queue<int> queue(1);
    expect_no_allocation([&] {
        return both(
            [&]() -> Coroutine<void> {
                for (int i = 0; i < 1000; ++i) co_await queue.put(i);
            },
            [&]() -> Coroutine<void> {
                for (int i = 0; i < 1000; ++i) EXPECT_EQ(co_await queue.get(), i);
            });
    });
}

TEST(Allocations, NoneForAQueueThatFillsAndDrains) {
    Queue<int> fifo;
    LifoQueue<int> lifo;
    PriorityQueue<int> lowest;
    expect_no_allocation([&]() -> Coroutine<void> {
        for (int i = 0; i < 500; ++i) {
            co_await fifo.put(i);
            co_await lifo.put(i);
            co_await lowest.put(i);
        }
        for (int i = 0; i < 500; ++i) {
            co_await fifo.get();
            co_await lifo.get();
            co_await lowest.get();
        }
    });
}

TEST(Allocations, NoneForALockThatIsHandedOver) {
    Lock lock;
    const auto work = [&]() -> Coroutine<void> {
        for (int i = 0; i < 1000; ++i) {
            auto guard = co_await lock.scoped();
            co_await sleep(0);
        }
    };
    expect_no_allocation([&] { return both(work, work); });
}

TEST(Allocations, NoneForEventsSemaphoresConditionsAndBarriers) {
    Event event;
    Semaphore semaphore(1);
    Condition condition;
    Barrier barrier(2);
    bool ready = false;
    const auto work = [&]() -> Coroutine<void> {
        for (int i = 0; i < 100; ++i) {
            {
                auto permit = co_await semaphore.scoped();
                co_await sleep(0);
            }
            if (co_await barrier.wait() == 0) {
                co_await event.wait();
                event.clear();
                auto guard = co_await condition.scoped();
                co_await condition.wait_for([&] { return ready; });
                ready = false;
            } else {
                event.set();
                co_await sleep(0);
                auto guard = co_await condition.scoped();
                ready = true;
                condition.notify();
            }
        }
    };
    expect_no_allocation([&] { return both(work, work); });
}
