// Cancelling gather() cancels every child that is not done; plain, it ends with the first
// child that does, with return_exceptions with the last, cancelled too (rules 67, 68).
#include "scenario.hpp"

Coroutine<std::string> child(std::string name, int clean_up) {
    // C++ forbids co_await in a handler.
    auto slept = co_await asyncio::try_(asyncio::sleep(10s));
    trace(name, "sees", slept.exception());
    for (int i = 0; i < clean_up; ++i) {
        co_await asyncio::sleep(0);
    }
    trace(name, "leaves");
    if (name == "bad") {
        throw asyncio::ValueError(name);
    }
    if (name == "stubborn") {
        co_return name;
    }
    slept.value();
    co_return "";
}

Coroutine<std::string> done() {
    co_return "done";
}

template <class... Children>
Coroutine<void> gathering(Children... children) {
    try {
        trace("results", co_await asyncio::gather(std::move(children)...));
    } catch (const asyncio::ValueError& error) {
        trace("gather gets", error);
        throw;
    } catch (const asyncio::CancelledError& error) {
        trace("gather gets", error);
        throw;
    }
}

template <class... Children>
Coroutine<void> cancelled(std::string label, Children... children) {
    auto task = asyncio::create_task(gathering(std::move(children)...));
    for (int i = 0; i < 4; ++i) {
        co_await asyncio::sleep(0);
    }
    trace(label, "cancel", task.cancel(label));
    co_await report(label, task);
    trace(describe(task));
    for (int i = 0; i < 6; ++i) {
        co_await asyncio::sleep(0);
    }
}

Coroutine<void> program() {
    using asyncio::return_exceptions;
    EventLoop& loop = asyncio::get_running_loop();
    listen(loop);
    trace("begins");
    co_await cancelled("plain", child("a", 2), child("b", 0), done());
    co_await cancelled("kept", return_exceptions, child("c", 2), child("d", 0), done());
    co_await cancelled("bad first", child("bad", 0), child("e", 2));
    co_await cancelled("bad last", child("f", 0), child("bad", 2));
    co_await cancelled("kept bad", return_exceptions, child("bad", 0), child("g", 2));
    co_await cancelled("all refuse", child("stubborn", 0), child("stubborn", 2));
    co_await cancelled("one refuses", return_exceptions, child("stubborn", 2), child("h", 0));
    co_await cancelled("last refuses", return_exceptions,  //
                       child("i", 0), child("stubborn", 2));
    collect();

    // The future itself; and one whose children are all done.
    auto future = loop.create_future<int>();
    auto together = asyncio::gather(future, child("j", 1));
    co_await asyncio::sleep(0);
    trace("cancel", together.cancel("by hand"), describe(future), describe(together));
    co_await report("gather", together);
    // Completed with the error, not cancelled.
    trace(together.cancelled(), together.cancel());
    future = loop.create_future<int>();
    auto single = asyncio::gather(future);
    future.set_result(1);
    trace("all done", single.cancel(), describe(single));
    co_await report("gather", single);
}

int main() {
    asyncio::run(program());
}
