// A coroutine runs once: awaiting it again, or while another task does, is RuntimeError at
// once (rule 43).
#include "scenario.hpp"

Coroutine<std::string> child() {
    trace("child starts");
    co_await asyncio::sleep(0);
    trace("child ends");
    co_return "result";
}

Coroutine<std::string> waiter(std::string name, Coroutine<std::string>& coroutine) {
    trace(name, "awaits");
    co_return co_await coroutine;
}

Coroutine<void> program() {
    trace("begins");
    auto coroutine = child();
    co_await report("first", waiter("first", coroutine));
    co_await report("second", waiter("second", coroutine));

    coroutine = child();
    auto a = asyncio::create_task(waiter("a", coroutine));
    auto b = asyncio::create_task(waiter("b", coroutine));
    co_await report("b", b);
    co_await report("a", a);

    coroutine = child();
    coroutine.close();
    co_await report("closed", waiter("closed", coroutine));
}

int main() {
    asyncio::run(program());
}
