// Runner: several runs in one loop and one context; nothing after close(), nothing inside a
// running loop (rules 152, 153).
#include "scenario.hpp"

asyncio::ContextVar<std::string> variable("variable", "unset");

Coroutine<std::string> step(std::string value) {
    trace("sees", variable.get());
    variable.set(value);
    co_await asyncio::sleep(0);
    co_return value;
}

Coroutine<void> never() {
    trace("never");
    co_return;
}

Coroutine<std::string> nested(asyncio::Runner& runner) {
    auto coroutine = never();
    try {
        runner.run(std::move(coroutine));
    } catch (const asyncio::RuntimeError& error) {
        trace("nested", error);
    }
    try {
        asyncio::run(std::move(coroutine));
    } catch (const asyncio::RuntimeError& error) {
        trace("nested", error);
    }
    coroutine.close();
    co_await asyncio::sleep(0);
    co_return "goes on";
}

Coroutine<void> leaving(std::vector<Task<std::string>>& tasks) {
    tasks.push_back(asyncio::create_task(step("left over")));
    co_return;
}

int main() {
    asyncio::Runner runner;
    EventLoop& loop = runner.get_loop();
    trace(runner.run(step("one")));
    trace(runner.run(step("two")));
    trace("outside", variable.get());
    auto context = asyncio::copy_context();
    trace(runner.run(step("three"), context));
    trace(context.at(variable));
    trace(runner.run(step("four")));
    trace("the same loop", &runner.get_loop() == &loop);
    trace(runner.run(nested(runner)));

    // What one run leaves behind goes on in the next.
    std::vector<Task<std::string>> tasks;
    runner.run(leaving(tasks));
    trace(describe(tasks[0]));
    trace(runner.run(step("five")), describe(tasks[0]));
    runner.run(leaving(tasks));
    runner.close();
    trace("closed", loop.is_closed(), describe(tasks[1]));
    runner.close();
    try {
        runner.get_loop();
    } catch (const asyncio::RuntimeError& error) {
        trace(error);
    }
    auto coroutine = never();
    try {
        runner.run(std::move(coroutine));
    } catch (const asyncio::RuntimeError& error) {
        trace(error);
    }
    coroutine.close();
}
