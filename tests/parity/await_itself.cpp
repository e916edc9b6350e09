// A task that awaits itself gets RuntimeError, one iteration later; through another task it
// would wait for ever, until somebody cancels (rule 42).
#include "scenario.hpp"

// What current_task() gives has no type yet: the program hands each task to itself.
Coroutine<std::string> directly(Task<std::string>& me) {
    trace("awaits itself");
    try {
        co_await me;
    } catch (const asyncio::RuntimeError& error) {
        trace("sees", error);
    }
    co_await asyncio::sleep(0);
    co_return "went on";
}

Coroutine<std::string> failing(Task<std::string>& me) {
    co_return co_await me;
}

Coroutine<void> one(std::vector<Task<void>>& tasks) {
    trace("one awaits two");
    co_await tasks[1];
}

Coroutine<void> two(Future<void> future) {
    trace("two awaits one");
    try {
        co_await future;
    } catch (const asyncio::CancelledError& error) {
        trace("two sees", error);
        throw;
    }
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    Task<std::string> task;
    task = asyncio::create_task(directly(task));
    loop.call_soon(trace, "callback");
    co_await report("task", task);
    task = asyncio::create_task(failing(task));
    co_await report("task", task);
    trace(describe(task));

    // In a circle, cancelled from outside at one end. (Cancelling a task in the circle goes
    // round for ever.)
    std::vector<Task<void>> tasks;
    auto future = loop.create_future();
    tasks.push_back(asyncio::create_task(one(tasks)));
    tasks.push_back(asyncio::create_task(two(future)));
    co_await asyncio::sleep(0);
    future.cancel("the circle is cut");
    co_await report("one", tasks[0]);
    trace(describe(tasks[0]), describe(tasks[1]));
}

int main() {
    asyncio::run(program());
}
