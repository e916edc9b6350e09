#include <asyncio/streams.hpp>

#include <asyncio/futures.hpp>
#include <asyncio/log.hpp>

namespace asyncio {

// ---- the writer's state -------------------------------------------------------------------

namespace detail {

WriterState::WriterState(std::shared_ptr<Transport> transport_given,
                         std::shared_ptr<StreamReaderProtocol> protocol_given,
                         Ref<ReaderState> reader_given) noexcept
    : transport(std::move(transport_given)),
      protocol(std::move(protocol_given)),
      reader(std::move(reader_given)) {}

WriterState::~WriterState() {
    if (!transport->is_closing()) close_forgotten();
}

void WriterState::destroy() noexcept {
    delete this;
}

void WriterState::close_forgotten() noexcept {
    try {
        const EventLoop& loop = protocol->loop();
        if (loop.is_closed()) {
            log(LogLevel::warning, "loop is closed");
            return;
        }
        if (loop.get_debug()) {
            log(LogLevel::warning, "unclosed <StreamWriter transport=" + transport->repr() +
                                       ">; call close() on every stream");
        }
        transport->close();
    } catch (...) {
        // Out of a destructor; there is nobody to tell.
    }
}

[[gnu::hot]] bool DrainAwaiter::await_ready() const noexcept {
    const WriterState& writer = *writer_;
    return !(writer.reader && writer.reader->exception()) && !writer.protocol->must_drain() &&
           !writer.transport->is_closing();
}

void DrainAwaiter::finish_waiting() {
    slow_->await_resume();
}

Coroutine<void> DrainAwaiter::wait(Ref<WriterState> writer) {
    if (writer->reader && writer->reader->exception()) {
        std::rethrow_exception(writer->reader->exception());
    }
    // So that a loop of write() and drain() comes to see that its connection is lost.
    if (writer->transport->is_closing()) co_await sleep(0);
    co_await writer->protocol->wait_drained();
}

ClientHandler::~ClientHandler() = default;

}  // namespace detail

// ---- StreamWriter -------------------------------------------------------------------------

StreamWriter::StreamWriter(std::shared_ptr<Transport> transport,
                           std::shared_ptr<StreamReaderProtocol> protocol,
                           std::optional<StreamReader> reader, EventLoop&)
    : state_(new detail::WriterState(std::move(transport), std::move(protocol),
                                     reader ? reader->state() : nullptr)) {}

const std::shared_ptr<Transport>& StreamWriter::transport() const noexcept {
    return state_->transport;
}

[[gnu::hot]] void StreamWriter::write(std::string_view data) const {
    state_->transport->write(data);
}

void StreamWriter::write(std::span<const std::byte> data) const {
    state_->transport->WriteTransport::write(data);
}

Coroutine<void> StreamWriter::start_tls(std::shared_ptr<ssl::SSLContext> context,
                                        StartTlsOptions options) const {
    const StreamWriter self = *this;
    options.server_side = self.state_->protocol->serves();
    co_await self.drain();
    const std::shared_ptr<Transport> secure = co_await self.state_->protocol->loop().start_tls(
        self.transport(), self.state_->protocol, std::move(context), std::move(options));
    self.state_->transport = secure;
    self.state_->protocol->replace_transport(secure);
}

Coroutine<void> StreamWriter::wait_closed() const {
    return state_->protocol->wait_closed();
}

std::string StreamWriter::repr() const {
    std::string text = "<StreamWriter transport=" + transport()->repr();
    if (state_->reader) text += " reader=" + state_->reader->repr();
    return text + ">";
}

// ---- StreamReaderProtocol -----------------------------------------------------------------

struct StreamReaderProtocol::Waiting {
    detail::LoopBinding loop;
    detail::WaitLine draining;
    detail::WaitLine closing;
};

// Waits in one of the lines.
class StreamReaderProtocol::Wait final : public detail::Waiter {
  public:
    Wait(Waiting& waiting, detail::WaitLine& line) noexcept : waiting_(waiting), line_(line) {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) {
        line_.wait(*this, detail::FrameLink(frame), waiting_.loop, "stream");
    }
    void await_resume() { finish_signal(); }

