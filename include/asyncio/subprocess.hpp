// asyncio/subprocess.hpp - programs run as child processes.
//
//   using namespace asyncio::subprocess;
//
//   Process proc = co_await create_subprocess_exec({"sort", "-n"},
//                                                  {.stdin_ = PIPE, .stdout_ = PIPE});
//   auto [output, errors] = co_await proc.communicate("3\n1\n2\n");     // "1\n2\n3\n"
//   if (proc.returncode() != 0) ...
//
//   Process list = co_await create_subprocess_exec("ls", "-l", {.stdout_ = PIPE});
//   co_await (co_await create_subprocess_exec("touch", path)).wait();   // as Python spells it
//   co_await (co_await create_subprocess_shell("ls | wc -l")).wait();
//
// Children are watched by pidfd: no handler of SIGCHLD is installed, no other child of the
// program is touched, and any number of loops in any threads may have children. A child is
// waited for by its loop even when its Process is dropped; when the loop closes first, the
// child is killed.
//
// Thread: the loop's own only. Starting a child blocks the loop until the kernel has loaded
// the program, typically half a millisecond.
//
// Source: Python's asyncio.subprocess.
#pragma once

#include <concepts>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <asyncio/coroutines.hpp>
#include <asyncio/events.hpp>
#include <asyncio/protocols.hpp>
#include <asyncio/streams.hpp>
#include <asyncio/subprocess_options.hpp>
#include <asyncio/transports.hpp>

namespace asyncio {

namespace detail {
class ChildTransport;
}

namespace subprocess {

// The protocol behind a Process: streams over the child's pipes.
class SubprocessStreamProtocol : public SubprocessProtocol {
  public:
    // Throws: ValueError unless limit > 0.
    SubprocessStreamProtocol(std::size_t limit, EventLoop& loop);
    ~SubprocessStreamProtocol() override;

    void connection_made(std::shared_ptr<SubprocessTransport> transport) override;
    void connection_lost(std::exception_ptr error) override;
    void pause_writing() override;
    void resume_writing() override;
    void pipe_data_received(int fd, std::string_view data) override;
    void pipe_connection_lost(int fd, std::exception_ptr error) override;
    void process_exited() override;

    // Since connection_made(), for those that are pipes.
    std::optional<StreamWriter> stdin_;
    std::optional<StreamReader> stdout_;
    std::optional<StreamReader> stderr_;

  private:
    void close_if_over();

    EventLoop& loop_;
    std::size_t limit_;
    std::shared_ptr<SubprocessTransport> transport_;
    std::shared_ptr<StreamReaderProtocol> writing_;  // flow control of stdin_
    bool exited_ = false;
    int outputs_ = 0;  // how many are open
};

// A child process. A handle: copies name the same one, and dropping it changes nothing.
class Process {
  public:
    // Of what was asked for as PIPE. Reading one while the child fills the other's pipe makes
    // both wait for ever: communicate() reads both.
    std::optional<StreamWriter> stdin_;
    std::optional<StreamReader> stdout_;
    std::optional<StreamReader> stderr_;
    // Of the shell, for a shell command. It may name another process once this one has ended.
    int pid = -1;

    // Minus the signal's number for a child that a signal killed; empty while it runs.
    [[nodiscard]] std::optional<int> returncode() const noexcept;

    // Waits until the child ends and gives its return code. Several tasks may wait. A child
    // that writes into a PIPE nobody reads never ends.
    // Cancellation: the child runs on.
    Coroutine<int> wait() const;

    // Sends `input` and closes stdin_, reads stdout_ and stderr_ until their end of file, all
    // at the same time, and waits for the child. Gives {stdout, stderr}; what is no PIPE is
    // empty, where Python has None. A child that does not read its input is no error.
    // Throws: what reading throws. Cancellation: the child runs on; what was read may be gone.
    Coroutine<std::pair<std::string, std::string>> communicate(
        std::optional<std::string> input = {}) const;

    // Nothing happens to a child that has just ended.
    // Throws: ProcessLookupError once it has and its pipes are closed; PermissionError for a
    // child that changed its user; OSError for what is no signal.
    void send_signal(int signal) const;
    void terminate() const;  // SIGTERM
    void kill() const;       // SIGKILL

    [[nodiscard]] std::string repr() const;

    // Private to the library.
    Process(std::shared_ptr<detail::ChildTransport> transport,
            const SubprocessStreamProtocol& protocol);

  private:
    std::shared_ptr<detail::ChildTransport> transport_;
};

}  // namespace subprocess

namespace detail {

template <class T>
concept CommandText = std::convertible_to<T, std::string_view> ||
                      std::same_as<std::remove_cvref_t<T>, std::filesystem::path>;
template <class T>
concept CommandPart = CommandText<T> || std::same_as<std::remove_cvref_t<T>, SubprocessOptions>;

template <CommandText T>
[[nodiscard]] std::string to_text(const T& part) {
    if constexpr (std::convertible_to<const T&, std::string_view>) {
        return std::string(std::string_view(part));
    } else {
        return part.string();
    }
}

struct Command {
    std::vector<std::string> arguments;
    SubprocessOptions options = {};

