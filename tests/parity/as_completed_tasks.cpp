// as_completed() gives back the caller's own tasks in the order in which they end, each once
// (rule 74).
#include "scenario.hpp"

Coroutine<std::string> child(std::string name, int yields) {
    for (int i = 0; i < yields; ++i) {
        co_await asyncio::sleep(0);
    }
    trace(name, "ends");
    if (name == "bad") {
        throw asyncio::ValueError(name);
    }
    co_return name;
}

Coroutine<void> program() {
    trace("begins");
    auto slow = asyncio::create_task(child("slow", 6), {.name = "slow task"});
    auto quick = asyncio::create_task(child("quick", 1), {.name = "quick task"});
    auto bad = asyncio::create_task(child("bad", 3), {.name = "bad task"});
    auto all = asyncio::as_completed(std::vector{slow, bad, quick, slow});
    while (auto task = co_await anext(all)) {
        trace("next is", *task, describe(*task));
    }

    // All done before we ask: in the order in which they ended.
    auto a = asyncio::create_task(child("a", 2), {.name = "task a"});
    auto b = asyncio::create_task(child("b", 1), {.name = "task b"});
    auto completed = asyncio::as_completed(std::vector{a, b});
    for (int i = 0; i < 8; ++i) {
        co_await asyncio::sleep(0);
    }
    while (auto task = co_await anext(completed)) {
        trace("next is", *task);
    }

    // Done before as_completed() is called.
    completed = asyncio::as_completed(std::vector{a});
    while (auto task = co_await anext(completed)) {
        trace("next is", *task);
    }

    // Two waiters take turns.
    completed = asyncio::as_completed(std::vector{
        asyncio::create_task(child("c", 2), {.name = "task c"}),
        asyncio::create_task(child("d", 4), {.name = "task d"}),
    });

    auto taker = [&](std::string name) -> Coroutine<void> {
        trace(name, "takes", co_await anext(completed));
    };

    co_await asyncio::gather(taker("first"), taker("second"));
    trace("end");
}

int main() {
    asyncio::run(program());
}