  private:
    Waiting& waiting_;
    detail::WaitLine& line_;
};

struct StreamReaderProtocol::WaitFor {
    Waiting& waiting;
    detail::WaitLine& line;
    using asyncio_native_awaiter = void;
    Wait operator co_await() const noexcept { return {waiting, line}; }
};

StreamReaderProtocol::Waiting& StreamReaderProtocol::waiting() {
    if (waiting_ == nullptr) {
        waiting_ = std::make_unique<Waiting>();
        waiting_->loop.bind(loop(), "stream");  // whoever waits: its own loop wakes them
    }
    return *waiting_;
}

void StreamReaderProtocol::wake(detail::WaitLine Waiting::* line) noexcept {
    if (waiting_ == nullptr) return;
    while ((*waiting_.*line).has_waiting()) (*waiting_.*line).wake_first_and_forget();
}

StreamReaderProtocol::StreamReaderProtocol(StreamReader reader,
                                           detail::Ref<detail::ClientHandler> handler)
    : reader_(reader.state()), handler_(std::move(handler)) {}

StreamReaderProtocol::~StreamReaderProtocol() = default;

namespace {

// What start_server() does when the task of a handler is done. A done callback as any, but an
// idle connection pays for no handle.
class HandlerWatch final : public detail::DoneNode, public detail::Recycled {
  public:
    static void start(const AnyTask& task, std::shared_ptr<Transport> transport,
                      detail::Ref<detail::ClientHandler> handler) {
        auto* const watch = new HandlerWatch(std::move(transport), std::move(handler));
        detail::FutureBase& future = task.state();
        if (future.done()) {
            watch->fire(future);
        } else {
            future.add_waiter(watch);
        }
    }

    void fire(detail::FutureBase& task) noexcept override {
        std::unique_ptr<HandlerWatch> self(this);
        auto* const previous = detail::exchange_current_context(&context_);
        try {
            task.loop().call_soon(
                [self = std::move(self), task = AnyFuture(detail::Ref<detail::FutureBase>(&task))] {
                    self->finish(task);
                });
        } catch (...) {
            // The loop is closed, or memory is out: the transport ends with its last handle.
        }
        detail::exchange_current_context(previous);
    }
    void abandon() noexcept override { delete this; }

  private:
    HandlerWatch(std::shared_ptr<Transport> transport, detail::Ref<detail::ClientHandler> handler)
        : transport_(std::move(transport)),
          handler_(std::move(handler)),
          context_(detail::copy_current_context()) {}

    void finish(const AnyFuture& task) const {
        const std::exception_ptr error = task.cancelled() ? nullptr : task.exception();
        if (!task.cancelled() && !error) return;
        if (error) {
            ExceptionContext context;
            context.message = "Unhandled exception in client_connected_cb";
            context.exception = error;
            context.transport = transport_;
            task.get_loop().call_exception_handler(context);
        }
        transport_->close();
    }

