// The programs of docs/howto/lifetimes.md.
#include <fmt/format.h>

#include <asyncio.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using asyncio::Coroutine;
using asyncio::Task;

namespace {

// [parameters]
Coroutine<std::string> shout(std::string text) {  // a copy, in the coroutine's own frame
    co_await asyncio::sleep(0);
    co_return text + "!";
}

Coroutine<std::size_t> length(const std::string& text) {  // the caller's
    co_await asyncio::sleep(0);
    co_return text.size();
}

Coroutine<void> at_once_or_later() {
    fmt::print("{}\n", co_await length("lives until the await is over"));
    auto later = shout("kept by the coroutine");
    fmt::print("{}\n", co_await std::move(later));
}
// [/parameters]

// [arguments]
Coroutine<void> add_to(std::vector<int>& numbers, int number) {
    co_await asyncio::sleep(0);
    numbers.push_back(number);
}

Coroutine<void> tasks() {
    std::vector<int> numbers;
    const Task<void> task = asyncio::create_task(add_to, std::ref(numbers), 1);
    const Task<std::size_t> counted = asyncio::create_task(length, "kept by the task");
    co_await task;  // numbers has to live until then
    fmt::print("{} {}\n", numbers.size(), co_await counted);
}
// [/arguments]

// [lambdas]
Coroutine<void> lambdas() {
    const std::string name = "captured";
    // Given as it is: the task keeps it, and with it what it captured.
    const Task<void> task = asyncio::create_task([name]() -> Coroutine<void> {
        co_await asyncio::sleep(0);
        fmt::print("{}\n", name);
    });
    co_await task;
    // Called and awaited in one expression: it lives until that is over.
    co_await [&]() -> Coroutine<void> {
        co_await asyncio::sleep(0);
        fmt::print("{} by reference\n", name);
    }();
}
// [/lambdas]

// [handles]
Coroutine<void> handles() {
    asyncio::Event done;
    {
        const Task<void> forgotten = asyncio::create_task([&done]() -> Coroutine<void> {
            co_await asyncio::sleep(1ms);
            done.set();
        });
    }  // the last handle of the task is gone; the task is not
    co_await done.wait();
    fmt::print("it ran on\n");
}
// [/handles]

// [views]
Coroutine<std::size_t> echo_all(asyncio::StreamReader reader, asyncio::StreamWriter writer) {
    std::size_t echoed = 0;
    for (;;) {
        const std::string_view data = co_await reader.read_view();
        if (data.empty()) break;
        writer.write(data);  // what is not sent at once is copied
        co_await writer.drain();
        echoed += data.size();  // still valid: nobody has read meanwhile
    }
    co_return echoed;
}
// [/views]

Coroutine<void> views() {
    std::size_t echoed = 0;
    auto serve = [&echoed](asyncio::StreamReader reader,
                           asyncio::StreamWriter writer) -> Coroutine<void> {
        echoed = co_await echo_all(reader, writer);
        writer.close();
    };
    auto server = co_await asyncio::start_server(serve, "127.0.0.1", 0);
    const auto port = server.sockets().front().getsockname().port();
    auto [reader, writer] = co_await asyncio::open_connection("127.0.0.1", port);
    writer.write("seen, not copied");
    writer.write_eof();
    fmt::print("{}", co_await reader.read());
    fmt::print(", {} bytes\n", echoed);
    writer.close();
    server.close();
    co_await server.wait_closed();
}

}  // namespace

// [main]
int main() {
    try {
        asyncio::run(at_once_or_later());
        asyncio::run(tasks());
        asyncio::run(lambdas());
        asyncio::run(handles());
        asyncio::run(views());
    } catch (...) {
        fmt::print(stderr, "{}\n", asyncio::format_exception(std::current_exception()));
        return 1;
    }
}
// [/main]
