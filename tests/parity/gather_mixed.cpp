// gather() of coroutines, tasks and futures: results in the order of the arguments, and the
// waiter wakes two iterations after the last child (rules 22, 64).
#include "scenario.hpp"

Coroutine<std::string> child(std::string name, int yields) {
    trace(name, "starts");
    for (int i = 0; i < yields; ++i) {
        co_await asyncio::sleep(0);
    }
    trace(name, "ends");
    co_return name;
}

Coroutine<void> nothing() {
    trace("nothing");
    co_return;
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto task = asyncio::create_task(child("task", 1));
    auto future = loop.create_future<std::string>();
    loop.call_soon([future] { future.set_result("future"); });
    auto together = asyncio::gather(child("slow", 3), task, future, child("quick", 0), nothing());
    trace("made", describe(together));
    trace("results", co_await together);
    trace(describe(together));

    // Of a list; the same waited for by two.
    std::vector<Task<std::string>> tasks;
    for (const char* name : {"a", "b", "c"}) {
        tasks.push_back(asyncio::create_task(child(name, 1)));
    }
    auto all = asyncio::gather(tasks);
    auto again = asyncio::gather(std::vector(tasks.rbegin(), tasks.rend()));
    all.add_done_callback([](const auto& done) { trace("callback", done.result()); });
    trace("results", co_await again);
    trace("results", co_await all);
    co_await asyncio::sleep(0);

    // Nested: two iterations for each level.
    trace("nested", co_await asyncio::gather(asyncio::gather(child("x", 0)), child("y", 0)));

    // Of nothing.
    co_await asyncio::gather();
    trace("end");
}

int main() {
    asyncio::run(program());
}