    std::shared_ptr<Transport> transport_;
    detail::Ref<detail::ClientHandler> handler_;  // lives until its last task is done
    detail::ContextSlot context_;
};

}  // namespace

void StreamReaderProtocol::connection_made(std::shared_ptr<Transport> transport) {
    reader_->set_transport(transport);
    over_ssl_ = transport->extra_info("sslcontext").has_value();
    if (!handler_) return;
    EventLoop& loop = reader_->loop();
    const StreamReader reader(reader_);
    const AnyTask task =
        handler_->start(loop, reader, StreamWriter(transport, shared_from_this(), reader, loop));
    if (task) HandlerWatch::start(task, std::move(transport), handler_);
}

void StreamReaderProtocol::connection_lost(std::exception_ptr error) {
    lost_ = true;
    error_ = error;
    if (error) {
        reader_->set_exception(error);
    } else {
        reader_->feed_eof();
    }
    wake(&Waiting::closing);
    wake(&Waiting::draining);
    handler_ = nullptr;
}

[[gnu::hot]] void StreamReaderProtocol::data_received(std::string_view data) {
    reader_->feed_data(data);
}

[[gnu::hot]] std::span<std::byte> StreamReaderProtocol::lend_memory() noexcept {
    return reader_->lend_memory();
}

bool StreamReaderProtocol::eof_received() {
    reader_->feed_eof();
    // TLS has no half-open connections.
    return !over_ssl_;
}

void StreamReaderProtocol::pause_writing() {
    paused_ = true;
}

void StreamReaderProtocol::resume_writing() {
    paused_ = false;
    wake(&Waiting::draining);
}

Coroutine<void> StreamReaderProtocol::wait_drained() {
    const auto keep = shared_from_this();
    if (lost_) throw_os_error(ECONNRESET, "Connection lost");
    if (!paused_) co_return;
    co_await WaitFor{waiting(), waiting().draining};
    if (lost_ && error_) std::rethrow_exception(error_);
}

Coroutine<void> StreamReaderProtocol::wait_closed() {
    const auto keep = shared_from_this();
    if (!lost_) co_await WaitFor{waiting(), waiting().closing};
    if (error_) std::rethrow_exception(error_);
}

void StreamReaderProtocol::replace_transport(const std::shared_ptr<Transport>& transport) {
    reader_->replace_transport(transport);
    over_ssl_ = transport->extra_info("sslcontext").has_value();
}

// ---- connections and servers --------------------------------------------------------------

namespace {

detail::ProtocolFactory stream_factory(EventLoop& loop, detail::Ref<detail::ClientHandler> handler,
                                       std::size_t limit) {
    // Now, rather than with each connection.
    static_cast<void>(StreamReader(loop, static_cast<std::ptrdiff_t>(limit)));
    return [&loop, handler = std::move(handler), limit]() -> std::shared_ptr<BaseProtocol> {
        const StreamReader reader(loop, static_cast<std::ptrdiff_t>(limit));
        return std::make_shared<StreamReaderProtocol>(reader, handler);
    };
}

}  // namespace

namespace {

// `connect(factory)` makes the connection.
template <class Connect>
Coroutine<StreamPair> open_stream(EventLoop& loop, std::size_t limit, Connect connect) {
    const StreamReader reader(loop, static_cast<std::ptrdiff_t>(limit));
    const auto protocol = std::make_shared<StreamReaderProtocol>(reader);
    const detail::Connected made = co_await connect([protocol] { return protocol; });
    co_return {reader, StreamWriter(made.transport, protocol, reader, loop)};
}

}  // namespace

Coroutine<StreamPair> open_connection(std::string host, int port, ConnectionOptions options) {
    EventLoop& loop = get_running_loop();
    const std::size_t limit = options.limit;
    co_return co_await open_stream(loop, limit, [&](detail::ProtocolFactory factory) {
        return detail::connect_host(loop, std::move(factory), {std::move(host), port},
                                    std::move(options));
    });
}

Coroutine<StreamPair> open_connection(ConnectionOptions options) {
    EventLoop& loop = get_running_loop();
    const std::size_t limit = options.limit;
    co_return co_await open_stream(loop, limit, [&](detail::ProtocolFactory factory) {
        return detail::connect_socket(loop, std::move(factory), std::move(options));
    });
}

Coroutine<StreamPair> detail::open_unix_stream(std::optional<std::string> path,
                                               UnixConnectionOptions options) {
    EventLoop& loop = get_running_loop();
    const std::size_t limit = options.limit;
    co_return co_await open_stream(loop, limit, [&](ProtocolFactory factory) {
        return connect_unix(loop, std::move(factory), std::move(path), std::move(options));
    });
}

Coroutine<Server> detail::serve_streams(Ref<ClientHandler> handler, std::vector<std::string> hosts,
                                        int port, ServerOptions options) {
    EventLoop& loop = get_running_loop();
    ProtocolFactory factory = stream_factory(loop, std::move(handler), options.limit);
    co_return co_await serve_hosts(loop, std::move(factory), std::move(hosts), port,
                                   std::move(options));
}

Coroutine<Server> detail::serve_streams(Ref<ClientHandler> handler, ServerOptions options) {
    EventLoop& loop = get_running_loop();
    ProtocolFactory factory = stream_factory(loop, std::move(handler), options.limit);
    co_return co_await serve_socket(loop, std::move(factory), std::move(options));
}

Coroutine<Server> detail::serve_unix_streams(Ref<ClientHandler> handler,
                                             std::optional<std::string> path,
                                             UnixServerOptions options) {
    EventLoop& loop = get_running_loop();
    ProtocolFactory factory = stream_factory(loop, std::move(handler), options.limit);
    co_return co_await serve_unix(loop, std::move(factory), std::move(path), std::move(options));
}

}  // namespace asyncio
