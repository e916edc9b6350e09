// Async generators: a step runs in the caller's turn up to the yield, asend and athrow reach the
// yield, aclose runs the clean-up, a second one does nothing, two at once are refused (rule 159).
#include "scenario.hpp"

using Counter = asyncio::AsyncGenerator<int, int>;

Counter counter(std::string label, int n) {
    std::exception_ptr leaving;
    bool caught = false;
    try {
        for (int i = 0; i < n; ++i) {
            const std::optional<int> got = co_yield i;
            trace(label, "got", got);
            co_await asyncio::sleep(0);
        }
    } catch (const asyncio::ValueError& error) {
        trace(label, "caught", error);
        caught = true;
    } catch (...) {
        leaving = std::current_exception();
    }
    if (caught) co_yield -1;
    co_await asyncio::sleep(0);
    trace(label, "cleans up");
    if (leaving) std::rethrow_exception(leaving);
}

template <class Step>
Coroutine<std::optional<int>> step(Step awaitable) {
    co_return co_await std::move(awaitable);
}

Coroutine<void> program() {
    auto a = counter("a", 3);
    trace(co_await a.anext());
    trace(co_await a.asend(10));
    trace(co_await a.athrow(asyncio::ValueError("thrown")));
    trace(co_await a.anext());
    trace(co_await a.anext());

    auto b = counter("b", 3);
    trace(co_await b.anext());
    co_await b.aclose();
    co_await b.aclose();
    trace(co_await b.anext());

    auto c = counter("c", 2);
    co_await report("send too early", [](Counter& g) -> Coroutine<std::optional<int>> {
        co_return co_await g.asend(1);
    }(c));
    while (auto item = co_await c.anext()) trace("item", *item);

    auto d = counter("d", 3);
    co_await d.anext();
    const auto next = [](Counter& g) -> Coroutine<std::optional<int>> {
        co_return co_await g.anext();
    };
    auto busy = asyncio::create_task(next(d));
    co_await asyncio::sleep(0);
    co_await report("second", next(d));
    co_await report("first", busy);
    co_await d.aclose();
}

int main() {
    asyncio::run(program());
}
