#include <asyncio/subprocess.hpp>

#include <asyncio/log.hpp>
#include <asyncio/waiting.hpp>

#include "subprocess_transport.hpp"

namespace asyncio {

namespace subprocess {

// ---- SubprocessStreamProtocol -------------------------------------------------------------

SubprocessStreamProtocol::SubprocessStreamProtocol(std::size_t limit, EventLoop& loop)
    : loop_(loop), limit_(limit) {
    // Half of all numbers are what a negative one became.
    if (static_cast<std::ptrdiff_t>(limit) <= 0) {
        throw ValueError("limit must be positive; it is the bytes a stream buffers");
    }
}

SubprocessStreamProtocol::~SubprocessStreamProtocol() = default;

void SubprocessStreamProtocol::connection_made(std::shared_ptr<SubprocessTransport> transport) {
    transport_ = transport;
    const auto limit = static_cast<std::ptrdiff_t>(limit_);
    const auto connect = [&](int fd, std::optional<StreamReader>& reader) {
        const auto pipe = transport->get_pipe_transport(fd);
        if (pipe == nullptr) return;
        reader.emplace(loop_, limit);
        reader->set_transport(pipe);
        ++outputs_;
    };
    connect(1, stdout_);
    connect(2, stderr_);
    if (const auto pipe = transport->get_pipe_transport(0)) {
        writing_ = std::make_shared<StreamReaderProtocol>(StreamReader(loop_, limit));
        stdin_.emplace(pipe, writing_, std::nullopt, loop_);
    }
}

void SubprocessStreamProtocol::connection_lost(std::exception_ptr) {
    // Handles of Process keep the streams; we keep nothing of what names us.
    stdin_.reset();
    writing_.reset();
}

void SubprocessStreamProtocol::pause_writing() {
    if (writing_) writing_->pause_writing();
}
void SubprocessStreamProtocol::resume_writing() {
    if (writing_) writing_->resume_writing();
}

void SubprocessStreamProtocol::pipe_data_received(int fd, std::string_view data) {
    const auto& reader = fd == 1 ? stdout_ : stderr_;
    if (reader) reader->feed_data(data);
}

void SubprocessStreamProtocol::pipe_connection_lost(int fd, std::exception_ptr error) {
    if (fd == 0) {
        if (stdin_) stdin_->close();
        if (writing_) writing_->connection_lost(std::move(error));
        return;
    }
    const auto& reader = fd == 1 ? stdout_ : stderr_;
    if (reader && error) {
        reader->set_exception(std::move(error));
    } else if (reader) {
        reader->feed_eof();
    }
    --outputs_;
    close_if_over();
}

void SubprocessStreamProtocol::process_exited() {
    exited_ = true;
    close_if_over();
}

void SubprocessStreamProtocol::close_if_over() {
    if (outputs_ != 0 || !exited_) return;
    if (const auto transport = std::exchange(transport_, nullptr)) transport->close();
}

// ---- Process ------------------------------------------------------------------------------

Process::Process(std::shared_ptr<detail::ChildTransport> transport,
                 const SubprocessStreamProtocol& protocol)
    : stdin_(protocol.stdin_),
      stdout_(protocol.stdout_),
      stderr_(protocol.stderr_),
      pid(transport->get_pid()),
      transport_(std::move(transport)) {}

std::optional<int> Process::returncode() const noexcept {
    return transport_->get_returncode();
}

Coroutine<int> Process::wait() const {
    return detail::ChildTransport::wait(transport_);
}

void Process::send_signal(int signal) const {
    transport_->send_signal(signal);
}
void Process::terminate() const {
    transport_->terminate();
}
void Process::kill() const {
    transport_->kill();
}

std::string Process::repr() const {
    return "<Process " + std::to_string(pid) + ">";
}

namespace {

constexpr std::size_t piece_of_input = 256 * 1024;

// In pieces, so that what is long is not copied as a whole.
Coroutine<void> feed(std::optional<StreamWriter> writer, std::optional<std::string> input) {
    if (!writer) co_return;
    try {
        for (std::string_view rest = input ? std::string_view(*input) : ""; !rest.empty();) {
            const std::string_view piece = rest.substr(0, piece_of_input);
            writer->write(piece);
            rest.remove_prefix(piece.size());
            co_await writer->drain();
        }
        co_await writer->drain();
    } catch (const BrokenPipeError&) {
    } catch (const ConnectionResetError&) {
        // It did not want to know.
    }
    writer->close();
}

Coroutine<std::string> read_all(std::optional<StreamReader> reader,
                                std::shared_ptr<Transport> pipe) {
    if (!reader) co_return std::string();
    std::string output = co_await reader->read();
    pipe->close();
    co_return output;
}

Coroutine<std::pair<std::string, std::string>> communicate_with(
    Process process, std::shared_ptr<detail::ChildTransport> transport,
    std::optional<std::string> input) {
    auto [nothing, output, errors] =
        co_await gather(feed(process.stdin_, std::move(input)),
                        read_all(process.stdout_, transport->get_pipe_transport(1)),
                        read_all(process.stderr_, transport->get_pipe_transport(2)));
    static_cast<void>(nothing);
    co_await process.wait();
    co_return {std::move(output), std::move(errors)};
}

}  // namespace

Coroutine<std::pair<std::string, std::string>> Process::communicate(
    std::optional<std::string> input) const {
    return communicate_with(*this, transport_, std::move(input));
}

}  // namespace subprocess

// ---- starting -----------------------------------------------------------------------------

namespace {

using subprocess::Stdio;

void set_default(SubprocessOptions& options, Stdio stdio) {
    for (Stdio* stream : {&options.stdin_, &options.stdout_, &options.stderr_}) {
        if (stream->kind() == Stdio::Kind::unset) *stream = stdio;
    }
}

// What /bin/sh, or what is given in its place, is to be called with.
std::vector<std::string> shell_command(std::string command, const SubprocessOptions& options) {
    return {options.executable ? options.executable->string() : "/bin/sh", "-c",
            std::move(command)};
}

// Parameters may be confidential.
void log_start(EventLoop& loop, const std::string& program, int pid) {
    if (!loop.get_debug()) return;
    log(LogLevel::info, "process '" + program + "' created: pid " + std::to_string(pid));
}

Coroutine<subprocess::Process> create(std::vector<std::string> command, SubprocessOptions options) {
    EventLoop& loop = get_running_loop();
    set_default(options, std::nullopt);
    auto protocol = std::make_shared<subprocess::SubprocessStreamProtocol>(options.limit, loop);
    const std::string program = command.empty() ? "" : command.front();
    auto transport =
        co_await detail::start_child(loop, protocol, std::move(command), std::move(options));
    log_start(loop, program, transport->get_pid());
    co_return subprocess::Process(std::move(transport), *protocol);
}

}  // namespace

Coroutine<subprocess::Process> create_subprocess_exec(std::vector<std::string> command,
                                                      SubprocessOptions options) {
    return create(std::move(command), std::move(options));
}

Coroutine<subprocess::Process> create_subprocess_shell(std::string command,
                                                       SubprocessOptions options) {
    std::vector<std::string> arguments = shell_command(std::move(command), options);
    return create(std::move(arguments), std::move(options));
}

namespace detail {

Coroutine<ConnectedChild> connect_child(EventLoop& loop, ChildProtocolFactory factory,
                                        Command command) {
    set_default(command.options, subprocess::PIPE);
    std::shared_ptr<SubprocessProtocol> protocol = factory();
    if (protocol == nullptr) throw TypeError("a child needs a protocol; the factory gave none");
    const std::string program = command.arguments.empty() ? "" : command.arguments.front();
    auto transport = co_await start_child(loop, protocol, std::move(command.arguments),
                                          std::move(command.options));
    log_start(loop, program, transport->get_pid());
    co_return {std::move(transport), std::move(protocol)};
}

Coroutine<ConnectedChild> connect_shell(EventLoop& loop, ChildProtocolFactory factory,
                                        Command command) {
    command.arguments = shell_command(std::move(command.arguments.front()), command.options);
    return connect_child(loop, std::move(factory), std::move(command));
}

}  // namespace detail

}  // namespace asyncio
