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

Generator<int> count_to(int n) {
    for (int i = 1; i <= n; ++i) co_yield i;
}

AsyncGenerator<int> count_to_async(int n) {
    for (int i = 1; i <= n; ++i) co_yield i;
}

// Gives back what it is sent, through `depth` generators.
Generator<int, int> delegating(int depth) {
    if (depth > 0) {
        co_yield yield_from(delegating(depth - 1));
        co_return;
    }
    std::optional<int> sent = co_yield 0;
    while (sent) sent = co_yield *sent;
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

TEST_F(Allocations, AnItemOfAGenerator) {
    EXPECT_EQ(steady_state(1000,
                           [](int n) -> Coroutine<void> {
                               for (int i : count_to(n)) EXPECT_GT(i, 0);
                               co_return;
                           }),
              0);
}

TEST_F(Allocations, AValueSentToAGeneratorThatDelegates) {
    EXPECT_EQ(steady_state(1000,
                           [](int n) -> Coroutine<void> {
                               auto generator = delegating(3);
                               generator.next();
                               for (int i = 0; i < n; ++i) EXPECT_EQ(generator.send(i), i);
                               generator.next();
                               co_return;
                           }),
              0);
}

TEST_F(Allocations, AnItemOfAnAsyncGenerator) {
    EXPECT_EQ(steady_state(1000,
                           [](int n) -> Coroutine<void> {
                               auto numbers = count_to_async(n);
                               while (auto i = co_await anext(numbers)) EXPECT_GT(*i, 0);
                           }),
              0);
}

// Making these allocates, as some of their frames are too large to be recycled; items do not.
TEST_F(Allocations, AnItemThroughAdapters) {
    const auto of_items = [](int items) {
        return steady_state(items, [](int n) -> Coroutine<void> {
            auto numbers = achain(count_to_async(n), count_to_async(n));
            auto positive = afilter([](int i) { return i > 0; },
                                    amap([](int i) { return i; }, std::move(numbers)));
            auto pairs = atake(azip(aenumerate(count_to_async(n)), std::move(positive)), n);
            while (co_await anext(pairs)) continue;
        });
    };
    EXPECT_EQ(of_items(1000), of_items(10));
}

TEST_F(Allocations, AnItemOfAMergedStream) {
    const auto of_items = [](int items) {
        return steady_state(items, [](int n) -> Coroutine<void> {
            auto merged = amerge(count_to_async(n), count_to_async(n));
            while (co_await anext(merged)) continue;
        });
    };
    EXPECT_EQ(of_items(1000), of_items(10));
}

TEST_F(Allocations, AViewOfWhatHasCome) {
    for (const std::size_t size : {10U, 1'000U, 10'000U}) {
        std::optional<StreamReader> reader;
        const std::string piece(size, 'x');
        const long count = steady_state(100, [&](int n) -> Coroutine<void> {
            if (!reader) reader.emplace();
            for (int i = 0; i < n; ++i) {
                get_running_loop().call_soon([&] { reader->feed_data(piece); });
                EXPECT_EQ((co_await reader->read_view()).size(), size);
            }
        });
        EXPECT_EQ(count, 0) << size;
    }
}

// As time goes on, other buckets of the timer queue come into use and grow their arrays once.
TEST_F(Allocations, ATimeoutThatDoesNotFire) {
    EXPECT_LE(steady_state(1000,
                           [](int n) -> Coroutine<void> {
                               for (int i = 0; i < n; ++i) co_await wait_for(sleep(0), 10s);
                           }),
              10);
}
