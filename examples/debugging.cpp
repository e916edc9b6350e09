// What waits for what, and where an error came from: docs/howto/debugging.md.
//
//   debugging            shows the graph and the traceback, and ends
//   debugging --wait     waits, so that asyncio-ps has something to look at
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <asyncio.hpp>
#include <string>

using namespace std::chrono_literals;

namespace {

asyncio::Coroutine<std::string> read_page(std::string url) {
    co_await asyncio::sleep(20ms);
    if (url.empty()) throw asyncio::ValueError("an empty address");
    co_return "<html>";
}

asyncio::Coroutine<void> crawl() {
    co_await asyncio::gather(read_page("a.html"), read_page(""));
}

// [graph]
asyncio::Coroutine<void> look() {
    auto task = asyncio::create_task(crawl(), {.name = "crawler"});
    co_await asyncio::sleep(0);
    asyncio::print_call_graph(task);  // who waits for it, and where
    task.print_stack();               // where it stands
    task.cancel();
}
// [/graph]

// [traceback]
void crawl_and_tell() {
    try {
        asyncio::run(crawl());
    } catch (...) {
        asyncio::print_exception(std::current_exception());
    }
}
// [/traceback]

// [sink]
void log_to_standard_output() {
    asyncio::set_log_level(asyncio::LogLevel::info);
    asyncio::set_log_sink([](asyncio::LogLevel, std::string_view text) {
        fmt::print("{}: {}\n", asyncio::logger_name, text);
    });
}
// [/sink]

asyncio::Coroutine<void> wait_for_ever() {
    asyncio::Lock lock;
    co_await lock.acquire();
    auto crawler = asyncio::create_task(asyncio::sleep(1h), {.name = "crawler"});
    auto writer = asyncio::create_task(
        {.name = "writer"}, [&lock]() -> asyncio::Coroutine<void> { co_await lock.acquire(); });
    fmt::print("asyncio-ps --tree {}\n", getpid());
    std::fflush(stdout);
    co_await asyncio::gather(crawler, writer);
}

}  // namespace

int main(int argc, char** argv) {
    bool wait = false;
    CLI::App app("What waits for what, and where an error came from");
    app.add_flag("--wait", wait, "Wait to be looked at with asyncio-ps");
    CLI11_PARSE(app, argc, argv);

    log_to_standard_output();
    if (wait) {
        asyncio::run(wait_for_ever());
    } else {
        // [debug]
        asyncio::run(look(), {.debug = true});
        // [/debug]
        crawl_and_tell();
    }
}
