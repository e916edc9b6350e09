// An eager task that is blocked is cancelled like any other; one that ended at once cannot
// be; one may cancel itself, or the task that made it (rules 35, 50).
#include "scenario.hpp"

Coroutine<void> blocked(Future<void> future) {
    trace("blocks");
    try {
        co_await future;
    } catch (const asyncio::CancelledError& error) {
        trace("sees", error);
        throw;
    }
}

Coroutine<std::string> ends() {
    co_return "ended";
}

Coroutine<std::string> cancels(asyncio::AnyTask task) {
    trace("cancels", task.cancel("by an eager task"));
    co_return "done";
}

Coroutine<void> cancels_itself() {
    asyncio::current_task().cancel("itself");
    co_await asyncio::sleep(0);
    trace("never");
}

Coroutine<void> returns_cancelled() {
    asyncio::current_task().cancel("at the end");
    co_return;
}

Coroutine<void> parent() {
    auto child = asyncio::create_task(cancels(asyncio::current_task()));
    trace("parent goes on", describe(child));
    co_await asyncio::sleep(0);
    trace("never");
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    loop.set_task_factory(asyncio::eager_task_factory);
    trace("begins");
    auto task = asyncio::create_task(blocked(loop.create_future()));
    trace("cancel", task.cancel("blocked"), describe(task));
    co_await report("blocked", task);

    auto ended = asyncio::create_task(ends());
    trace("cancel", ended.cancel(), describe(ended));
    co_await report("ended", ended);

    task = asyncio::create_task(cancels_itself());
    trace(describe(task));
    co_await report("itself", task);
    task = asyncio::create_task(returns_cancelled());
    trace(describe(task));
    co_await report("at the end", task);
    co_await report("parent", asyncio::create_task(parent()));
}

int main() {
    asyncio::run(program());
}
