// AsyncExitStack: leaves in the opposite order, each may swallow or replace the error for those
// below, pop_all takes everything along.
#include "scenario.hpp"

using asyncio::AsyncExitStack;

class Manager {
  public:
    explicit Manager(std::string label, bool swallow = false)
        : label_(std::move(label)), swallow_(swallow) {}

    Coroutine<std::string> aenter() {
        co_await asyncio::sleep(0);
        trace("enter", label_);
        co_return label_;
    }
    Coroutine<bool> aexit(std::exception_ptr error) {
        co_await asyncio::sleep(0);
        trace("exit", label_, error);
        co_return swallow_;
    }

  private:
    std::string label_;
    bool swallow_;
};

Coroutine<void> callback(std::string text) {
    co_await asyncio::sleep(0);
    trace("callback", text);
}

Coroutine<void> replacing() {
    throw asyncio::ValueError("replaced");
    co_return;
}

Coroutine<asyncio::None> body(bool swallow, bool replace) {
    co_await asyncio::with(AsyncExitStack(), [&](AsyncExitStack& stack) -> Coroutine<void> {
        co_await stack.enter_async_context(Manager("a", swallow));
        stack.push_async_callback(callback, "second");
        if (replace) stack.push_async_callback(replacing);
        stack.callback([] { trace("plain"); });
        co_await stack.enter_async_context(Manager("b"));
        co_await asyncio::sleep(0);
        throw asyncio::ValueError("body");
    });
    co_return asyncio::None();
}

Coroutine<void> program() {
    co_await report("passes", body(false, false));
    co_await report("swallowed", body(true, false));
    co_await report("replaced", body(false, true));

    AsyncExitStack kept;
    co_await asyncio::with(AsyncExitStack(), [&](AsyncExitStack& stack) -> Coroutine<void> {
        co_await stack.enter_async_context(Manager("kept"));
        kept = stack.pop_all();
    });
    trace("left the first");
    co_await kept.aclose();

    auto cancelled = asyncio::create_task(body(false, false));
    for (int i = 0; i < 2; ++i) co_await asyncio::sleep(0);
    cancelled.cancel();
    co_await report("cancelled", cancelled);
}

int main() {
    asyncio::run(program());
}
