// expect: a callback must not be a coroutine
#include <asyncio.hpp>

asyncio::Coroutine<void> work() {
    co_return;
}

void schedule(asyncio::EventLoop& loop) {
    loop.call_soon(work);
}
