// Cancelling wait() or as_completed() leaves the tasks alone; those that it waited for go on
// (rules 72, 74).
#include "scenario.hpp"

using Tasks = std::vector<Task<std::string>>;

Coroutine<std::string> child(std::string name, int yields) {
    for (int i = 0; i < yields; ++i) {
        co_await asyncio::sleep(0);
    }
    trace(name, "ends");
    co_return name;
}

Coroutine<void> waiting(Tasks tasks) {
    try {
        co_await asyncio::wait(tasks);
    } catch (const asyncio::CancelledError& error) {
        trace("wait gets", error);
        throw;
    }
}

Coroutine<void> taking(Tasks tasks) {
    auto completed = asyncio::as_completed(tasks);
    while (auto task = co_await anext(completed)) {
        trace("next is", task->result());
    }
}

Coroutine<void> program() {
    trace("begins");
    for (auto* function : {waiting, taking}) {
        Tasks tasks{asyncio::create_task(child("a", 2)), asyncio::create_task(child("b", 8))};
        auto waiter = asyncio::create_task(function(tasks));
        for (int i = 0; i < 6; ++i) {
            co_await asyncio::sleep(0);
        }
        trace("cancel", waiter.cancel("enough"));
        co_await report("waiter", waiter);
        trace(std::tuple(describe(tasks[0]), describe(tasks[1])),
              std::tuple(tasks[0].cancelling(), tasks[1].cancelling()));
        co_await asyncio::wait(tasks);
    }
}

int main() {
    asyncio::run(program());
}
