// Eager tasks between callbacks, done callbacks and waiters: what they schedule takes its
// place in the queue, and they leave no trace where they end at once (rule 49).
#include "scenario.hpp"

Coroutine<void> setter(Future<int> future, int value) {
    trace("sets", value);
    future.set_result(value);
    co_await asyncio::sleep(0);
    trace("setter goes on");
}

Coroutine<void> waiter(std::string name, Future<int> future) {
    trace(name, "waits");
    trace(name, "gets", co_await future);
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    loop.set_task_factory(asyncio::eager_task_factory);
    trace("begins");
    auto future = loop.create_future<int>();

    auto a = asyncio::create_task(waiter("a", future));
    loop.call_soon(trace, "callback 1");
    auto c = asyncio::create_task(setter(future, 1));
    loop.call_soon(trace, "callback 2");
    auto b = asyncio::create_task(waiter("b", future));
    a.add_done_callback([] { trace("a is done"); });
    b.add_done_callback([] { trace("b is done"); });
    trace("made");
    co_await asyncio::gather(a, b, c);
    trace("all done");

    // From a plain callback.
    future = loop.create_future<int>();
    std::vector<Task<void>> tasks;
    loop.call_soon([&] { tasks.push_back(loop.create_task(waiter("d", future))); });
    loop.call_soon([&] { tasks.push_back(loop.create_task(setter(future, 2))); });
    co_await asyncio::sleep(0);
    trace("program");
    co_await asyncio::gather(tasks);
    trace("end");
}

int main() {
    asyncio::run(program());
}
