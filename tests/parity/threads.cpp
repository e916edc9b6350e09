// Work handed over from threads: in order, with the context that belongs to it (rules 15,
// 155, 156). Other threads have a hand in when it comes, so the lines carry no iterations.
#include <latch>
#include <thread>

#include "scenario.hpp"

asyncio::ContextVar<std::string> variable("variable", "unset");

std::string blocking(std::string name) {
    note(name, "in a thread sees", variable.get());
    variable.set("lost");
    if (name == "bad") {
        throw asyncio::ValueError(name);
    }
    return name;
}

Coroutine<std::string> child(std::string name) {
    note(name, "runs in the loop");
    co_await asyncio::sleep(0);
    if (name == "bad") {
        throw asyncio::ValueError(name);
    }
    co_return name;
}

Coroutine<void> forever() {
    try {
        co_await asyncio::sleep(100s);
    } catch (const asyncio::CancelledError&) {
        note("forever is cancelled");
        throw;
    }
}

void from_thread(EventLoop* loop, Future<std::string> future) {
    for (int number = 0; number < 3; ++number) {
        loop->call_soon_threadsafe(note, "posted", number);
    }
    note("result:", asyncio::run_coroutine_threadsafe(child("c"), *loop).result());
    try {
        asyncio::run_coroutine_threadsafe(child("bad"), *loop).result();
    } catch (const asyncio::ValueError& error) {
        note("error:", error);
    }
    loop->call_soon_threadsafe([future] { future.set_result("from the thread"); });
}

Coroutine<void> program() {
    EventLoop& loop = asyncio::get_running_loop();
    variable.set("main's");
    note(co_await asyncio::to_thread(blocking, "a"));
    note(co_await loop.run_in_executor(nullptr, blocking, "b"));
    note("program sees", variable.get());
    try {
        co_await asyncio::to_thread(blocking, "bad");
    } catch (const asyncio::ValueError& error) {
        note("error:", error);
    }

    auto future = loop.create_future<std::string>();
    std::thread thread(from_thread, &loop, future);
    note(co_await future);
    thread.join();

    // Cancelling the outer side cancels the task, and the reverse.
    auto outer = asyncio::run_coroutine_threadsafe(forever(), loop);
    co_await asyncio::sleep(20ms);
    outer.cancel();
    co_await asyncio::sleep(20ms);
    note("outer cancelled:", outer.cancelled());

    // A result that comes too late is dropped.
    std::latch go(1);
    auto late = asyncio::create_task(asyncio::to_thread([&] { go.wait(); }));
    co_await asyncio::sleep(20ms);
    late.cancel();
    co_await asyncio::sleep(0);
    co_await asyncio::sleep(0);
    note("late is", describe(late));
    go.count_down();
}

int main() {
    asyncio::run(program());
}
