// The message of cancel() goes with the error through futures, tasks and what waits for
// them; asking a future for its result gives it again.
#include "scenario.hpp"

template <class A>
Coroutine<void> waiter(A awaitable) {
    co_await std::move(awaitable);
}

Coroutine<void> renaming(Future<void> future) {
    try {
        co_await future;
    } catch (const asyncio::CancelledError&) {
        throw asyncio::CancelledError("renamed");
    }
}

void asked(std::string label, Future<void> future) {
    try {
        future.result();
    } catch (const asyncio::CancelledError& error) {
        trace(label, text(error));
    }
    try {
        static_cast<void>(future.exception());
    } catch (const asyncio::CancelledError& error) {
        trace(label, text(error));
    }
}

template <class Wrap>
Coroutine<void> through(Wrap wrap) {
    auto inner = asyncio::get_running_loop().create_future();
    auto task = asyncio::create_task(waiter(wrap(inner)));
    co_await asyncio::sleep(0);
    co_await asyncio::sleep(0);
    task.cancel("through");
    co_await report("task", task);
    inner.cancel("the inner one");
    asked("inner", inner);
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto future = loop.create_future();
    future.cancel("a future");
    asked("future", future);
    co_await report("future", future);
    asked("future", future);
    trace("again", future.cancel("another"));
    asked("future", future);

    future = loop.create_future();
    future.cancel();
    asked("without", future);

    auto bottom = loop.create_future();
    auto task = asyncio::create_task(waiter(bottom));
    co_await asyncio::sleep(0);
    task.cancel("down and up");
    co_await report("task", task);
    asked("bottom", bottom);

    task = asyncio::create_task(renaming(loop.create_future()));
    co_await asyncio::sleep(0);
    task.cancel("original");
    co_await report("task", task);

    // Through gather, shield and wait_for.
    co_await through([](auto& inner) { return asyncio::gather(inner); });
    co_await through([](auto& inner) { return asyncio::shield(inner); });
    co_await through([](auto& inner) { return asyncio::wait_for(inner, 10s); });
}

int main() {
    asyncio::run(program());
}
