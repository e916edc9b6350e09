#include "subprocess_transport.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <mutex>

#include <asyncio/log.hpp>
#include <asyncio/outcome.hpp>

#include "pipe_transports.hpp"
#include "transport_errors.hpp"

namespace asyncio::detail {

namespace {

using subprocess::Stdio;

constexpr std::array<const char*, 3> stream_names = {"stdin_", "stdout_", "stderr_"};

// ---- the child's standard streams ---------------------------------------------------------

void check_stdio(const Stdio& stdio, int target) {
    if (stdio.is(subprocess::STDOUT) && target != 2) {
        throw ValueError("STDOUT can only be used for stderr_");
    }
    if (stdio.kind() == Stdio::Kind::descriptor && ::fcntl(stdio.descriptor(), F_GETFD) < 0) {
        throw_os_error(errno, "descriptor " + std::to_string(stdio.descriptor()) + " for " +
                                  stream_names[static_cast<std::size_t>(target)]);
    }
}

struct ChildStdio {
    std::array<int, 3> for_child = {-1, -1, -1};
    std::array<Descriptor, 3> ours;    // our ends of pipes
    std::array<Descriptor, 3> theirs;  // to be closed once the child has them
};

void open_pipe(ChildStdio& all, std::size_t target, std::optional<int> size) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_os_error(errno, "pipe2()");
    const bool child_reads = target == 0;
    all.theirs[target] = Descriptor(ends[child_reads ? 0 : 1]);
    all.ours[target] = Descriptor(ends[child_reads ? 1 : 0]);
    all.for_child[target] = all.theirs[target].get();
    // A wish; the kernel may have reasons.
    if (size) ::fcntl(ends[0], F_SETPIPE_SZ, *size);
}

ChildStdio open_stdio(const SubprocessOptions& options) {
    const std::array<const Stdio*, 3> wanted = {&options.stdin_, &options.stdout_,
                                                &options.stderr_};
    for (std::size_t i = 0; i < 3; ++i) check_stdio(*wanted[i], static_cast<int>(i));
    ChildStdio all;
    for (std::size_t i = 0; i < 3; ++i) {
        const Stdio& stdio = *wanted[i];
        if (stdio.is(subprocess::PIPE)) {
            open_pipe(all, i, options.pipesize);
        } else if (stdio.is(subprocess::DEVNULL)) {
            all.theirs[i] = Descriptor(::open("/dev/null", O_RDWR | O_CLOEXEC));
            if (!all.theirs[i]) throw_os_error(errno, "'/dev/null'");
            all.for_child[i] = all.theirs[i].get();
        } else if (stdio.is(subprocess::STDOUT)) {
            all.for_child[i] = all.for_child[1] >= 0 ? all.for_child[1] : 1;
        } else if (stdio.kind() == Stdio::Kind::descriptor) {
            all.for_child[i] = stdio.descriptor();
        }
    }
    return all;
}

// ---- children nobody waits for ------------------------------------------------------------

// Killed when their loop closed, and not gone yet. Looked after whenever there is occasion, as
// Python does with a Popen that is dropped.
class Orphans {
  public:
    void take(Descriptor pidfd) noexcept {
        try {
            if (is_gone(pidfd)) return;
            const std::lock_guard lock(mutex_);
            children_.push_back(std::move(pidfd));
        } catch (...) {
            // No memory: one zombie more until the program ends.
        }
    }
    void sweep() noexcept {
        const std::lock_guard lock(mutex_);
        std::erase_if(children_, is_gone);
    }

  private:
    static bool is_gone(const Descriptor& pidfd) noexcept {
        try {
            return reap(pidfd).has_value();
        } catch (const OSError&) {
            return true;
        }
    }

    std::mutex mutex_;
    std::vector<Descriptor> children_;
};

Orphans& orphans() {
    static Orphans instance;
    return instance;
}

}  // namespace

// ---- one pipe -----------------------------------------------------------------------------

class ChildPipe final : public Protocol {
  public:
    ChildPipe(std::shared_ptr<ChildTransport> child, int fd) noexcept
        : child_(std::move(child)), fd_(fd) {}

    void data_received(std::string_view data) override {
        child_->call("protocol.pipe_data_received() failed",
                     [&](SubprocessProtocol& protocol) { protocol.pipe_data_received(fd_, data); });
    }
    void connection_lost(std::exception_ptr error) override {
        child_->pipe_lost(fd_, std::move(error));
    }
    void pause_writing() override {
        if (child_->protocol_) child_->protocol_->pause_writing();
    }
    void resume_writing() override {
        if (child_->protocol_) child_->protocol_->resume_writing();
    }

  private:
    std::shared_ptr<ChildTransport> child_;
    int fd_;
};

