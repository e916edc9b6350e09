// shield() hands results and errors through, one iteration later than the inner one would;
// a done one is given back as it is (rule 69).
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
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    auto task = asyncio::create_task(child("a", 1));
    auto shielded = asyncio::shield(task);
    shielded.add_done_callback([] { trace("shield is done"); });
    task.add_done_callback([] { trace("task is done"); });
    co_await report("shield", shielded);
    trace("task", describe(task));

    co_await report("coroutine", asyncio::shield(child("b", 0)));
    co_await report("error", asyncio::shield(child("bad", 0)));
    co_await report("twice", asyncio::shield(asyncio::shield(child("c", 0))));
    co_await report("done", asyncio::shield(task));

    // Two shields of one future, completed in the order they were made.
    auto future = loop.create_future<int>();
    auto first = asyncio::shield(future);
    auto second = asyncio::shield(future);
    second.add_done_callback([] { trace("second"); });
    first.add_done_callback([] { trace("first"); });
    future.add_done_callback([] { trace("future itself"); });
    future.set_result(1);
    trace(describe(first));
    co_await asyncio::gather(first, second);
    trace("end");
}

int main() {
    asyncio::run(program());
}
