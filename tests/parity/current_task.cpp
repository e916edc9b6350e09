// current_task() and all_tasks() across interleaved tasks, callbacks and coroutines
// (rule 45).
#include <algorithm>

#include "scenario.hpp"

Coroutine<void> inner() {
    trace("inner in", asyncio::current_task());
    co_await asyncio::sleep(0);
    trace("inner still in", asyncio::current_task());
}

Coroutine<void> child(std::string name) {
    trace(name, "in", asyncio::current_task());
    co_await inner();
    trace(name, "again in", asyncio::current_task());
}

void callback() {
    trace("callback in", asyncio::current_task());
}

std::vector<std::string> names() {
    std::vector<std::string> names;
    for (const auto& task : asyncio::all_tasks()) names.push_back(task.get_name());
    std::sort(names.begin(), names.end());
    return names;
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    asyncio::current_task().set_name("main");
    trace("begins in", asyncio::current_task());
    auto a = asyncio::create_task(child("a"), {.name = "task a"});
    auto b = asyncio::create_task(child("b"), {.name = "task b"});
    b.add_done_callback(callback);
    loop.call_soon(callback);
    trace("tasks:", names());
    co_await asyncio::sleep(0);
    trace("main in", asyncio::current_task());
    co_await a;
    trace("tasks:", names());
    co_await b;
    trace("tasks:", names());
    a.set_name("renamed");
    trace(a);
    co_await asyncio::sleep(0);
}

int main() {
    asyncio::run(program());
}
