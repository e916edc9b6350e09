// TaskGroup and cancellations from outside: children are cancelled and waited for; errors
// make a group, and the cancellation comes back at the next await (rules 78, 79, 81, 82).
#include "scenario.hpp"

using asyncio::TaskGroup;

Coroutine<void> child(std::string name, int clean_up) {
    // C++ forbids co_await in a handler.
    auto slept = co_await asyncio::try_(asyncio::sleep(10s));
    trace(name, "sees", slept.exception());
    for (int i = 0; i < clean_up; ++i) {
        co_await asyncio::sleep(0);
    }
    trace(name, "leaves");
    if (name.starts_with("bad")) {
        throw asyncio::ValueError(name);
    }
    slept.value();
}

Coroutine<void> fails(std::string name, int yields) {
    for (int i = 0; i < yields; ++i) {
        co_await asyncio::sleep(0);
    }
    trace(name, "fails");
    throw asyncio::ValueError(name);
}

struct Child {
    Coroutine<void> (*function)(std::string, int);
    std::string name;
    int number;
};

Coroutine<void> grouped(std::vector<Child> children) {
    try {
        co_await asyncio::with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
            for (auto& [function, name, number] : children) {
                group.create_task(function(name, number));
            }
            co_await asyncio::sleep(10s);
        });
    } catch (const asyncio::CancelledError& error) {
        trace("block gives", error, asyncio::current_task().cancelling());
        throw;
    } catch (const asyncio::ExceptionGroup& error) {
        trace("block gives", error, asyncio::current_task().cancelling());
    }
    co_await asyncio::sleep(0);
    trace("the next await passed");
}

Coroutine<void> nested() {
    co_await asyncio::with(TaskGroup(), [](TaskGroup& outer) -> Coroutine<void> {
        outer.create_task(fails("outer child", 2));
        try {
            co_await asyncio::with(TaskGroup(), [](TaskGroup& inner) -> Coroutine<void> {
                inner.create_task(child("bad inner child", 1));
                co_return;
            });
        } catch (const asyncio::ExceptionGroup& error) {
            trace("inner block gives", error, asyncio::current_task().cancelling());
            throw;
        }
    });
}

Coroutine<void> cancelled(std::string label, std::vector<Child> children = {}) {
    auto task = asyncio::create_task(grouped(children));
    co_await asyncio::sleep(0);
    co_await asyncio::sleep(0);
    trace("cancel", task.cancel(label));
    co_await report(label, task);
    trace(describe(task), task.cancelling());
}

Coroutine<void> program() {
    trace("begins");
    co_await cancelled("obeying", {{child, "a", 2}});
    co_await cancelled("failing", {{child, "bad b", 2}});
    co_await cancelled("none");

    // A child's failure and a cancellation in the same iteration.
    auto task = asyncio::create_task(grouped({{fails, "c", 1}}));
    for (int i = 0; i < 3; ++i) {
        co_await asyncio::sleep(0);
    }
    trace("cancel", task.cancel("outside as well"));
    co_await report("both", task);
    trace(describe(task), task.cancelling());

    co_await report("nested", nested());
    trace("cancelling", asyncio::current_task().cancelling());
}

int main() {
    asyncio::run(program());
}
