// Awaiting what is done does not give up the turn; awaiting what is not costs one iteration
// after it is done (rules 22, 26).
#include "scenario.hpp"

Coroutine<int> immediate(int value) {
    co_return value;
}

Coroutine<int> yielding(int value) {
    co_await asyncio::sleep(0);
    co_return value;
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto future = loop.create_future<int>();
    future.set_result(1);
    loop.call_soon(trace, "callback");

    trace("future", co_await future);
    trace("the same again", co_await future);
    trace("coroutine", co_await immediate(2));
    auto task = asyncio::create_task(immediate(3));
    trace("task", co_await task);
    trace("the same again", co_await task);
    loop.call_soon(trace, "callback");
    trace("yielding coroutine", co_await yielding(4));
    trace("task that yields", co_await asyncio::create_task(yielding(5)));

    auto failed = loop.create_future<int>();
    failed.set_exception(asyncio::ValueError("done"));
    for (int i = 0; i < 2; ++i) {
        try {
            co_await failed;
        } catch (const asyncio::ValueError& error) {
            trace("failed future", error);
        }
    }
    trace("end");
}

int main() {
    asyncio::run(program());
}
