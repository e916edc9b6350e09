// Depth and breadth: no recursion anywhere grows the stack.
#include "support/loop_fixture.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

class DepthTest : public LoopTest {};

Coroutine<int> one() {
    co_return 1;
}

Coroutine<long> depth(int n) {
    if (n == 0) co_return 0;
    co_return 1 + co_await depth(n - 1);
}

Coroutine<long> depth_with_a_sleep(int n, std::chrono::nanoseconds delay) {
    if (n == 0) {
        co_await sleep(delay);
        co_return 0;
    }
    co_return 1 + co_await depth_with_a_sleep(n - 1, delay);
}

Coroutine<long> depth_of_an_error(int n) {
    if (n == 0) throw ValueError("from the bottom");
    co_return 1 + co_await depth_of_an_error(n - 1);
}

}  // namespace

TEST_F(DepthTest, AMillionReadyAwaitsInALoop) {
    EXPECT_EQ(loop.run_until_complete([]() -> Coroutine<long> {
        long sum = 0;
        for (int i = 0; i < 1'000'000; ++i) sum += co_await one();
        co_return sum;
    }()),
              1'000'000);
}

TEST_F(DepthTest, AMillionAwaitsDeep) {
    EXPECT_EQ(loop.run_until_complete(depth(1'000'000)), 1'000'000);
}

TEST_F(DepthTest, AMillionDeepAcrossASuspension) {
    EXPECT_EQ(loop.run_until_complete(depth_with_a_sleep(1'000'000, 0s)), 1'000'000);
}

TEST_F(DepthTest, AnErrorFromFarDown) {
    EXPECT_THROW(loop.run_until_complete(depth_of_an_error(10'000)), ValueError);
}

TEST_F(DepthTest, AGatherOfAHundredThousand) {
    std::vector<Coroutine<int>> many;
    many.reserve(100'000);
    for (int i = 0; i < 100'000; ++i) many.push_back(one());
    const auto all = loop.run_until_complete(
        [](std::vector<Coroutine<int>> list) -> Coroutine<std::vector<int>> {
            co_return co_await gather(std::move(list));
        }(std::move(many)));
    EXPECT_EQ(all.size(), 100'000u);
}

TEST_F(DepthTest, AMillionDeepTaskIsDestroyedWithItsLoop) {
    auto task = loop.create_task(depth_with_a_sleep(1'000'000, 1h));
    iterate();
    close();
    loop.set_exception_handler({});
    EXPECT_EQ(take_reports().size(), 1u);
    EXPECT_FALSE(task.done());
}

TEST_F(DepthTest, AMillionYields) {
    EXPECT_EQ(loop.run_until_complete([]() -> Coroutine<int> {
        int n = 0;
        for (; n < 1'000'000; ++n) co_await sleep(0);
        co_return n;
    }()),
              1'000'000);
}

TEST_F(DepthTest, AHundredThousandTimersFireInOrder) {
    int fired = 0;
    bool ordered = true;
    auto previous = loop.time();
    const auto start = loop.time();
    for (int i = 0; i < 100'000; ++i) {
        const auto when = start + std::chrono::microseconds((i * 7919) % 100'000);
        loop.call_at(when, [&, when] {
            ordered = ordered && when >= previous;
            previous = when;
            ++fired;
        });
    }
    loop.call_at(start + 101ms, [this] { loop.stop(); });
    loop.run_forever();
    EXPECT_EQ(fired, 100'000);
    EXPECT_TRUE(ordered);
}
