// as_completed() in a plain loop gives one awaitable for each, whose result is that of the
// next to end; on a timeout nothing is cancelled (rule 74).
#include "scenario.hpp"

Coroutine<std::string> child(std::string name, std::chrono::milliseconds delay) {
    co_await asyncio::sleep(delay);
    if (name == "bad") {
        throw asyncio::ValueError(name);
    }
    co_return name;
}

Coroutine<void> program() {
    trace("begins");
    std::vector<Coroutine<std::string>> children;
    children.push_back(child("slow", 100ms));
    children.push_back(child("bad", 50ms));
    children.push_back(child("quick", 0ms));
    for (auto following : asyncio::as_completed(children)) {
        co_await report("next", std::move(following));
    }

    auto slow = asyncio::create_task(child("slow", 120ms));
    auto quick = asyncio::create_task(child("quick", 0ms));
    for (auto following : asyncio::as_completed(std::vector{slow, quick}, {.timeout = 60ms})) {
        co_await report("next", std::move(following));
    }
    trace("slow is", describe(slow));
    trace(co_await slow, quick.result());
}

int main() {
    asyncio::run(program());
}
