#include "pipe_transports.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <asyncio/base_events.hpp>
#include <asyncio/log.hpp>
#include <asyncio/outcome.hpp>

#include "transport_errors.hpp"

namespace asyncio::detail {

namespace {

mode_t kind_of_file(int fd) {
    struct stat status{};
    if (::fstat(fd, &status) != 0)
        throw_os_error(errno, "a pipe transport for descriptor " + std::to_string(fd));
    return status.st_mode & S_IFMT;
}

}  // namespace

// ---- both ends ----------------------------------------------------------------------------

PipeTransport::PipeTransport(EventLoop& loop, int fd, std::shared_ptr<BaseProtocol> protocol)
    : loop_(loop), fd_(fd) {
    const mode_t kind = kind_of_file(fd);
    if (kind != S_IFIFO && kind != S_IFSOCK && kind != S_IFCHR) {
        throw ValueError("Pipe transport is only for pipes, sockets and character devices");
    }
    protocol_.set(std::move(protocol));
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) throw_os_error(errno, "fcntl");
}

void PipeTransport::begin(Descriptor pipe, Future<void> waiter) {
    pipe_ = std::move(pipe);
    const std::shared_ptr<PipeTransport> self(weak_from_this().lock(), this);
    alive_ = self;
    link(*loop_);
    loop_->call_soon([self] { self->protocol_.connection_made(self); });
    loop_->call_soon([self] {
        if (!self->closing_) self->begin_operations();
    });
    if (!waiter) return;
    loop_->call_soon([waiter = std::move(waiter)] {
        if (!waiter.done()) waiter.set_result();
    });
}

std::any PipeTransport::extra_info(std::string_view name) const {
    if (name == "pipe") return fd_;
    return {};
}

void PipeTransport::throw_read_only() {
    throw NotImplementedError("this transport reads from a pipe; it cannot write");
}

void PipeTransport::throw_write_only() {
    throw NotImplementedError("this transport writes to a pipe; it cannot read");
}

std::string PipeTransport::describe(const char* type, const char* more) const {
    std::string text = std::string("<") + type;
    if (lost_) text += " closed";
    if (closing_ && !lost_) text += " closing";
    return text + " fd=" + std::to_string(fd_) + more + ">";
}

void PipeTransport::fatal_error(std::exception_ptr error, const char* message) {
    if (!is_expected(error)) report_of_transport(*loop_, *this, message, error);
    force_close(std::move(error));
}

void PipeTransport::schedule_lost(std::exception_ptr error) {
    loop_->call_soon([self = alive_, error = std::move(error)] {
        if (!self->lost_) self->lose(error);
    });
}

void PipeTransport::lose(const std::exception_ptr& error) {
    const std::shared_ptr<PipeTransport> keep = alive_;
    struct Finally {
        PipeTransport& transport;
        ~Finally() {
            transport.give_back();
            transport.let_go_if_over();
        }
    };
    const Finally finally{*this};
    guard_callback(*loop_, *this, "protocol.connection_lost() failed",
                   [&] { protocol_.get()->connection_lost(error); });
}

void PipeTransport::give_back() noexcept {
    lost_ = true;
    if (pipe_) proactor().forget(fd_);
    pipe_.reset();
    const std::shared_ptr<BaseProtocol> protocol = protocol_.take();
    unlink();
}

void PipeTransport::let_go_if_over() noexcept {
    if (lost_ && !busy()) alive_.reset();
}

void PipeTransport::loop_closed() noexcept {
    const std::shared_ptr<PipeTransport> keep = alive_;
    if (!closing_) report_unclosed(*loop_, *this);
    closing_ = true;
    drop_operations();
    give_back();
    alive_.reset();
}

// ---- the reading end ----------------------------------------------------------------------

ReadPipeTransport::ReadPipeTransport(EventLoop& loop, int fd,
                                     std::shared_ptr<BaseProtocol> protocol)
    : PipeTransport(loop, fd, std::move(protocol)), input_(*this, Operation::Kind::read, fd) {}

std::shared_ptr<ReadPipeTransport> ReadPipeTransport::make(EventLoop& loop, Descriptor&& pipe,
                                                           std::shared_ptr<BaseProtocol> protocol,
                                                           Future<void> waiter) {
    auto transport = std::make_shared<ReadPipeTransport>(loop, pipe.get(), std::move(protocol));
    transport->begin(std::move(pipe), std::move(waiter));
    return transport;
}

std::string ReadPipeTransport::repr() const {
    return describe("ReadPipeTransport", is_reading() ? " polling" : " idle");
}

// EIO is how a terminal ends.
bool ReadPipeTransport::is_expected(const std::exception_ptr& error) const noexcept {
    try {
        std::rethrow_exception(error);
    } catch (const OSError& caught) {
        return caught.number() == EIO;
    } catch (...) {
        return false;
    }
}

void ReadPipeTransport::force_close(std::exception_ptr error) {
    if (closing_) return;
    closing_ = true;
    input_.stop();
    schedule_lost(std::move(error));
}

std::string_view ReadPipeTransport::take_input(std::string_view data) {
    try {
        return protocol_.receive(data, [this] { return !is_reading(); });
    } catch (...) {
        fatal_error(current_error_unless_fatal(), protocol_.failure());
        return {};
    }
}

void ReadPipeTransport::take_end(int result) {
    if (result < 0) {
        fatal_error(make_os_error(-result, "reading"), "Fatal read error on pipe transport");
        return;
    }
    closing_ = true;
    input_.stop();
    loop_->call_soon([self = alive_, this] { static_cast<void>(protocol_.eof_received()); });
    schedule_lost(nullptr);
}

// ---- the writing end ----------------------------------------------------------------------

