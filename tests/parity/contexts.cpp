// A task copies the context when it is made; callbacks run in the one captured when they were
// added; a context given is shared (rules 47, 48).
#include "scenario.hpp"

asyncio::ContextVar<std::string> variable("variable", "unset");

void show(std::string label) {
    trace(label, variable.get());
}

Coroutine<void> child(std::string name) {
    trace(name, "sees", variable.get());
    variable.set(name);
    co_await asyncio::sleep(0);
    trace(name, "still sees", variable.get());
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    variable.set("one");
    auto task = asyncio::create_task(child("a"));
    variable.set("two");
    // The task has the value of when it was made.
    co_await task;
    trace("program sees", variable.get());

    // A plain await shares.
    co_await child("b");
    trace("program sees", variable.get());

    // Callbacks.
    auto future = loop.create_future();
    variable.set("three");
    future.add_done_callback([] { show("first"); });
    variable.set("four");
    future.add_done_callback([] { show("second"); });
    loop.call_soon(show, "soon");
    loop.call_later(0s, show, "later");
    variable.set("five");
    future.set_result();
    co_await asyncio::sleep(0);
    co_await asyncio::sleep(0);

    // A context that is given: shared by its tasks, not with us.
    auto context = asyncio::copy_context();
    co_await asyncio::create_task(child("c"), {.context = context});
    trace("program sees", variable.get(), "the context", context.at(variable));
    co_await asyncio::create_task(child("d"), {.context = context});
    loop.call_soon({.context = context}, show, "callback");
    co_await asyncio::gather(child("e"), child("f"));
    trace("program sees", variable.get());

    // Undoing a change.
    auto token = variable.set("six");
    trace("changed to", variable.get());
    variable.reset(token);
    trace("back to", variable.get());
}

int main() {
    asyncio::run(program());
}
