// expect: a Generator cannot await; make it an AsyncGenerator
#include <asyncio/generators.hpp>
#include <coroutine>

asyncio::Generator<int> numbers() {
    co_await std::suspend_never();
    co_yield 1;
}