// ---- making it ----------------------------------------------------------------------------

std::shared_ptr<ChildTransport> ChildTransport::start(EventLoop& loop,
                                                      std::shared_ptr<SubprocessProtocol> protocol,
                                                      const std::vector<std::string>& command,
                                                      const SubprocessOptions& options,
                                                      Future<void> waiter) {
    orphans().sweep();
    check_command(command, options);
    ChildStdio stdio = open_stdio(options);
    auto transport = std::make_shared<ChildTransport>(loop, std::move(protocol),
                                                      spawn(command, options, stdio.for_child));
    try {
        transport->begin(std::move(stdio.ours), std::move(waiter));
    } catch (...) {
        transport->protocol_.reset();  // it will never hear of a connection
        transport->close();
        throw;
    }
    return transport;
}

ChildTransport::ChildTransport(EventLoop& loop, std::shared_ptr<SubprocessProtocol> protocol,
                               SpawnedChild child)
    : loop_(loop), protocol_(std::move(protocol)), child_(std::move(child)) {
    poll_.kind = Operation::Kind::poll;
    poll_.owned = true;
    poll_.fd = child_.pidfd.get();
    poll_.events = POLLIN;
    poll_.owner = this;
    poll_.complete = &ChildTransport::ended;
}

ChildTransport::~ChildTransport() {
    if (returncode_ || !child_.pidfd) return;
    static_cast<void>(try_signal(SIGKILL));
    orphans().take(std::move(child_.pidfd));
}

void ChildTransport::begin(std::array<Descriptor, 3> pipes, Future<void> waiter) {
    alive_ = self();
    link(*loop_);
    watch();
    for (int fd = 0; fd < 3; ++fd) {
        Descriptor& pipe = pipes[static_cast<std::size_t>(fd)];
        if (!pipe) continue;
        auto protocol = std::make_shared<ChildPipe>(alive_, fd);
        std::shared_ptr<Transport>& transport = pipes_[static_cast<std::size_t>(fd)];
        if (fd == 0) {
            transport = WritePipeTransport::make(*loop_, std::move(pipe), std::move(protocol));
        } else {
            transport = ReadPipeTransport::make(*loop_, std::move(pipe), std::move(protocol));
        }
        ++open_pipes_;
    }
    loop_->call_soon([self = alive_] {
        if (self->protocol_) self->protocol_->connection_made(self);
    });
    loop_->call_soon([waiter] {
        if (!waiter.done()) waiter.set_result();
    });
}

std::any ChildTransport::extra_info(std::string_view name) const {
    return name == "subprocess" ? std::any(get_pid()) : std::any();
}

void ChildTransport::set_protocol(std::shared_ptr<BaseProtocol> protocol) {
    auto typed = std::dynamic_pointer_cast<SubprocessProtocol>(std::move(protocol));
    if (typed == nullptr) throw TypeError("the protocol of a child is a SubprocessProtocol");
    protocol_ = std::move(typed);
}

std::shared_ptr<Transport> ChildTransport::get_pipe_transport(int fd) const {
    return fd >= 0 && fd < 3 ? pipes_[static_cast<std::size_t>(fd)] : nullptr;
}

std::string ChildTransport::repr() const {
    std::string text = "<SubprocessTransport";
    if (closed_) text += " closed";
    text += " pid=" + std::to_string(get_pid());
    text += returncode_ ? " returncode=" + std::to_string(*returncode_) : " running";
    for (std::size_t i = 0; i < 3; ++i) {
        constexpr std::array<const char*, 3> names = {" stdin=", " stdout=", " stderr="};
        if (pipes_[i] != nullptr) text += names[i] + pipes_[i]->repr();
    }
    return text + ">";
}

// ---- its end ------------------------------------------------------------------------------

void ChildTransport::watch() {
    EventLoop::Internals::state(*loop_).proactor->submit(poll_);
}

void ChildTransport::ended(Operation& operation, int result, bool) {
    auto& transport = *static_cast<ChildTransport*>(operation.owner);
    const auto keep = transport.self();
    if (result == -ECANCELED) return;  // the loop closes
    if (result < 0) {
        report_of_transport(*transport.loop_, transport, "a child process cannot be watched",
                            make_os_error(-result, "polling a pidfd"));
        // What the kernel lacks it may have later.
        transport.loop_->call_later(std::chrono::seconds(1), [keep] {
            if (!keep->lost_) keep->take_returncode();
        });
        return;
    }
    transport.take_returncode();
}

