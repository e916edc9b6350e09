// A worker's thread may still be waking a loop whose program is over: rarely seen but by
// ThreadSanitizer and AddressSanitizer, hence the many rounds.
#include <gtest/gtest.h>

#include <asyncio.hpp>
#include <concurrent/futures.hpp>

using namespace asyncio;
using concurrent::futures::ThreadPoolExecutor;

namespace {

constexpr int rounds = 1000;

Coroutine<int> ask(ThreadPoolExecutor& pool) {
    const int n = co_await get_running_loop().run_in_executor(pool, [] { return 1; });
    co_return n;
}

}  // namespace

TEST(RunInExecutor, LoopMayGoWhileTheWorkerStillWakesIt) {
    ThreadPoolExecutor pool(2);
    int sum = 0;
    for (int i = 0; i < rounds; ++i) sum += asyncio::run(ask(pool));
    EXPECT_EQ(sum, rounds);
}

TEST(RunInExecutor, LoopMayBeClosedWhileTheWorkerStillWakesIt) {
    ThreadPoolExecutor pool(2);
    int sum = 0;
    for (int i = 0; i < rounds; ++i) {
        const EventLoopPtr loop = new_event_loop();
        sum += loop->run_until_complete(ask(pool));
        loop->close();
    }
    EXPECT_EQ(sum, rounds);
}
