// Queue.shutdown: getters take what is left, waiting putters and getters end, an immediate one
// drops everything and lets join return (rules 99 to 101).
#include "scenario.hpp"

using Queue = asyncio::Queue<std::string>;

Coroutine<void> put(Queue& queue, std::string item) {
    co_await queue.put(std::move(item));
}
Coroutine<std::string> get(Queue& queue) {
    co_return co_await queue.get();
}

Coroutine<void> program() {
    Queue queue(1);
    co_await queue.put("left");
    auto putter = asyncio::create_task(put(queue, "too late"));
    co_await asyncio::sleep(0);
    queue.shutdown();
    co_await report("putter", putter);
    co_await report("put", put(queue, "no"));
    co_await report("get", get(queue));
    co_await report("get", get(queue));

    Queue empty;
    std::vector<Task<std::string>> getters{asyncio::create_task(get(empty)),
                                           asyncio::create_task(get(empty))};
    co_await asyncio::sleep(0);
    empty.shutdown();
    for (const auto& getter : getters) co_await report("getter", getter);

    asyncio::Queue<int> dropped;
    for (int i = 0; i < 3; ++i) dropped.put_nowait(i);
    auto joined = asyncio::create_task([&]() -> Coroutine<void> { co_await dropped.join(); });
    co_await asyncio::sleep(0);
    dropped.shutdown(true);
    co_await report("join", joined);
    trace("size", dropped.qsize());
    try {
        dropped.get_nowait();
    } catch (const asyncio::QueueShutDown& error) {
        trace(error);
    }
}

int main() {
    asyncio::run(program());
}
