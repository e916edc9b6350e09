// A failed future or task that nobody looked at is reported when it goes, once; looking at
// it, awaiting it and cancel() disarm that (rule 27).
#include "scenario.hpp"

Coroutine<void> failing(std::string name) {
    throw asyncio::ValueError(name);
    co_return;
}

Future<void> failed(std::string name) {
    auto future = asyncio::get_running_loop().create_future();
    future.set_exception(asyncio::ValueError(name));
    return future;
}

Coroutine<Task<void>> until_done(Task<void> task) {
    co_await asyncio::wait({task});
    co_return task;
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    listen(loop);
    trace("begins");

    const auto no_future = Future<void>(nullptr);  // Python's `del`
    const auto no_task = Task<void>();

    auto future = failed("lost future");
    trace("drops it");
    future = no_future;
    collect();

    auto task = co_await until_done(asyncio::create_task(failing("lost task")));
    trace("drops it");
    task = no_task;
    collect();

    // Nobody ever held it: reported once it is done.
    asyncio::create_task(failing("nobody's task"));
    co_await asyncio::sleep(0);
    co_await asyncio::sleep(0);
    collect();
    trace("looking at it:");

    future = failed("exception()");
    trace(future.exception());
    future = no_future;
    future = failed("result()");
    try {
        future.result();
    } catch (const asyncio::ValueError& error) {
        trace(error);
    }
    future = no_future;
    co_await report("await", failed("await"));
    task = co_await until_done(asyncio::create_task(failing("exception()")));
    trace(task.exception());
    task = no_task;
    co_await report("await task", asyncio::create_task(failing("await")));
    collect();

    // cancel() of one that failed does nothing, but counts as looking.
    future = failed("cancelled");
    trace("cancel", future.cancel());
    future = no_future;
    task = co_await until_done(asyncio::create_task(failing("cancelled")));
    trace("cancel", task.cancel());
    task = no_task;
    collect();

    // A done callback that does not look is no help; one that looks is.
    task = asyncio::create_task(failing("callback"));
    task.add_done_callback([] { trace("callback"); });
    co_await until_done(task);
    task = no_task;
    collect();
    task = asyncio::create_task(failing("looking callback"));
    task.add_done_callback([](const auto& done) { trace("callback", done.exception()); });
    co_await until_done(task);
    task = no_task;
    collect();

    // Two names for one future: reported when the last one goes.
    future = failed("two names");
    auto other = future;
    future = no_future;
    collect();
    trace("one is left");
    other = no_future;
    collect();
    trace("end");
}

int main() {
    asyncio::run(program());
}
