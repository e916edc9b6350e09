// Ctrl-C in run(): the first cancels the main task, and KeyboardInterrupt follows when that
// ended cancelled; one that swallows it just ends (rules 150, 151).
#include <csignal>

#include "scenario.hpp"

Coroutine<std::string> program(std::string how) {
    EventLoop& loop = asyncio::get_running_loop();
    trace("begins", how);
    if (how != "yielding") {
        loop.call_later(20ms, std::raise, SIGINT);
    }
    try {
        if (how == "yielding") {
            std::raise(SIGINT);
            for (;;) {
                co_await asyncio::sleep(0);
            }
        }
        co_await asyncio::sleep(10s);
    } catch (const asyncio::CancelledError& error) {
        trace("sees", error, asyncio::current_task().cancelling());
        if (how == "swallowing") {
            co_return "went on";
        }
        if (how == "failing") {
            throw asyncio::ValueError("instead");
        }
        throw;
    }
    co_return "";
}

int main() {
    for (const char* how : {"waiting", "yielding", "swallowing", "failing"}) {
        try {
            trace("run gives", asyncio::run(program(how)));
        } catch (const asyncio::KeyboardInterrupt& error) {
            trace("run gives", error);
        } catch (const asyncio::ValueError& error) {
            trace("run gives", error);
        }
    }
}