    template <CommandPart T>
    void add(T&& part) {
        if constexpr (CommandText<T>) {
            arguments.push_back(to_text(part));
        } else {
            options = std::forward<T>(part);
        }
    }
};
template <CommandPart... Parts>
[[nodiscard]] Command to_command(Parts&&... parts) {
    Command command;
    (command.add(std::forward<Parts>(parts)), ...);
    return command;
}

using ChildProtocolFactory = std::function<std::shared_ptr<SubprocessProtocol>()>;
struct ConnectedChild {
    std::shared_ptr<SubprocessTransport> transport;
    std::shared_ptr<SubprocessProtocol> protocol;
};
Coroutine<ConnectedChild> connect_child(EventLoop& loop, ChildProtocolFactory factory,
                                        Command command);
Coroutine<ConnectedChild> connect_shell(EventLoop& loop, ChildProtocolFactory factory,
                                        Command command);

template <class Pair>
Coroutine<Pair> with_child_protocol_type(Coroutine<ConnectedChild> connecting) {
    using P = typename Pair::second_type::element_type;
    ConnectedChild made = co_await std::move(connecting);
    co_return Pair(std::move(made.transport), std::static_pointer_cast<P>(made.protocol));
}

}  // namespace detail

// Runs a program: the first string is its name, looked for in PATH unless it has a slash, the
// others its arguments. No shell is involved.
//
// Throws: FileNotFoundError, PermissionError or another OSError when the program or its
// directory cannot be had; ValueError for an empty command, a null byte, STDOUT for anything
// but stderr_; OSError for a descriptor that is not open. Then nothing was started.
// Cancellation: kills the child if it was started.
Coroutine<subprocess::Process> create_subprocess_exec(std::vector<std::string> command,
                                                      SubprocessOptions options = {});
// The same with the arguments one by one; SubprocessOptions may be the last, and after up to three
// arguments also as its designated members in braces, {.stdout_ = PIPE}.
template <detail::CommandText Program, detail::CommandPart... Rest>
Coroutine<subprocess::Process> create_subprocess_exec(Program&& program, Rest&&... rest) {
    detail::Command command =
        detail::to_command(std::forward<Program>(program), std::forward<Rest>(rest)...);
    return create_subprocess_exec(std::move(command.arguments), std::move(command.options));
}
// One for each number of arguments: braces have no type that a pack could take.
Coroutine<subprocess::Process> create_subprocess_exec(detail::CommandText auto&& program,
                                                      SubprocessOptions options) {
    return create_subprocess_exec({detail::to_text(program)}, std::move(options));
}
Coroutine<subprocess::Process> create_subprocess_exec(detail::CommandText auto&& program,
                                                      detail::CommandText auto&& first,
                                                      SubprocessOptions options) {
    return create_subprocess_exec({detail::to_text(program), detail::to_text(first)},
                                  std::move(options));
}
Coroutine<subprocess::Process> create_subprocess_exec(detail::CommandText auto&& program,
                                                      detail::CommandText auto&& first,
                                                      detail::CommandText auto&& second,
                                                      SubprocessOptions options) {
    return create_subprocess_exec(
        {detail::to_text(program), detail::to_text(first), detail::to_text(second)},
        std::move(options));
}
Coroutine<subprocess::Process> create_subprocess_exec(detail::CommandText auto&& program,
                                                      detail::CommandText auto&& first,
                                                      detail::CommandText auto&& second,
                                                      detail::CommandText auto&& third,
                                                      SubprocessOptions options) {
    return create_subprocess_exec({detail::to_text(program), detail::to_text(first),
                                   detail::to_text(second), detail::to_text(third)},
                                  std::move(options));
}

// Runs a command of /bin/sh. Whatever of it is not constant, the caller has to quote.
Coroutine<subprocess::Process> create_subprocess_shell(std::string command,
                                                       SubprocessOptions options = {});

namespace subprocess {
using asyncio::create_subprocess_exec;
using asyncio::create_subprocess_shell;
}  // namespace subprocess

template <class Factory>
auto EventLoop::subprocess_exec(Factory factory, std::vector<std::string> command,
                                SubprocessOptions options) -> Coroutine<detail::ChildOf<Factory>> {
    return detail::with_child_protocol_type<detail::ChildOf<Factory>>(
        detail::connect_child(*this, std::move(factory), {std::move(command), std::move(options)}));
}

template <class Factory, std::convertible_to<std::string_view> Program, class... Parts>
auto EventLoop::subprocess_exec(Factory factory, Program&& program, Parts&&... parts)
    -> Coroutine<detail::ChildOf<Factory>> {
    return detail::with_child_protocol_type<detail::ChildOf<Factory>>(detail::connect_child(
        *this, std::move(factory),
        detail::to_command(std::string_view(program), std::forward<Parts>(parts)...)));
}

template <class Factory>
auto EventLoop::subprocess_shell(Factory factory, std::string command, SubprocessOptions options)
    -> Coroutine<detail::ChildOf<Factory>> {
    return detail::with_child_protocol_type<detail::ChildOf<Factory>>(detail::connect_shell(
        *this, std::move(factory), {{std::move(command)}, std::move(options)}));
}

template <class Factory>
auto EventLoop::subprocess_shell(Factory factory, std::string command)
    -> Coroutine<detail::ChildOf<Factory>> {
    return subprocess_shell(std::move(factory), std::move(command), SubprocessOptions{});
}

}  // namespace asyncio
