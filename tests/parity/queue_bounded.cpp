// Queue: a bounded one makes putters wait, both ends are served in order, join returns with the
// last task_done, priorities and stacks (rules 93 to 98).
#include "scenario.hpp"

using Queue = asyncio::Queue<std::string>;

Coroutine<void> producer(Queue& queue, std::string label, int n) {
    for (int i = 0; i < n; ++i) {
        const std::string item = label + std::to_string(i);
        co_await queue.put(item);
        trace("put", item, queue.qsize());
    }
}

Coroutine<void> consumer(Queue& queue, std::string label) {
    for (;;) {
        const std::string item = co_await queue.get();
        trace(label, "got", item);
        co_await asyncio::sleep(0);
        queue.task_done();
    }
}

template <class Kind>
void trace_order() {
    Kind ordered;
    for (int i : {3, 1, 2}) ordered.put_nowait(i);
    std::vector<int> items;
    for (int i = 0; i < 3; ++i) items.push_back(ordered.get_nowait());
    trace(items);
}

Coroutine<std::string> get(Queue& queue) {
    co_return co_await queue.get();
}

Coroutine<void> program() {
    Queue queue(2);
    std::vector<Task<void>> consumers{asyncio::create_task(consumer(queue, "x")),
                                      asyncio::create_task(consumer(queue, "y"))};
    co_await asyncio::gather(producer(queue, "a", 4), producer(queue, "b", 3));
    co_await queue.join();
    trace("joined", queue.qsize(), queue.empty(), queue.full());
    for (const auto& task : consumers) task.cancel();
    static_cast<void>(co_await asyncio::wait(consumers));
    try {
        queue.task_done();
    } catch (const asyncio::ValueError&) {
        trace("ValueError");
    }
    try {
        queue.get_nowait();
    } catch (const asyncio::QueueEmpty& error) {
        trace(error);
    }
    try {
        for (int i = 0; i < 3; ++i) queue.put_nowait("z");
    } catch (const asyncio::QueueFull& error) {
        trace(error);
    }

    trace_order<asyncio::PriorityQueue<int>>();
    trace_order<asyncio::LifoQueue<int>>();

    // A getter that was chosen and then cancelled leaves the item for the next.
    Queue open;
    auto first = asyncio::create_task(get(open));
    auto second = asyncio::create_task(get(open));
    co_await asyncio::sleep(0);
    open.put_nowait("item");
    first.cancel();
    co_await report("first", first);
    co_await report("second", second);
}

int main() {
    asyncio::run(program());
}
