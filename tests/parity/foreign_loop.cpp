// Awaiting another loop's pending future is an error at the await, one iteration later, that
// the task may catch; a done one just gives its result (rules 26, 28).
#include "scenario.hpp"

Coroutine<std::string> waiter(std::string label, Future<std::string> future) {
    trace(label, "waits");
    try {
        co_await future;
    } catch (const asyncio::RuntimeError& error) {
        trace(label, "sees", error);
    } catch (const asyncio::CancelledError& error) {
        trace(label, "sees", error);
        throw;
    }
    co_return "went on";
}

Coroutine<void> program(EventLoop& other) {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto future = other.create_future<std::string>();
    auto a = asyncio::create_task(waiter("a", future));
    co_await asyncio::sleep(0);
    loop.call_soon(trace, "callback");
    co_await report("a", a);
    trace("the future is", describe(future));

    // Cancelled meanwhile: that comes first.
    future = other.create_future<std::string>();
    auto b = asyncio::create_task(waiter("b", future));
    co_await asyncio::sleep(0);
    trace("cancel", b.cancel("meanwhile"));
    co_await report("b", b);
    trace("the future is", describe(future));

    future = other.create_future<std::string>();
    co_await report("itself", waiter("c", future));
    auto done = other.create_future<std::string>();
    done.set_result("done");
    co_await report("done", done);

    try {
        static_cast<void>(asyncio::gather(loop.create_future(), future));
    } catch (const asyncio::ValueError& error) {
        trace("gather:", name(error));
    }
    try {
        asyncio::ensure_future(future, &loop);
    } catch (const asyncio::ValueError& error) {
        trace("ensure_future:", name(error));
    }
}

int main() {
    auto other = asyncio::new_event_loop();
    asyncio::run(program(*other));
    other->close();
}
