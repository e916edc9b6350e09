// Done callbacks: order, on a future that is done already, removed ones, ones that fail, and
// callbacks that change the list (rules 12, 21, 23, 24).
#include "scenario.hpp"

void first(Future<void> future) {
    trace("first", describe(future));
}

void second(Future<void> future) {
    trace("second", describe(future));
}

void failing(Future<void>) {
    trace("failing");
    throw asyncio::ValueError("in a done callback");
}

void adding(Future<void> future) {
    trace("adding");
    future.add_done_callback(first);
    // Both are scheduled by now and cannot be recalled.
    trace("removed", future.remove_done_callback(second));
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    listen(loop);

    auto future = loop.create_future();
    future.add_done_callback(second);
    future.add_done_callback(first);
    future.add_done_callback(second);
    trace("removed", future.remove_done_callback(second));
    trace("removed", future.remove_done_callback(second));
    future.add_done_callback(failing);
    future.add_done_callback(adding);
    future.add_done_callback(second);
    future.set_result();
    trace("set");
    co_await asyncio::sleep(0);
    trace("program");
    co_await asyncio::sleep(0);
    trace("program");

    // On one that is done: in the next iteration, never inline.
    future.add_done_callback(first);
    trace("added late");
    co_await asyncio::sleep(0);
    trace("program");

    // A failed and a cancelled one.
    auto failed = loop.create_future();
    failed.add_done_callback(first);
    failed.set_exception(asyncio::ValueError("seen by describe()"));
    auto cancelled = loop.create_future();
    cancelled.add_done_callback(second);
    cancelled.cancel();
    co_await asyncio::sleep(0);
    trace("end");
}

int main() {
    asyncio::run(program());
}
