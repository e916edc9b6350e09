// The README's first program.

// [hello]
#include <asyncio.hpp>
#include <iostream>
using namespace std::chrono_literals;

asyncio::Coroutine<int> square(int x) {
    co_await asyncio::sleep(10ms);
    co_return x* x;
}

asyncio::Coroutine<void> program() {
    auto [a, b] = co_await asyncio::gather(square(3), square(4));
    std::cout << a + b << '\n';
}

int main() {
    asyncio::run(program());
}
// [/hello]
