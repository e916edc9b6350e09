// timeout(): past deadlines fire at the first real suspension, bodies that never suspend
// finish, nested ones tell apart whose time was up (rules 58, 59, 60, 61, 62).
#include "scenario.hpp"

Coroutine<void> body(std::chrono::milliseconds delay) {
    trace("sleeps");
    co_await asyncio::sleep(delay);
    trace("slept");
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto limit = asyncio::timeout(10s);
    co_await asyncio::with(limit, [] { return body(0ms); });
    trace("expired", limit.expired());

    // In the past: even sleep(0) is interrupted.
    auto past = asyncio::timeout(-1s);
    try {
        co_await asyncio::with(past, []() -> Coroutine<void> {
            trace("inside");
            co_await body(0ms);
        });
    } catch (const asyncio::TimeoutError&) {
        trace("TimeoutError, expired", past.expired(), asyncio::current_task().cancelling());
    }

    // Without a suspension it finishes, however late.
    auto late = asyncio::timeout(10ms);
    co_await asyncio::with(late, []() -> Coroutine<void> {
        block(30ms);
        co_return;
    });
    trace("never suspended, expired", late.expired());
    co_await asyncio::sleep(0);

    // Another error leaving an expired block stays.
    auto replaced = asyncio::timeout(10ms);
    try {
        co_await asyncio::with(replaced, []() -> Coroutine<void> {
            try {
                co_await body(10s);
            } catch (...) {
                throw asyncio::ValueError("while winding down");
            }
        });
    } catch (const asyncio::ValueError& error) {
        trace(error, "expired", replaced.expired());
    }

    // Nested: the outer one's time, the inner one's, both.
    for (auto [outer_delay, inner_delay] :
         {std::pair(20ms, 10'000ms), std::pair(10'000ms, 20ms), std::pair(20ms, 20ms)}) {
        auto now = loop.time();
        auto outer = asyncio::timeout_at(now + outer_delay);
        auto inner = asyncio::timeout_at(now + inner_delay);
        try {
            co_await asyncio::with(outer, [&]() -> Coroutine<void> {
                try {
                    co_await asyncio::with(inner, [] { return body(10s); });
                } catch (const asyncio::TimeoutError&) {
                    trace("inner TimeoutError");
                }
            });
        } catch (const asyncio::TimeoutError&) {
            trace("outer TimeoutError");
        }
        trace("outer", outer.expired(), "inner", inner.expired(),  //
              "cancelling", asyncio::current_task().cancelling());
    }

    // Moved forward, and switched off.
    auto moved = asyncio::timeout(20ms);
    co_await asyncio::with(moved, [&]() -> Coroutine<void> {
        moved.reschedule(loop.time() + 10s);
        co_await body(50ms);
    });
    trace("expired", moved.expired());
    auto disabled = asyncio::timeout(20ms);
    co_await asyncio::with(disabled, [&]() -> Coroutine<void> {
        disabled.reschedule(std::nullopt);
        co_await body(50ms);
    });
    trace("expired", disabled.expired());
}

int main() {
    asyncio::run(program());
}
