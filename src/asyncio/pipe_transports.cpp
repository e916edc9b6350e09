#include "pipe_transports.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include <asyncio/log.hpp>

#include "transport_errors.hpp"

namespace asyncio::detail {

namespace {

constexpr std::uint32_t lost_writes_before_warning = 5;

mode_t kind_of(int fd) {
    struct stat status{};
    if (::fstat(fd, &status) != 0) throw_os_error(errno, "pipe");
    return status.st_mode & S_IFMT;
}

void complete_waiter(const Future<void>& waiter) {
    if (!waiter.done()) waiter.set_result();
}

// As the Python interpreter does when it starts. There is no way to write to a pipe that never
// raises the signal.
void ignore_sigpipe() {
    [[maybe_unused]] static const bool once = [] {
        struct sigaction current{};
        if (::sigaction(SIGPIPE, nullptr, &current) == 0 && current.sa_handler == SIG_DFL) {
            std::signal(SIGPIPE, SIG_IGN);
        }
        return true;
    }();
}

[[noreturn]] void throw_one_way(const char* end, const char* call) {
    throw NotImplementedError(std::string("this transport is the ") + end +
                              " end of a pipe; it has no " + call);
}

}  // namespace

// ---- both ends ----------------------------------------------------------------------------

PipeTransport::PipeTransport(EventLoop& loop, Descriptor pipe,
                             std::shared_ptr<BaseProtocol> protocol, bool to_read)
    : loop_(loop), pipe_(std::move(pipe)), to_read_(to_read) {
    const mode_t kind = kind_of(fd());
    if (kind != S_IFIFO && kind != S_IFSOCK && kind != S_IFCHR) {
        throw ValueError(
            "a pipe transport is for pipes, sockets and character devices only; for files use "
            "aiofiles");
    }
    protocol_.set(std::move(protocol));
    const int flags = ::fcntl(fd(), F_GETFL);
    if (flags < 0 || ::fcntl(fd(), F_SETFL, flags | O_NONBLOCK) != 0) {
        throw_os_error(errno, "pipe");
    }
}

PipeTransport::~PipeTransport() = default;

void PipeTransport::begin(Future<void> waiter) {
    alive_ = share(*this);
    link(*loop_);
    loop_->call_soon([self = alive_] { self->protocol_.connection_made(self); });
    loop_->call_soon([self = alive_] { self->start(); });
    if (waiter) loop_->call_soon(complete_waiter, std::move(waiter));
}

std::any PipeTransport::extra_info(std::string_view name) const {
    return name == "pipe" && pipe_ ? std::any(fd()) : std::any();
}

void PipeTransport::set_protocol(std::shared_ptr<BaseProtocol> protocol) {
    protocol_.set(std::move(protocol));
}

std::string PipeTransport::repr() const {
    std::string text = to_read_ ? "<ReadPipeTransport" : "<WritePipeTransport";
    text += lost_ ? " closed" : closing_ ? " closing" : "";
    text += " fd=" + std::to_string(fd());
    if (to_read_) {
        text += is_reading() ? " polling" : " idle";
    } else {
        text += " bufsize=" + std::to_string(get_write_buffer_size());
    }
    return text + ">";
}

void PipeTransport::schedule_lost(std::exception_ptr error) {
    if (std::exchange(ending_, true)) return;
    loop_->call_soon([self = share(*this), error = std::move(error)] { self->lose(error); });
}

void PipeTransport::lose(const std::exception_ptr& error) {
    if (lost_) return;
    ending_ = true;
    const std::shared_ptr<PipeTransport> keep = alive_;
    struct Finally {
        PipeTransport& transport;
        ~Finally() {
            transport.lost_ = true;
            transport.let_go_if_over();
        }
    };
    const Finally finally{*this};
    guard_callback(*loop_, *this, "protocol.connection_lost() failed",
                   [&] { protocol_.get()->connection_lost(error); });
}

void PipeTransport::give_back() noexcept {
    if (pipe_) proactor().forget(fd());
    pipe_.reset();
    unlink();
    const std::shared_ptr<BaseProtocol> protocol = protocol_.take();
}

void PipeTransport::let_go_if_over() noexcept {
    if (!lost_ || !idle()) return;
    const std::shared_ptr<PipeTransport> keep = std::move(alive_);
    give_back();
}

void PipeTransport::loop_closed() noexcept {
    const std::shared_ptr<PipeTransport> keep = std::move(alive_);
    if (!closing_) report_unclosed(*loop_, *this);
    closing_ = ending_ = lost_ = true;
    drop_buffers();
    give_back();
}

// ---- the reading end ----------------------------------------------------------------------

std::shared_ptr<ReadPipeTransport> ReadPipeTransport::make(EventLoop& loop, Descriptor pipe,
                                                           std::shared_ptr<BaseProtocol> protocol,
                                                           Future<void> waiter) {
    auto transport =
        std::make_shared<ReadPipeTransport>(loop, std::move(pipe), std::move(protocol));
    transport->begin(std::move(waiter));
    return transport;
}

ReadPipeTransport::ReadPipeTransport(EventLoop& loop, Descriptor pipe,
                                     std::shared_ptr<BaseProtocol> protocol)
    : PipeTransport(loop, std::move(pipe), std::move(protocol), true) {
    receive_.kind = Operation::Kind::read;
    receive_.multishot = true;
    receive_.owned = true;
    receive_.fd = fd();
    receive_.owner = this;
    receive_.complete = &ReadPipeTransport::received;
}

void ReadPipeTransport::start() {
    started_ = true;
    receive();
}

void ReadPipeTransport::receive() {
    if (!started_ || !is_reading()) return;
    if (held_ != nullptr || end_) {
        // Never out of the caller's own call.
        if (!std::exchange(delivery_due_, true)) {
            loop_->call_soon([self = share(*this)] { self->deliver_held(); });
        }
    } else if (idle()) {
        proactor().submit(receive_);
    }
    // An operation that is still being cancelled is submitted again when it ends.
}

void ReadPipeTransport::received(Operation& operation, int result, bool more) {
    auto& transport = *static_cast<ReadPipeTransport*>(operation.owner);
    const auto keep = share(transport);
    if (result > 0) {
        transport.take_input(
            {static_cast<const char*>(operation.buffer), static_cast<std::size_t>(result)});
        if (!more) transport.receive();
    } else if (result == -ECANCELED) {
        // Not where the loop closes: there it would only be cancelled again.
        if (std::exchange(transport.stop_asked_, false)) transport.receive();
    } else if (!transport.closing_) {
        transport.end_ = result;
        if (transport.paused_ || transport.held_ != nullptr) {
            transport.receive();
        } else {
            transport.end_of_input(result);
        }
    }
    if (!more) transport.let_go_if_over();
}

void ReadPipeTransport::take_input(std::string_view data) {
    if (closing_) return;
    if (!paused_ && held_ == nullptr) {
        deliver(data);
    } else if (held_ == nullptr) {
        held_ = std::make_unique<std::string>(data);
    } else {
        held_->append(data);
    }
}

void ReadPipeTransport::deliver(std::string_view data) {
    try {
        const auto rest = protocol_.receive(data, [this] { return !is_reading(); });
        if (!rest.empty() && !closing_) held_ = std::make_unique<std::string>(rest);
    } catch (...) {
        std::exception_ptr error = current_error_unless_fatal();
        report_of_transport(*loop_, *this, "Fatal error: protocol.data_received() call failed.",
                            error);
        stop(std::move(error));
    }
}

void ReadPipeTransport::deliver_held() {
    const auto keep = share(*this);
    delivery_due_ = false;
    if (!is_reading()) return;
    if (held_ != nullptr) {
        const std::unique_ptr<std::string> data = std::move(held_);
        deliver(*data);
    }
    if (!is_reading()) return;
    if (held_ == nullptr && end_) {
        end_of_input(*end_);
    } else {
        receive();
    }
}

void ReadPipeTransport::end_of_input(int result) {
    // EIO is how a terminal says that nobody is at the other end.
    if (result < 0) {
        std::exception_ptr error = make_os_error(-result, "reading from the pipe");
        if (result != -EIO) {
            report_of_transport(*loop_, *this, "Fatal read error on pipe transport", error);
        }
        stop(std::move(error));
        return;
    }
    closing_ = true;
    loop_->call_soon([self = share(*this)] {
        if (self->protocol_) static_cast<void>(self->protocol_.eof_received());
    });
    schedule_lost(nullptr);
}

void ReadPipeTransport::pause_reading() {
    if (!is_reading()) return;
    paused_ = true;
    if (idle()) return;
    stop_asked_ = true;
    proactor().cancel(receive_);
}

void ReadPipeTransport::resume_reading() {
    if (closing_ || !paused_) return;
    paused_ = false;
    receive();
}

void ReadPipeTransport::close() {
    if (!closing_) stop(nullptr);
}

void ReadPipeTransport::stop(std::exception_ptr error) {
    closing_ = true;
    held_.reset();
    if (!idle()) proactor().cancel(receive_);
    schedule_lost(std::move(error));
}

void ReadPipeTransport::write(std::string_view) {
    throw_one_way("reading", "write()");
}
void ReadPipeTransport::write_eof() {
    throw_one_way("reading", "write_eof()");
}
void ReadPipeTransport::set_write_buffer_limits(WriteBufferLimits) {
    throw_one_way("reading", "write buffer");
}
std::pair<std::size_t, std::size_t> ReadPipeTransport::get_write_buffer_limits() const {
    throw_one_way("reading", "write buffer");
}

// ---- the writing end ----------------------------------------------------------------------

std::shared_ptr<WritePipeTransport> WritePipeTransport::make(EventLoop& loop, Descriptor pipe,
                                                             std::shared_ptr<BaseProtocol> protocol,
                                                             Future<void> waiter) {
    auto transport =
        std::make_shared<WritePipeTransport>(loop, std::move(pipe), std::move(protocol));
    transport->begin(std::move(waiter));
    return transport;
}

WritePipeTransport::WritePipeTransport(EventLoop& loop, Descriptor pipe,
                                       std::shared_ptr<BaseProtocol> protocol)
    : PipeTransport(loop, std::move(pipe), std::move(protocol), false) {
    ignore_sigpipe();
    const mode_t kind = kind_of(fd());
    watches_reader_ = kind != S_IFCHR;
    watch_.kind = Operation::Kind::poll;
    watch_.owned = true;
    watch_.fd = fd();
    // What a socket's other end sends is nothing we could take: it counts as its end.
    watch_.events = kind == S_IFSOCK ? POLLIN : 0;
    watch_.owner = this;
    watch_.complete = &WritePipeTransport::reader_gone;
}

void WritePipeTransport::start() {
    if (watches_reader_ && !closing_) proactor().submit(watch_);
}

void WritePipeTransport::reader_gone(Operation& operation, int result, bool) {
    auto& transport = *static_cast<WritePipeTransport*>(operation.owner);
    const auto keep = share(transport);
    if (result > 0) {
        transport.end_now(transport.get_write_buffer_size() == 0
                              ? nullptr
                              : make_os_error(EPIPE, "the other end of the pipe was closed"));
    }
    transport.let_go_if_over();
}

// How much of `data` the kernel took, or -1 after a fatal error.
std::ptrdiff_t WritePipeTransport::write_now(std::string_view data) {
    for (;;) {
        const ssize_t written = ::write(fd(), data.data(), data.size());
        if (written >= 0) return written;
        if (errno == EAGAIN) return 0;
        if (errno == EINTR) continue;
        fatal_error(errno);
        return -1;
    }
}

void WritePipeTransport::write(std::string_view data) {
    if (data.empty()) return;
    if (closing_) {
        if (lost_writes_ >= lost_writes_before_warning) {
            log(LogLevel::warning, "a pipe was written to that is closed, " + repr());
        }
        ++lost_writes_;
        return;
    }
    if (unsent_ == nullptr) {
        const std::ptrdiff_t now = write_now(data);
        if (now < 0 || static_cast<std::size_t>(now) == data.size()) return;
        data.remove_prefix(static_cast<std::size_t>(now));
        unsent_ = std::make_unique<WriteBuffer>(fd(), false, this, &WritePipeTransport::written);
    }
    unsent_->append(data);
    if (!unsent_->busy()) unsent_->submit(proactor());
    flow_.grown(unsent_->size(), *loop_, *this);
}

void WritePipeTransport::written(Operation& operation, int result, bool) {
    auto& transport = *static_cast<WritePipeTransport*>(operation.owner);
    const auto keep = share(transport);
    transport.buffer_written(result);
    transport.let_go_if_over();
}

void WritePipeTransport::buffer_written(int result) {
    if (!aborted_ && result < 0) fatal_error(-result);
    if (!aborted_) {
        unsent_->consume(static_cast<std::size_t>(result));
        flow_.shrunk(unsent_->size(), *loop_, *this);  // may append, or end it
    }
    if (aborted_) {
        unsent_.reset();
    } else if (unsent_->size() != 0) {
        if (!unsent_->busy()) unsent_->submit(proactor());
    } else {
        unsent_.reset();
        if (!closing_) return;
        proactor().cancel(watch_);
        lose(nullptr);
    }
}

void WritePipeTransport::write_eof() {
    if (closing_) return;
    closing_ = true;
    if (unsent_ == nullptr) end_now(nullptr);
}

void WritePipeTransport::fatal_error(int number) {
    end_now(make_os_error(number, "writing to the pipe"));
}

void WritePipeTransport::end_now(std::exception_ptr error) {
    if (std::exchange(aborted_, true)) return;
    closing_ = true;
    if (unsent_ != nullptr) {
        unsent_->drop();
        if (unsent_->busy()) unsent_->cancel(proactor());
    }
    proactor().cancel(watch_);
    schedule_lost(std::move(error));
}

void WritePipeTransport::set_write_buffer_limits(WriteBufferLimits limits) {
    flow_.set_limits(limits);
    flow_.grown(get_write_buffer_size(), *loop_, *this);
}

void WritePipeTransport::pause_reading() {
    throw_one_way("writing", "pause_reading()");
}
void WritePipeTransport::resume_reading() {
    throw_one_way("writing", "resume_reading()");
}

}  // namespace asyncio::detail
