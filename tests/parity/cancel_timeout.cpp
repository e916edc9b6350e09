// timeout() and cancellations from elsewhere: only its own request becomes a TimeoutError
// (rules 56, 57, 62).
#include "scenario.hpp"

Coroutine<void> limited(std::chrono::milliseconds delay, Future<std::string> future) {
    auto limit = asyncio::timeout(delay);
    auto body = [&]() -> Coroutine<void> {
        try {
            trace("has", co_await future);
        } catch (const asyncio::CancelledError& error) {
            trace("inside:", error, asyncio::current_task().cancelling());
            throw;
        }
    };
    auto outcome = co_await asyncio::try_(asyncio::with(limit, body));
    trace("expired", limit.expired(), "cancelling", asyncio::current_task().cancelling());
    outcome.value();
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");

    // From outside, before the deadline.
    auto task = asyncio::create_task(limited(10s, loop.create_future<std::string>()));
    co_await asyncio::sleep(0);
    task.cancel("outside");
    co_await report("outside", task);

    // From outside after the deadline fired, before the task ran: both count.
    task = asyncio::create_task(limited(10ms, loop.create_future<std::string>()));
    co_await asyncio::sleep(0);
    loop.call_later(20ms, [task] { task.cancel("outside as well"); });
    block(40ms);
    co_await report("both", task);
    trace("cancelling", task.cancelling());

    // From outside first.
    task = asyncio::create_task(limited(20ms, loop.create_future<std::string>()));
    co_await asyncio::sleep(0);
    loop.call_later(10ms, [task] { task.cancel("outside first"); });
    block(40ms);
    co_await report("both", task);
    trace("cancelling", task.cancelling());

    // The deadline fires after the future was completed, before the task resumed (rule 56).
    auto future = loop.create_future<std::string>();
    task = asyncio::create_task(limited(20ms, future));
    co_await asyncio::sleep(0);
    loop.call_later(10ms, [future] { future.set_result("value"); });
    block(40ms);
    co_await report("late", task);

    // The other way round: the value comes just too late.
    future = loop.create_future<std::string>();
    task = asyncio::create_task(limited(10ms, future));
    co_await asyncio::sleep(0);
    block(30ms);
    co_await report("late", task);
    trace(describe(future));

    // A task that carries an earlier cancellation can still time out.
    auto carrying = []() -> Coroutine<std::string> {
        try {
            co_await asyncio::sleep(10s);
        } catch (const asyncio::CancelledError&) {
            trace("swallowed");
        }
        try {
            co_await asyncio::with(asyncio::timeout(20ms),
                                   []() -> Coroutine<void> { co_await asyncio::sleep(10s); });
        } catch (const asyncio::TimeoutError&) {
            trace("timed out,", asyncio::current_task().cancelling(), "is left");
        }
        co_await asyncio::sleep(0);
        co_return "ends normally";
    };

    auto carrier = asyncio::create_task(carrying);
    co_await asyncio::sleep(0);
    carrier.cancel();
    co_await report("carrying", carrier);
}

int main() {
    asyncio::run(program());
}
