// The first error completes gather() at once; siblings run on, and their errors count as
// retrieved; with return_exceptions errors are results (rules 65, 66).
#include "scenario.hpp"

Coroutine<std::string> good(std::string name, int yields) {
    for (int i = 0; i < yields; ++i) {
        co_await asyncio::sleep(0);
    }
    trace(name, "ends");
    co_return name;
}

Coroutine<std::string> bad(std::string name, int yields) {
    for (int i = 0; i < yields; ++i) {
        co_await asyncio::sleep(0);
    }
    trace(name, "fails");
    throw asyncio::ValueError(name);
}

Coroutine<void> program() {
    listen(asyncio::get_running_loop());
    trace("begins");

    auto slow = asyncio::create_task(good("slow", 4));
    auto later = asyncio::create_task(bad("later", 3));
    co_await report("gather", asyncio::gather(slow, bad("first", 1), later, good("quick", 0)));
    trace("slow is", describe(slow));
    co_await slow;
    // Nobody looked at its error but gather(): no report.
    trace("later is", describe(later));
    slow = later = {};
    collect();

    // Two errors in one iteration: the one that came first.
    co_await report("gather", asyncio::gather(bad("b", 1), bad("c", 1)));
    co_await report("gather", asyncio::gather(good("d", 2), bad("e", 2), bad("f", 1)));

    auto results = co_await asyncio::gather(asyncio::return_exceptions,  //
                                            bad("g", 2), good("h", 0), bad("i", 0));
    trace("outcomes", results);
    collect();
    trace("end");
}

int main() {
    asyncio::run(program());
}