void ChildTransport::take_returncode() {
    try {
        returncode_ = reap(child_.pidfd);
    } catch (const OSError&) {
        // Somebody waits for all children, or SIGCHLD is ignored.
        log(LogLevel::warning, "child process pid " + std::to_string(get_pid()) +
                                   " exit status already read: will report returncode 255");
        returncode_ = 255;
    }
    if (!returncode_) {
        watch();
        return;
    }
    EventLoop::Internals::state(*loop_).proactor->forget(child_.pidfd.get());
    child_.pidfd.reset();
    if (loop_->get_debug()) log(LogLevel::info, repr() + " exited");
    call("protocol.process_exited() failed",
         [](SubprocessProtocol& protocol) { protocol.process_exited(); });
    finish_if_over();
    for (const Future<int>& waiter : std::exchange(waiters_, {})) {
        if (!waiter.done()) waiter.set_result(*returncode_);
    }
}

Coroutine<int> ChildTransport::wait(std::shared_ptr<ChildTransport> self) {
    if (self->returncode_) co_return *self->returncode_;
    // Those that gave up, as with a timeout.
    std::erase_if(self->waiters_, [](const Future<int>& waiter) { return waiter.done(); });
    const Future<int> ended(*self->loop_);
    self->waiters_.push_back(ended);
    co_return co_await ended;
}

void ChildTransport::call(const char* message,
                          const std::function<void(SubprocessProtocol&)>& callback) {
    const std::shared_ptr<SubprocessProtocol> keep = protocol_;
    if (keep == nullptr) return;
    guard_callback(*loop_, *this, message, [&] { callback(*keep); });
}

void ChildTransport::pipe_lost(int fd, std::exception_ptr error) {
    --open_pipes_;
    call("protocol.pipe_connection_lost() failed", [&](SubprocessProtocol& protocol) {
        protocol.pipe_connection_lost(fd, std::move(error));
    });
    finish_if_over();
}

void ChildTransport::finish_if_over() {
    if (!returncode_ || open_pipes_ != 0 || std::exchange(ending_, true)) return;
    loop_->call_soon([self = self()] { self->lose(); });
}

void ChildTransport::lose() {
    call("protocol.connection_lost() failed",
         [](SubprocessProtocol& protocol) { protocol.connection_lost(nullptr); });
    lost_ = true;
    unlink();
    const auto protocol = std::move(protocol_);
    const auto keep = std::move(alive_);
}

// ---- what is done to it -------------------------------------------------------------------

int ChildTransport::try_signal(int signal) const noexcept {
    if (::syscall(SYS_pidfd_send_signal, child_.pidfd.get(), signal, nullptr, 0) == 0) return 0;
    return errno;
}

void ChildTransport::send_signal(int signal) {
    if (lost_) {
        throw_os_error(ESRCH, "child " + std::to_string(get_pid()) +
                                  " has ended with return code " +
                                  std::to_string(returncode_.value_or(255)));
    }
    if (returncode_) return;
    const int error = try_signal(signal);
    if (error != 0 && error != ESRCH) {
        throw_os_error(
            error, "signal " + std::to_string(signal) + " to child " + std::to_string(get_pid()));
    }
}

void ChildTransport::terminate() {
    send_signal(SIGTERM);
}
void ChildTransport::kill() {
    send_signal(SIGKILL);
}

void ChildTransport::close() {
    if (std::exchange(closed_, true)) return;
    for (const std::shared_ptr<Transport>& pipe : pipes_) {
        if (pipe != nullptr) pipe->close();
    }
    if (returncode_) return;
    if (loop_->get_debug()) log(LogLevel::warning, "Close running child process: kill " + repr());
    // One that runs as another user is not ours to kill.
    static_cast<void>(try_signal(SIGKILL));
}

void ChildTransport::loop_closed() noexcept {
    const auto keep = std::move(alive_);
    if (!closed_) report_unclosed(*loop_, *this);
    closed_ = ending_ = lost_ = true;
    waiters_.clear();
    const auto protocol = std::move(protocol_);
    if (returncode_) return;
    static_cast<void>(try_signal(SIGKILL));
    orphans().take(std::move(child_.pidfd));
}

// ---- starting it --------------------------------------------------------------------------

Coroutine<std::shared_ptr<ChildTransport>> start_child(EventLoop& loop,
                                                       std::shared_ptr<SubprocessProtocol> protocol,
                                                       std::vector<std::string> command,
                                                       SubprocessOptions options) {
    const Future<void> connected(loop);
    const auto transport =
        ChildTransport::start(loop, std::move(protocol), command, options, connected);
    const Outcome<void> outcome = co_await try_(connected);
    if (!outcome) {
        transport->close();
        co_await ChildTransport::wait(transport);
        std::rethrow_exception(outcome.exception());
    }
    co_return transport;
}

}  // namespace asyncio::detail
