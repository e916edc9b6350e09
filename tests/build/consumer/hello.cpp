// The least a user writes: coroutines, and a worker process without a word in main().
#include <asyncio.hpp>
#include <chrono>
#include <concurrent/futures.hpp>
#include <cstdio>

using namespace std::chrono_literals;

int square(int x) { return x * x; }

asyncio::Coroutine<int> later(int x) {
    co_await asyncio::sleep(1ms);
    co_return x;
}

asyncio::Coroutine<int> program() {
    auto [a, b] = co_await asyncio::gather(later(1), later(2));
    co_return a + b;
}

int main() {
    concurrent::futures::ProcessPoolExecutor pool(1);
    bool right = asyncio::run(program()) == 3 && pool.submit(square, 3).result() == 9;
    std::puts(right ? "hello" : "wrong results");
    return right ? 0 : 1;
}
