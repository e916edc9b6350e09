// Event: set wakes everybody in order although it is cleared at once; a wait for a set event
// does not yield; a cancelled waiter goes alone (rules 73 and 74).
#include "scenario.hpp"

Coroutine<void> waiter(asyncio::Event& event, std::string label) {
    const bool set = co_await event.wait();
    trace(label, "gets", set);
}

Coroutine<void> program() {
    asyncio::Event event;
    std::vector<Task<void>> tasks;
    for (const char* label : {"a", "b", "c"}) {
        tasks.push_back(asyncio::create_task(waiter(event, label)));
    }
    co_await asyncio::sleep(0);
    tasks[1].cancel();
    event.set();
    event.clear();
    trace("set", event.is_set());
    co_await report("b", tasks[1]);
    co_await asyncio::gather(tasks[0], tasks[2]);
    event.set();
    auto other = asyncio::create_task(waiter(event, "other"));
    trace("before");
    co_await event.wait();
    trace("no turn passed");
    co_await other;
}

int main() {
    asyncio::run(program());
}
