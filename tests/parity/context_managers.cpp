// Cleanup that awaits, in order, whatever ended the block: `async with`, an exit stack, and a
// manager that swallows or replaces the error.
#include "scenario.hpp"

struct Manager {
    std::string name;
    bool swallow = false;
    bool fail = false;

    Coroutine<void> aenter() {
        trace(name, "enters");
        co_await asyncio::sleep(0);
    }

    Coroutine<bool> aexit(std::exception_ptr error) {
        trace(name, "leaves with", error);
        co_await asyncio::sleep(0);
        if (fail) {
            throw asyncio::ValueError(name);
        }
        co_return swallow;
    }
};

Coroutine<void> block(Manager first, Manager second, std::string how) {
    co_await asyncio::with(first, second, [&]() -> Coroutine<void> {
        trace("body", how);
        co_await asyncio::sleep(0);
        if (how == "fails") {
            throw asyncio::ValueError("body");
        }
    });
    trace("after");
}

Coroutine<void> stack() {
    co_await asyncio::with(asyncio::AsyncExitStack(),
                           [](asyncio::AsyncExitStack& stack) -> Coroutine<void> {
                               co_await stack.enter_async_context(Manager{"one"});
                               stack.callback(trace, "callback");
                               co_await stack.enter_async_context(Manager{"two"});
                               throw asyncio::ValueError("body");
                           });
}

Coroutine<void> program() {
    trace("begins");
    co_await report("ends", block({"a"}, {"b"}, "ends"));
    co_await report("fails", block({"a"}, {"b"}, "fails"));
    co_await report("swallowed", block({"a"}, {.name = "b", .swallow = true}, "fails"));
    co_await report("replaced", block({"a"}, {.name = "b", .fail = true}, "fails"));
    co_await report("stack", stack());

    auto task = asyncio::create_task(block({"a"}, {"b"}, "is cancelled"));
    for (int i = 0; i < 3; ++i) {
        co_await asyncio::sleep(0);
    }
    trace("cancel", task.cancel("from outside"));
    co_await report("task", task);
}

int main() {
    asyncio::run(program());
}
