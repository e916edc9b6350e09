// What the exception handler is told, in whose context it runs, and what becomes of a handler
// that fails itself (rules 12, 14).
#include "scenario.hpp"

using asyncio::ExceptionContext;

asyncio::ContextVar<std::string> variable("variable", "unset");

void handler(EventLoop&, const ExceptionContext& context) {
    std::string message = context.message;
    if (message.find("callback") != message.npos) {
        message = "a callback";
    }
    trace("handler:", message, "|", context.exception, "| in", variable.get());
}

void broken(EventLoop&, const ExceptionContext& context) {
    trace("broken handler:", context.exception);
    throw asyncio::ValueError("broken handler");
}

void fail(std::string message) {
    trace("fails");
    throw asyncio::ValueError(message);
}

Coroutine<void> failing() {
    variable.set("the task's");
    throw asyncio::ValueError("task");
    co_return;
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins");
    trace("no handler:", !loop.get_exception_handler());
    loop.set_exception_handler(handler);
    trace("no handler:", !loop.get_exception_handler());

    // By hand.
    auto ours = std::make_exception_ptr(asyncio::ValueError("ours"));
    loop.call_exception_handler({.message = "by hand", .exception = ours});
    loop.call_exception_handler({.message = "without an exception"});

    // A callback's error, in the callback's context.
    variable.set("the callback's");
    loop.call_soon(fail, "callback");
    variable.set("the program's");
    loop.call_soon(trace, "the next callback");
    co_await asyncio::sleep(0);

    // A task's, in the task's.
    auto task = asyncio::create_task(failing());
    co_await asyncio::wait({task});
    task = {};
    collect();

    // One that fails itself: the loop goes on.
    loop.set_exception_handler(broken);
    loop.call_soon(fail, "first");
    loop.call_soon(fail, "second");
    loop.call_soon(trace, "the next callback");
    co_await asyncio::sleep(0);
    trace("program goes on");
    loop.call_exception_handler({.message = "by hand", .exception = ours});

    // One that puts another in its place.
    auto replacing = [](EventLoop& loop, const ExceptionContext& context) {
        trace("replaces itself:", context.exception);
        loop.set_exception_handler(handler);
    };

    loop.set_exception_handler(replacing);
    loop.call_soon(fail, "for the replacing one");
    loop.call_soon(fail, "for the next one");
    co_await asyncio::sleep(0);
    loop.set_exception_handler({});
    trace("no handler:", !loop.get_exception_handler());
}

int main() {
    asyncio::run(program());
}
