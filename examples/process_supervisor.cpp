// A process supervisor: runs services, shows what they say line by line, starts those that fail
// again, and ends all of them with itself, also those that do not want to.

#include <asyncio.hpp>
#include <csignal>
#include <string>

#include <fmt/format.h>

using namespace std::chrono_literals;
using namespace asyncio::subprocess;
using asyncio::Coroutine;
using asyncio::SubprocessOptions;

namespace {

struct Service {
    std::string name;
    std::string command;
    int restarts = 0;
};

// [stop]
// Asks the service, and all it has started, to end; insists after a while.
Coroutine<void> stop(std::string name, Process process) {
    if (process.returncode()) co_return;
    killpg(process.pid, SIGTERM);
    auto ended = co_await asyncio::try_(asyncio::wait_for(process.wait(), 200ms));
    if (ended) co_return;
    fmt::print("{}: does not end, killed\n", name);
    killpg(process.pid, SIGKILL);
    co_await process.wait();
}
// [/stop]

// [follow]
Coroutine<int> follow(std::string name, Process process, asyncio::Event& running) {
    while (auto line = co_await asyncio::anext(*process.stdout_)) {
        fmt::print("{}: {}", name, *line);
        running.set();
    }
    co_return co_await process.wait();
}
// [/follow]

// [supervise]
Coroutine<void> supervise(Service service, asyncio::Event& running) {
    SubprocessOptions options{.stdout_ = PIPE, .stderr_ = STDOUT, .env = environment()};
    options.process_group = 0;  // a group of its own, so that stop() reaches all of it
    for (int attempt = 1;; ++attempt) {
        options.env->insert_or_assign("ATTEMPT", std::to_string(attempt));
        Process process = co_await asyncio::create_subprocess_shell(service.command, options);
        int code = co_await asyncio::finally(follow(service.name, process, running),
                                             [&] { return stop(service.name, process); });
        bool again = code != 0 && attempt <= service.restarts;
        fmt::print("{}: ended with {}{}\n", service.name, code, again ? ", again" : "");
        if (!again) co_return;
        co_await asyncio::sleep(attempt * 10ms);
    }
}
// [/supervise]

// [program]
Coroutine<void> program() {
    asyncio::Event serving, working;
    auto server = asyncio::create_task(
        supervise, Service{"server", "trap '' TERM; echo ready; while :; do sleep 0.02; done"},
        std::ref(serving));
    co_await serving.wait();
    co_await supervise({"worker", "echo attempt $ATTEMPT; test $ATTEMPT = 3", 5}, working);
    server.cancel();
    auto ended = co_await asyncio::try_(server);
    fmt::print("server: {}\n", ended.cancelled() ? "stopped" : "ended by itself");
}
// [/program]

}  // namespace

int main() {
    asyncio::run(program());
}
