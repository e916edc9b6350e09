// Tasks that make tasks: a tree started breadth first, and joined from the leaves up.
#include "scenario.hpp"

Coroutine<int> node(std::string name, int depth) {
    trace(name, "starts");
    int total = 1;
    if (depth > 0) {
        auto left = asyncio::create_task(node(name + "l", depth - 1));
        auto right = asyncio::create_task(node(name + "r", depth - 1));
        total += co_await right;
        trace(name, "has its right side");
        total += co_await left;
    }
    trace(name, "ends with", total);
    co_return total;
}

// In Python the result is a task or None.
struct Next {
    std::shared_ptr<Task<Next>> task;
};

Coroutine<Next> detached(std::string name, int levels) {
    trace(name, "at level", levels);
    if (levels > 0) {
        co_return Next{
            std::make_shared<Task<Next>>(asyncio::create_task(detached(name, levels - 1)))};
    }
    co_return Next{};
}

Coroutine<void> program() {
    trace("begins");
    trace("tree of", co_await asyncio::create_task(node("t", 2)));

    // A task whose result is a task, and so on.
    Next next{std::make_shared<Task<Next>>(asyncio::create_task(detached("d", 2)))};
    while (next.task) {
        next = co_await *next.task;
    }
    trace("end");
}

int main() {
    asyncio::run(program());
}
