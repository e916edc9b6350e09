// Child processes, seven scenarios: return codes, communicate(), where the streams lead, how a
// child is ended, waiting and its cancellation, what cannot be started, the order in which a
// protocol is told.
#include <algorithm>
#include <csignal>
#include <map>

#include "io_scenario.hpp"

using asyncio::create_subprocess_exec;
using asyncio::SubprocessOptions;
using asyncio::subprocess::DEVNULL;
using asyncio::subprocess::PIPE;
using asyncio::subprocess::Process;
using asyncio::subprocess::STDOUT;
using io::attempted;
using io::noted;
using Command = std::vector<std::string>;

Coroutine<Process> shell(std::string script, SubprocessOptions options = {}) {
    return create_subprocess_exec(Command{"/bin/sh", "-c", std::move(script)}, std::move(options));
}

// For what is not there.
std::string shown(const auto& stream) {
    return stream ? "a stream" : "None";
}

const std::string much(1'000'000, 'x');

Coroutine<void> codes() {
    note("== return codes");
    for (const std::string script :
         {"exit 0", "exit 3", "exit 255", "kill -TERM $$", "kill -KILL $$"}) {
        const Process process = co_await shell(script);
        note(script, shown(process.stdin_), shown(process.stdout_), shown(process.stderr_));
        co_await noted("wait", process.wait());
        co_await noted("again", process.wait());
        note("returncode", process.returncode());
    }
    const Process process = co_await asyncio::create_subprocess_shell("exit 7");
    co_await noted("shell", process.wait());
}

Coroutine<void> communicating() {
    note("== communicate");
    const auto pipes = [] {
        return SubprocessOptions{.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE};
    };
    Process process = co_await shell("cat; echo wrong >&2; exit 3", pipes());
    note("returncode", process.returncode());
    co_await noted("both", process.communicate("right"));
    note("returncode", process.returncode());
    co_await noted("again", process.communicate());
    process = co_await create_subprocess_exec(Command{"cat"}, pipes());
    co_await noted("no input", process.communicate(""));
    process = co_await create_subprocess_exec(Command{"cat"}, pipes());
    co_await noted("much", process.communicate(much));
    process = co_await create_subprocess_exec(Command{"true"}, pipes());
    co_await noted("nobody reads", process.communicate(much));
    note("returncode", process.returncode());
}

