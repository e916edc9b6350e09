// An eager task runs in create_task() up to its first suspension, in its own context and as
// the current task; one that ends there costs no iteration (rules 49, 50).
#include "scenario.hpp"

asyncio::ContextVar<std::string> variable("variable", "unset");

bool in_main() {
    return asyncio::current_task().get_name() == "main";
}

Coroutine<std::string> child(std::string name, int yields) {
    trace(name, "starts in main:", in_main(), variable.get());
    variable.set(name);
    for (int i = 0; i < yields; ++i) {
        co_await asyncio::sleep(0);
    }
    trace(name, "ends in main:", in_main(), variable.get());
    co_return name;
}

Coroutine<void> failing(int yields) {
    for (int i = 0; i < yields; ++i) {
        co_await asyncio::sleep(0);
    }
    trace("fails");
    throw asyncio::ValueError("eager");
}

Coroutine<std::string> parent() {
    trace("parent starts");
    auto inner = asyncio::create_task(child("inner", 1));
    trace("parent goes on in main:", in_main());
    co_return co_await inner;
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    listen(loop);
    asyncio::current_task().set_name("main");
    variable.set("main's");
    trace("begins");
    loop.set_task_factory(asyncio::eager_task_factory);

    loop.call_soon(trace, "callback");
    auto a = asyncio::create_task(child("a", 0));
    trace("made a:", describe(a), "in main:", in_main(), variable.get());
    auto b = asyncio::create_task(child("b", 2));
    trace("made b:", describe(b), "of", asyncio::all_tasks().size());
    trace(co_await a);
    trace(co_await b);

    // The wake-up of one that suspended is as any other's; nested ones start inside.
    trace(co_await asyncio::create_task(parent()));

    // Errors wait in the task.
    co_await report("failed at once", asyncio::create_task(failing(0)));
    co_await report("failed later", asyncio::create_task(failing(1)));

    // gather() of tasks that ended at once is done at once.
    auto together = asyncio::gather(child("c", 0), child("d", 0));
    trace("gather is", describe(together));
    trace(co_await together);

    loop.set_task_factory({});
    auto lazy = asyncio::create_task(child("lazy", 0));
    trace("made lazy:", describe(lazy));
    trace(co_await lazy);
}

int main() {
    asyncio::run(program());
}
