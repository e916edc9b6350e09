// run(): what is left over when the program ends is cancelled and waited for, errors on the
// way are reported, and then the loop is closed (rule 149).
#include "scenario.hpp"

Coroutine<void> leftover(std::string how) {
    trace("leftover starts");
    // C++ forbids co_await in a handler.
    auto slept = co_await asyncio::try_(asyncio::sleep(10s));
    trace("leftover sees", slept.exception());
    co_await asyncio::sleep(0);
    trace("leftover wound down");
    if (how == "bad") {
        throw asyncio::ValueError("leftover");
    }
    slept.value();
}

Coroutine<Task<void>> program(std::string how) {
    EventLoop& loop = asyncio::get_running_loop();
    listen(loop);
    trace("begins", how);
    auto task = asyncio::create_task(leftover(how));
    task.add_done_callback([] { trace("leftover is done"); });
    loop.call_later(10s, trace, "never");
    co_await asyncio::sleep(0);
    if (how == "failing") {
        throw asyncio::ValueError("program");
    }
    if (how == "exiting") {
        throw asyncio::SystemExit(1);
    }
    if (how == "cancelled") {
        asyncio::current_task().cancel("program");
        co_await asyncio::sleep(0);
    }
    trace("ends");
    co_return task;
}

int main() {
    for (const char* how : {"obeying", "bad", "failing", "cancelled", "exiting"}) {
        try {
            auto task = asyncio::run(program(how));
            trace("run gives the task", describe(task), "closed", task.get_loop().is_closed());
        } catch (const asyncio::ValueError& error) {
            trace("run gives", error);
        } catch (const asyncio::BaseException& error) {
            trace("run gives", error);
        }
    }
}