Coroutine<void> streams() {
    note("== streams");
    Process process =
        co_await shell("echo out; echo err >&2", {.stdout_ = PIPE, .stderr_ = STDOUT});
    co_await noted("together", process.stdout_->read());
    note(shown(process.stderr_), co_await process.wait());
    process = co_await shell("cat; echo out; echo err >&2",
                             {.stdin_ = DEVNULL, .stdout_ = PIPE, .stderr_ = DEVNULL});
    co_await noted("nothing else", process.stdout_->read());
    note(co_await process.wait());
    process = co_await create_subprocess_exec(Command{"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
    for (const char* line : {"one\n", "two\n"}) {
        process.stdin_->write(line);
        co_await process.stdin_->drain();
        co_await noted("line", process.stdout_->readline());
    }
    process.stdin_->close();
    co_await noted("rest", process.stdout_->read());
    co_await noted("stdin closed", process.stdin_->wait_closed());
    const int code = co_await process.wait();
    note(code, process.stdout_->at_eof());
    process = co_await shell("echo a long line; echo short", {.stdout_ = PIPE, .limit = 8});
    co_await noted("line", process.stdout_->readline());
    co_await noted("line", process.stdout_->readline());
    co_await noted("end", process.wait());
    process = co_await shell("echo kept until read", {.stdout_ = PIPE});
    co_await noted("wait", process.wait());
    co_await noted("read", process.stdout_->read());
    process = co_await shell(
        "pwd; echo $NAME",
        {.stdout_ = PIPE, .cwd = "/", .env = asyncio::subprocess::Environment{{"NAME", "value"}}});
    co_await noted("elsewhere", process.stdout_->read());
    co_await noted("wait", process.wait());
}

Coroutine<void> ending() {
    note("== ending");
    const std::vector<std::pair<std::string, std::function<void(const Process&)>>> ways = {
        {"terminate", [](const Process& process) { process.terminate(); }},
        {"kill", [](const Process& process) { process.kill(); }},
        {"SIGINT", [](const Process& process) { process.send_signal(SIGINT); }}};
    for (const auto& way : ways) {
        const auto& how = way.second;
        const Process process = co_await create_subprocess_exec(Command{"sleep", "100"});
        attempted(way.first, [&] { how(process); });
        note("returncode", process.returncode());
        co_await noted("wait", process.wait());
        co_await asyncio::sleep(20ms);
        attempted("once more", [&] { how(process); });
    }
    const Process process =
        co_await shell("trap 'echo trapped; exit 5' TERM; echo ready; read line",
                       {.stdin_ = PIPE, .stdout_ = PIPE});
    co_await noted("line", process.stdout_->readline());
    process.terminate();
    process.stdin_->write("\n");
    co_await noted("rest", process.stdout_->read());
    co_await noted("wait", process.wait());
}

Coroutine<void> waiting() {
    note("== waiting");
    Process process =
        co_await create_subprocess_exec(Command{"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
    std::vector<Task<void>> tasks;
    for (const char* label : {"a", "b", "c"}) {
        tasks.push_back(asyncio::create_task(noted(label, process.wait())));
    }
    co_await asyncio::sleep(10ms);
    tasks[1].cancel("enough");
    co_await tasks[1];
    co_await noted("timeout", asyncio::wait_for(process.wait(), 20ms));
    note("runs", process.returncode());
    process.stdin_->close();
    static_cast<void>(co_await asyncio::wait(tasks));
    co_await noted("late", process.wait());

    process = co_await create_subprocess_exec(Command{"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
    auto task = asyncio::create_task(noted("reader", process.stdout_->readline()));
    co_await asyncio::sleep(10ms);
    task.cancel();
    co_await task;
    process.stdin_->write("line\n");
    co_await noted("next", process.stdout_->readline());
    co_await noted("timeout", asyncio::wait_for(process.stdout_->read(1), 20ms));
    process.kill();
    co_await noted("end", process.stdout_->read());
    co_await noted("wait", process.wait());
}

Coroutine<void> refused() {
    note("== refused");
    const auto refuse = [](std::string label, Command command,
                           SubprocessOptions options = {}) -> Coroutine<void> {
        const auto outcome =
            co_await asyncio::try_(create_subprocess_exec(std::move(command), std::move(options)));
        note(label, io::kind(outcome.exception()));
    };
    co_await refuse("no program", {"/nonexistent/program"});
    co_await refuse("no name", {"no-such-program-anywhere"});
    co_await refuse("no right", {"/etc/passwd"});
    co_await refuse("no folder", {"true"}, {.cwd = "/nonexistent"});
    co_await refuse("null byte", {std::string("tr\0ue", 5)});
}

class Told : public asyncio::SubprocessProtocol {
  public:
    void connection_made(std::shared_ptr<asyncio::SubprocessTransport> made) override {
        note("connection_made");
        transport_ = std::move(made);
    }
    void pipe_data_received(int fd, std::string_view received) override { data[fd] += received; }
    void pipe_connection_lost(int fd, std::exception_ptr error) override {
        events_.push_back("pipe " + std::to_string(fd) + " " + io::kind(error));
    }
    void process_exited() override {
        events_.push_back("exited " + scenario::show(transport_->get_returncode()));
    }
    void connection_lost(std::exception_ptr error) override {
        // The pipes and the exit come in any order.
        std::ranges::sort(events_);
        note(events_);
        note("connection_lost", io::kind(error));
        lost.set_result();
        transport_.reset();
    }

    std::map<int, std::string> data = {{1, ""}, {2, ""}};
    Future<void> lost;

  private:
    std::vector<std::string> events_;
    std::shared_ptr<asyncio::SubprocessTransport> transport_;
};

std::vector<bool> pipes_of(asyncio::SubprocessTransport& transport, int count) {
    std::vector<bool> there;
    for (int fd = 0; fd < count; ++fd) there.push_back(transport.get_pipe_transport(fd) != nullptr);
    return there;
}

Coroutine<void> protocols() {
    note("== protocol");
    EventLoop& loop = asyncio::get_running_loop();
    const auto make = [] { return std::make_shared<Told>(); };
    {
        const auto [transport, protocol] =
            co_await loop.subprocess_exec(make, "/bin/sh", "-c", "cat; echo err >&2; exit 4");
        note("pipes", pipes_of(*transport, 4));
        transport->get_pipe_transport(0)->write("some data");
        transport->get_pipe_transport(0)->close();
        co_await protocol->lost;
        note(io::show(protocol->data[1]), io::show(protocol->data[2]), transport->get_returncode());
        note("closing", transport->is_closing());
    }
    {
        // close() kills a child that runs.
        const auto made = co_await loop.subprocess_exec(
            make, "sleep", "100",
            SubprocessOptions{
                .stdin_ = std::nullopt, .stdout_ = std::nullopt, .stderr_ = std::nullopt});
        const auto& transport = made.first;
        note("pipes", pipes_of(*transport, 3));
        transport->close();
        note("closing", transport->is_closing());
        co_await made.second->lost;
        note("returncode", transport->get_returncode());
        co_await asyncio::sleep(20ms);
        attempted("kill", [&transport] { transport->kill(); });
    }
    const auto [transport, protocol] =
        co_await loop.subprocess_shell(make, "printf out; exit 2", {.stdin_ = std::nullopt});
    co_await protocol->lost;
    note(io::show(protocol->data[1]), transport->get_returncode());
}

Coroutine<void> program() {
    co_await codes();
    co_await communicating();
    co_await streams();
    co_await ending();
    co_await waiting();
    co_await refused();
    co_await protocols();
}

int main() {
    asyncio::run(program());
}
