// The programs of docs/howto/subprocess.md.

#include <asyncio.hpp>
#include <string>

#include <fmt/format.h>

using namespace std::chrono_literals;

namespace {

// [capture]
using namespace asyncio::subprocess;

asyncio::Coroutine<std::string> sorted(std::string lines) {
    Process proc =
        co_await asyncio::create_subprocess_exec({"sort", "-n"}, {.stdin_ = PIPE, .stdout_ = PIPE});
    auto [output, errors] = co_await proc.communicate(lines);
    if (proc.returncode() != 0) throw asyncio::RuntimeError("sort failed");
    co_return output;
}
// [/capture]

// [wait]
asyncio::Coroutine<bool> is_directory(std::string path) {
    Process proc = co_await asyncio::create_subprocess_exec("test", "-d", path);
    co_return co_await proc.wait() == 0;
}
// [/wait]

// [shell]
asyncio::Coroutine<int> count_lines(std::string directory) {
    Process proc = co_await asyncio::create_subprocess_shell("cat -- * | wc -l",
                                                             {.stdout_ = PIPE, .cwd = directory});
    auto [output, errors] = co_await proc.communicate();
    co_return std::stoi(output);
}
// [/shell]

// [lines]
asyncio::Coroutine<void> follow(std::vector<std::string> command) {
    Process proc =
        co_await asyncio::create_subprocess_exec(command, {.stdout_ = PIPE, .stderr_ = STDOUT});
    while (auto line = co_await asyncio::anext(*proc.stdout_)) fmt::print("> {}", *line);
    fmt::print("ended with {}\n", co_await proc.wait());
}
// [/lines]

// [talk]
asyncio::Coroutine<std::string> ask(Process calculator, std::string question) {
    calculator.stdin_->write(question + "\n");
    co_await calculator.stdin_->drain();
    co_return co_await calculator.stdout_->readline();
}
// [/talk]

// [timeout]
asyncio::Coroutine<bool> ends_in_time(std::vector<std::string> command) {
    Process proc = co_await asyncio::create_subprocess_exec(command);
    auto ended = co_await asyncio::try_(asyncio::wait_for(proc.wait(), 100ms));
    if (ended) co_return true;
    proc.kill();
    co_await proc.wait();
    co_return false;
}
// [/timeout]

// [environment]
asyncio::Coroutine<std::string> in_english(std::vector<std::string> command) {
    asyncio::SubprocessOptions options{.stdout_ = PIPE, .env = environment()};
    options.env->insert_or_assign("LC_ALL", "C");
    Process proc = co_await asyncio::create_subprocess_exec(command, options);
    co_return (co_await proc.communicate()).first;
}
// [/environment]

// [errors]
asyncio::Coroutine<std::string> why_not(std::string program) {
    try {
        co_await asyncio::create_subprocess_exec(program);
        co_return "it works";
    } catch (const asyncio::FileNotFoundError& error) {
        co_return error.what();
    }
}
// [/errors]

asyncio::Coroutine<void> program() {
    fmt::print("{}", co_await sorted("10\n9\n8\n"));
    fmt::print("{} {}\n", co_await is_directory("/"), co_await is_directory("/dev/null"));
    fmt::print("{}\n", co_await count_lines("/proc/sys/fs/inotify") > 0);
    co_await follow({"printf", "one\\ntwo\\n"});
    Process calculator = co_await asyncio::create_subprocess_shell(
        "while read -r line; do echo $(($line)); done", {.stdin_ = PIPE, .stdout_ = PIPE});
    fmt::print("{}", co_await ask(calculator, "6 * 7"));
    fmt::print("{}", co_await ask(calculator, "6 + 7"));
    calculator.stdin_->close();
    co_await calculator.wait();
    fmt::print("{}\n", co_await ends_in_time({"sleep", "60"}));
    fmt::print("{}", co_await in_english({"sh", "-c", "echo $LC_ALL"}));
    fmt::print("{}\n", co_await why_not("no-such-program"));
}

}  // namespace

int main() {
    asyncio::run(program());
}
