// The smallest program that has a loop, a task and a timer: what it weighs, everybody carries.
#include <asyncio.hpp>
#include <cstdio>

namespace {

asyncio::Coroutine<void> hello() {
    co_await asyncio::sleep(std::chrono::milliseconds(1));
    std::puts("hello");
}

}  // namespace

int main() {
    asyncio::run(hello());
}
