// Child processes: what they return, what passes through their pipes, how they end, and programs
// that cannot be run.
#include <asyncio/subprocess.hpp>
#include <sstream>

#include "scenario.hpp"

using namespace asyncio::subprocess;

std::string strip(const std::string& text) {
    return text.substr(0, text.find('\n'));
}

std::vector<std::string> words(const std::string& text) {
    std::istringstream in(text);
    std::vector<std::string> all;
    for (std::string word; in >> word;) all.push_back(word);
    return all;
}

Coroutine<Process> sleeper() {
    return create_subprocess_exec("sleep", "100");
}

Coroutine<void> returncodes() {
    for (const int code : {0, 3}) {
        const Process child =
            co_await create_subprocess_exec("sh", "-c", "exit " + std::to_string(code));
        const int first = co_await child.wait();
        const auto later = child.returncode();
        note(first, later, co_await child.wait());
    }
}

Coroutine<void> killed() {
    Process child = co_await sleeper();
    child.kill();
    note(co_await child.wait());
    child = co_await sleeper();
    child.terminate();
    note(co_await child.wait());
    child = co_await sleeper();
    child.send_signal(10);
    note(co_await child.wait());
    try {
        child.kill();
    } catch (const asyncio::ProcessLookupError&) {
        note("ProcessLookupError");
    }
}

Coroutine<void> communicate() {
    Process child =
        co_await create_subprocess_exec({"sh", "-c", "cat; echo errors >&2; exit 5"},
                                        {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE});
    const auto [output, errors] = co_await child.communicate("input\n");
    note(strip(output), strip(errors), child.returncode());
    child = co_await create_subprocess_exec({"echo", "only output"}, {.stdout_ = PIPE});
    const auto [more, none] = co_await child.communicate();
    note(strip(more), none.empty());
}

Coroutine<void> much_data() {
    const Process child =
        co_await create_subprocess_exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
    std::string data;
    for (int i = 0; i < 500'000; ++i) data += "0123456789";
    const std::string output = (co_await child.communicate(data)).first;
    note(output.size(), output == data);
}

Coroutine<void> merged() {
    const Process child =
        co_await create_subprocess_exec({"sh", "-c", "echo out; echo err >&2; echo out"},
                                        {.stdin_ = DEVNULL, .stdout_ = PIPE, .stderr_ = STDOUT});
    note(words((co_await child.communicate()).first));
    note(!child.stdin_.has_value(), !child.stderr_.has_value());
}

Coroutine<void> line_by_line() {
    const Process child =
        co_await create_subprocess_exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
    for (const char* word : {"one\n", "two\n"}) {
        child.stdin_->write(word);
        co_await child.stdin_->drain();
        note(strip(co_await child.stdout_->readline()));
    }
    child.stdin_->close();
    const std::size_t rest = (co_await child.stdout_->read()).size();
    const bool at_eof = child.stdout_->at_eof();
    note(rest, at_eof, co_await child.wait());
}

Coroutine<void> nobody_reads() {
    Process child = co_await create_subprocess_exec({"true"}, {.stdin_ = PIPE});
    co_await child.wait();
    co_await asyncio::sleep(20ms);
    child.stdin_->write(std::string(1000, 'x'));
    try {
        co_await child.stdin_->drain();
    } catch (const asyncio::ConnectionError&) {
        note("broken");
    }
    child = co_await create_subprocess_exec({"true"}, {.stdin_ = PIPE});
    co_await child.communicate(std::string(1'000'000, 'x'));
    note(std::tuple("None", "None"), child.returncode());
}

Coroutine<void> shell() {
    Process child = co_await create_subprocess_shell("echo $((6 * 7)) | cat", {.stdout_ = PIPE});
    const std::string output = (co_await child.communicate()).first;
    note(strip(output), child.returncode());
    child = co_await create_subprocess_shell("exit 7");
    note(co_await child.wait());
}

Coroutine<void> environment() {
    using Environment = std::map<std::string, std::string>;
    const Process child = co_await create_subprocess_exec(
        {"/bin/sh", "-c", "echo $NAME; pwd"},
        {.stdout_ = PIPE, .cwd = "/", .env = Environment{{"NAME", "value"}}});
    note(words((co_await child.communicate()).first));
}

Coroutine<void> not_there() {
    for (const char* program : {"/no/such/program", "/etc/passwd", "/"}) {
        try {
            co_await create_subprocess_exec(program);
        } catch (const asyncio::OSError& error) {
            note(name(error));
        }
    }
    try {
        co_await create_subprocess_exec({"true"}, {.cwd = "/no/such/folder"});
    } catch (const asyncio::OSError& error) {
        note(name(error));
    }
    try {
        co_await create_subprocess_exec({std::string("tr\0ue", 5)});
    } catch (const asyncio::ValueError&) {
        note("ValueError");
    }
}

Coroutine<void> cancelled() {
    const Process child = co_await sleeper();
    auto waiting = asyncio::create_task(child.wait());
    co_await asyncio::sleep(10ms);
    waiting.cancel();
    static_cast<void>(co_await asyncio::wait(std::vector{waiting}));
    note(waiting.cancelled(), child.returncode());
    child.kill();
    note(co_await child.wait());
}

Coroutine<void> program() {
    using Part = std::pair<const char*, Coroutine<void> (*)()>;
    for (const auto& [name, part] :
         {Part{"returncodes", returncodes}, Part{"killed", killed},
          Part{"communicate", communicate}, Part{"much_data", much_data}, Part{"merged", merged},
          Part{"line_by_line", line_by_line}, Part{"nobody_reads", nobody_reads},
          Part{"shell", shell}, Part{"environment", environment}, Part{"not_there", not_there},
          Part{"cancelled", cancelled}}) {
        note("==", name);
        co_await part();
    }
}

int main() {
    asyncio::run(program());
}
