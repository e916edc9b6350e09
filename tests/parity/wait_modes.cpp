// wait(): when it returns in each mode, with everything that is done by then; a cancelled
// task is no exception (rules 71, 72, 73).
#include <algorithm>

#include "scenario.hpp"

Coroutine<std::string> child(std::string name, int yields) {
    for (int i = 0; i < yields; ++i) {
        co_await asyncio::sleep(0);
    }
    trace(name, "ends");
    if (name.starts_with("bad")) {
        throw asyncio::ValueError(name);
    }
    co_return name;
}

using Tasks = std::vector<asyncio::AnyTask>;

std::vector<std::string> sorted_names(const Tasks& tasks) {
    std::vector<std::string> names;
    for (const auto& task : tasks) names.push_back(task.get_name());
    std::sort(names.begin(), names.end());
    return names;
}

void show(std::string label, const asyncio::WaitResult<asyncio::AnyTask>& result) {
    trace(label, "done", sorted_names(result.done), "pending", sorted_names(result.pending));
}

Task<std::string> make(std::string name, int yields) {
    return asyncio::create_task(child(name, yields), {.name = name});
}

Coroutine<void> program() {
    listen(asyncio::get_running_loop());
    trace("begins");

    auto result = co_await asyncio::wait(Tasks{make("a", 2), make("b", 0), make("c", 1)});
    show("all", result);

    Tasks tasks{make("d", 14), make("e", 1), make("f", 7), make("g", 1)};
    result = co_await asyncio::wait(tasks, {.return_when = asyncio::FIRST_COMPLETED});
    show("first", result);
    result = co_await asyncio::wait(result.pending, {.return_when = asyncio::FIRST_COMPLETED});
    show("first", result);
    result = co_await asyncio::wait(result.pending);
    show("rest", result);

    tasks = {make("h", 1), make("bad i", 2), make("j", 9), make("k", 3)};
    result = co_await asyncio::wait(tasks, {.return_when = asyncio::FIRST_EXCEPTION});
    show("exception", result);
    for (const auto& task : result.done) {
        static_cast<void>(task.exception());
    }
    co_await asyncio::wait(result.pending);

    // A cancelled one does not count as an exception.
    tasks = {make("l", 9), make("m", 6)};
    asyncio::get_running_loop().call_soon([task = tasks[0]] { task.cancel(); });
    result = co_await asyncio::wait(tasks, {.return_when = asyncio::FIRST_EXCEPTION});
    show("cancelled", result);
    trace("l is", describe(tasks[0]));

    // All done before: it still takes its turns.
    result = co_await asyncio::wait(tasks, {.return_when = asyncio::FIRST_COMPLETED});
    show("again", result);

    // With a timeout that passes, and with one of zero.
    tasks = {asyncio::create_task(asyncio::sleep(100ms), {.name = "long"}), make("short", 1)};
    result = co_await asyncio::wait(tasks, {.timeout = 30ms});
    show("timeout", result);
    result = co_await asyncio::wait(tasks, {.timeout = 0ms});
    show("zero", result);
    result = co_await asyncio::wait(result.pending, {.timeout = 10s});
    show("enough", result);

    try {
        co_await asyncio::wait(Tasks{});
    } catch (const asyncio::ValueError& error) {
        trace("none:", name(error));
    }
    // An exception that nobody looked at: wait() does not count as looking.
    co_await asyncio::wait({make("bad n", 0)});
    collect();
    trace("end");
}

int main() {
    asyncio::run(program());
}
