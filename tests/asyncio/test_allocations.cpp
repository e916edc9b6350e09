// In steady state the hot paths allocate nothing: counted at global operator new.
#include <atomic>
#include <cstdlib>
#include <new>

#include "support/loop_fixture.hpp"

namespace {
std::atomic<long> allocations = 0;
}  // namespace

void* operator new(std::size_t size) {
    ++allocations;
    if (void* block = std::malloc(size)) return block;
    throw std::bad_alloc();
}
void operator delete(void* block) noexcept {
    std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
    std::free(block);
}

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

Coroutine<int> one() {
    co_return 1;
}

// Allocations of `rounds` of `work` after as many to warm up.
template <class Work>
long steady_state(int rounds, Work work) {
    return run([&]() -> Coroutine<long> {
        co_await work(rounds);
        const long before = allocations;
        co_await work(rounds);
        co_return allocations - before;
    });
}

class Allocations : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!detail::recycle_blocks) {
            GTEST_SKIP() << "sanitizers see every block: recycling is off in this build";
        }
    }
};

}  // namespace

TEST_F(Allocations, AwaitingACoroutine) {
    EXPECT_EQ(steady_state(1000,
                           [](int n) -> Coroutine<void> {
                               for (int i = 0; i < n; ++i) co_await one();
                           }),
              0);
}

TEST_F(Allocations, SleepOfZero) {
    EXPECT_EQ(steady_state(1000,
                           [](int n) -> Coroutine<void> {
                               for (int i = 0; i < n; ++i) co_await sleep(0);
                           }),
              0);
}

TEST_F(Allocations, SpawnAndJoin) {
    EXPECT_EQ(steady_state(1000,
                           [](int n) -> Coroutine<void> {
                               for (int i = 0; i < n; ++i) co_await create_task(one());
                           }),
              0);
}

TEST_F(Allocations, FutureHandOver) {
    EXPECT_EQ(
        steady_state(1000,
                     [](int n) -> Coroutine<void> {
                         for (int i = 0; i < n; ++i) {
                             Future<int> future = get_running_loop().create_future<int>();
                             get_running_loop().call_soon([future, i] { future.set_result(i); });
                             EXPECT_EQ(co_await future, i);
                         }
                     }),
        0);
}

TEST_F(Allocations, CallSoon) {
    EXPECT_EQ(steady_state(1000,
                           [](int n) -> Coroutine<void> {
                               int runs = 0;
                               for (int i = 0; i < n; ++i) {
                                   get_running_loop().call_soon([&runs] { ++runs; });
                                   co_await sleep(0);
                               }
                               EXPECT_EQ(runs, n);
                           }),
              0);
}

// As time goes on, other buckets of the timer queue come into use and grow their arrays once.
TEST_F(Allocations, ATimeoutThatDoesNotFire) {
    EXPECT_LE(steady_state(1000,
                           [](int n) -> Coroutine<void> {
                               for (int i = 0; i < n; ++i) co_await wait_for(sleep(0), 10s);
                           }),
              10);
}
