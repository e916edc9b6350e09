// TaskGroup: the block ends when every child is done; the first failure cancels the others
// and the body, and all failures leave as one group (rules 75, 76, 77, 79, 83).
#include "scenario.hpp"

using asyncio::TaskGroup;

Coroutine<std::string> child(std::string name, int yields) {
    try {
        for (int i = 0; i < yields; ++i) {
            co_await asyncio::sleep(0);
        }
    } catch (const asyncio::CancelledError& error) {
        trace(name, "sees", error);
        if (name == "bad when cancelled") {
            throw asyncio::ValueError(name);
        }
        throw;
    }
    trace(name, "ends");
    if (name.starts_with("bad")) {
        throw asyncio::ValueError(name);
    }
    co_return name;
}

using Body = Coroutine<void> (*)(TaskGroup&);
using Children = std::vector<std::pair<std::string, int>>;

Coroutine<std::string> group(Body body, Children children = {}) {
    std::vector<Task<std::string>> tasks;
    auto block = asyncio::with(TaskGroup(), [&](TaskGroup& group) -> Coroutine<void> {
        for (auto [name, yields] : children) {
            tasks.push_back(group.create_task(child(name, yields)));
        }
        trace("body");
        co_await body(group);
        trace("body ends");
    });
    auto outcome = co_await asyncio::try_(std::move(block));
    std::vector<std::string> states;
    for (const auto& task : tasks) states.push_back(describe(task));
    trace(states, asyncio::current_task().cancelling());
    outcome.value();
    co_return "after the block";
}

Coroutine<void> nothing(TaskGroup&) {
    co_return;
}

Coroutine<void> failing(TaskGroup&) {
    throw asyncio::ValueError("body");
    co_return;
}

Coroutine<void> sleeping(TaskGroup&) {
    try {
        co_await asyncio::sleep(10s);
    } catch (const asyncio::CancelledError& error) {
        trace("body sees", error, asyncio::current_task().cancelling());
        throw;
    }
}

Coroutine<void> adding(TaskGroup& group) {
    auto late = [](TaskGroup& group) -> Coroutine<void> {
        trace("late child adds another");
        group.create_task(child("added", 1));
        co_return;
    };

    group.create_task(late(group));
    co_return;
}

Coroutine<void> refused(TaskGroup& group) {
    try {
        co_await asyncio::sleep(10s);
    } catch (const asyncio::CancelledError&) {
        auto coroutine = child("never", 0);
        try {
            group.create_task(std::move(coroutine));
        } catch (const asyncio::RuntimeError& error) {
            trace("create_task:", error);
        }
        coroutine.close();
        throw;
    }
}

Coroutine<void> program() {
    trace("begins");
    co_await report("good", group(nothing, {{"a", 1}, {"b", 3}, {"c", 0}}));
    co_await report("empty", group(nothing));
    co_await report("adding", group(adding, {{"d", 1}}));
    co_await report("child fails", group(sleeping, {{"bad e", 2}, {"f", 9}}));
    co_await report("body fails", group(failing, {{"g", 9}}));
    co_await report("two fail", group(nothing, {{"bad i", 1}, {"bad j", 1}}));
    co_await report("fails winding down",
                    group(sleeping, {{"bad k", 1}, {"bad when cancelled", 9}}));
    co_await report("refused", group(refused, {{"bad l", 1}}));
    // Nothing is left of all this.
    trace("cancelling", asyncio::current_task().cancelling());
    co_await asyncio::sleep(0);
    trace("end");
}

int main() {
    asyncio::run(program());
}