WritePipeTransport::WritePipeTransport(EventLoop& loop, int fd,
                                       std::shared_ptr<BaseProtocol> protocol)
    : PipeTransport(loop, fd, std::move(protocol)) {
    ignore_broken_pipe_signal();
    watch_.kind = Operation::Kind::poll;
    watch_.owned = true;
    watch_.fd = fd;
    // A pipe tells of its own accord.
    watch_.events = kind_of_file(fd) == S_IFSOCK ? POLLRDHUP : 0;
    watch_.owner = this;
    watch_.complete = &WritePipeTransport::reader_went;
}

std::shared_ptr<WritePipeTransport> WritePipeTransport::make(EventLoop& loop, Descriptor&& pipe,
                                                             std::shared_ptr<BaseProtocol> protocol,
                                                             Future<void> waiter) {
    auto transport = std::make_shared<WritePipeTransport>(loop, pipe.get(), std::move(protocol));
    transport->begin(std::move(pipe), std::move(waiter));
    return transport;
}

std::string WritePipeTransport::repr() const {
    const std::string size = " bufsize=" + std::to_string(get_write_buffer_size());
    return describe("WritePipeTransport", size.c_str());
}

void WritePipeTransport::begin_operations() {
    if (kind_of_file(fd_) == S_IFCHR) return;
    proactor().submit(watch_);
}

bool WritePipeTransport::busy() const noexcept {
    return watch_.state != Operation::State::idle || (unsent_ != nullptr && unsent_->busy());
}

void WritePipeTransport::reader_went(Operation& operation, int result, bool) {
    auto& self = *static_cast<WritePipeTransport*>(operation.owner);
    const std::shared_ptr<PipeTransport> keep = self.alive_;
    if (result >= 0 && !self.lost_) {
        const bool unsent = self.unsent_ != nullptr && self.unsent_->size() > 0;
        self.force_close(unsent ? make_os_error(EPIPE, "writing to a pipe") : nullptr);
    }
    self.let_go_if_over();
}

void WritePipeTransport::write(std::string_view data) {
    if (data.empty()) return;
    if (lost_count_ != 0 || closing_) {
        count_lost_write(lost_count_,
                         "pipe closed by peer or os.write(pipe, data) raised exception.");
        return;
    }
    if (unsent_ == nullptr) {
        const ssize_t written = ::write(fd_, data.data(), data.size());
        if (written < 0 && errno != EAGAIN && errno != EINTR) {
            const int error = errno;
            ++lost_count_;
            fatal_error(make_os_error(error, "writing"), "Fatal write error on pipe transport");
            return;
        }
        if (written > 0) data.remove_prefix(static_cast<std::size_t>(written));
        if (data.empty()) return;
        unsent_ = std::make_unique<WriteBuffer>(fd_, false, this, &WritePipeTransport::written);
    }
    unsent_->append(data);
    if (!unsent_->busy()) unsent_->submit(proactor());
    flow_.grown(unsent_->size(), *loop_, *this);
}

void WritePipeTransport::written(Operation& operation, int result, bool) {
    auto& self = *static_cast<WritePipeTransport*>(operation.owner);
    const std::shared_ptr<PipeTransport> keep = self.alive_;
    self.buffer_written(result);
    self.let_go_if_over();
}

void WritePipeTransport::buffer_written(int result) {
    if (dropped_) {
        unsent_.reset();
        return;
    }
    if (result == -ECANCELED) return;  // the loop closes
    if (result < 0) {
        ++lost_count_;
        fatal_error(make_os_error(-result, "writing"), "Fatal write error on pipe transport");
        unsent_.reset();
        return;
    }
    unsent_->consume(static_cast<std::size_t>(result));
    flow_.shrunk(unsent_->size(), *loop_, *this);  // may append
    if (dropped_) {
        unsent_.reset();
    } else if (unsent_->size() > 0) {
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
    if (unsent_ != nullptr) return;
    proactor().cancel(watch_);
    schedule_lost(nullptr);
}

void WritePipeTransport::force_close(std::exception_ptr error) {
    if (lost_ || dropped_) return;
    closing_ = true;
    dropped_ = true;
    if (unsent_ != nullptr) {
        unsent_->drop();
        unsent_->cancel(proactor());
    }
    proactor().cancel(watch_);
    schedule_lost(std::move(error));
}

void WritePipeTransport::set_write_buffer_limits(WriteBufferLimits limits) {
    flow_.set_limits(limits);
    flow_.grown(get_write_buffer_size(), *loop_, *this);
}

// ---- connect_read_pipe(), connect_write_pipe() --------------------------------------------

namespace {

template <class PipeEnd>
Coroutine<Connected> connect_pipe(EventLoop& loop, ProtocolFactory factory, int fd) {
    Connected made;
    made.protocol = factory();
    Future<void> waiter = loop.create_future();
    Descriptor pipe(fd);
    try {
        made.transport = PipeEnd::make(loop, std::move(pipe), made.protocol, waiter);
    } catch (...) {
        static_cast<void>(pipe.release());  // still the caller's
        throw;
    }
    auto outcome = co_await try_(waiter);
    if (!outcome) {
        made.transport->close();
        outcome.value();
    }
    co_return made;
}

}  // namespace

Coroutine<Connected> connect_read_pipe(EventLoop& loop, ProtocolFactory factory, int fd) {
    return connect_pipe<ReadPipeTransport>(loop, std::move(factory), fd);
}

Coroutine<Connected> connect_write_pipe(EventLoop& loop, ProtocolFactory factory, int fd) {
    return connect_pipe<WritePipeTransport>(loop, std::move(factory), fd);
}

}  // namespace asyncio::detail
