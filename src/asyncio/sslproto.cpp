#include "sslproto.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <optional>
#include <utility>

#include <asyncio/constants.hpp>
#include <asyncio/log.hpp>
#include <asyncio/streams.hpp>

#include "socket_transport.hpp"
#include "transport_errors.hpp"

namespace asyncio::detail {

namespace {

constexpr std::size_t record = 16 * 1024;  // RFC 8446, section 5.1
constexpr std::size_t batch = 8 * record;  // decrypted for one data_received()
constexpr std::size_t largest_receive = 256 * 1024;

// Where encrypted data is received to, that of all connections of a thread: it is read before
// anything else is received.
thread_local std::unique_ptr<std::byte[]> receive_memory;
// Except by TLS inside of TLS, which is given what is being read out of that memory.
thread_local bool receive_memory_in_use = false;

// Where records are decrypted to. Taken while in use, as what is called may read, too.
thread_local std::unique_ptr<std::array<char, batch>> spare_memory;

class Memory {
  public:
    Memory() : memory_(std::move(spare_memory)) {
        if (memory_ == nullptr) memory_ = std::make_unique_for_overwrite<std::array<char, batch>>();
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory() { spare_memory = std::move(memory_); }
    [[nodiscard]] std::span<char> all() const noexcept { return *memory_; }

  private:
    std::unique_ptr<std::array<char, batch>> memory_;
};

std::string seconds_text(std::chrono::nanoseconds time) {
    std::string text = std::to_string(std::chrono::duration<double>(time).count());
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text += '0';
    return text;
}

template <class E>
std::exception_ptr as_error(int number, const std::string& text) {
    return std::make_exception_ptr(E(number, text));
}

constexpr const char* protocol_error = "Fatal error on SSL protocol";

}  // namespace

// ---- making it ----------------------------------------------------------------------------

SslTransport::SslTransport(EventLoop& loop, std::shared_ptr<BaseProtocol> application,
                           const TlsSettings& settings, Future<void> waiter,
                           bool call_connection_made)
    : loop_(loop),
      context_(settings.context),
      incoming_(std::make_shared<ssl::MemoryBIO>()),
      outgoing_(std::make_shared<ssl::MemoryBIO>()),
      object_(context_->wrap_bio(
          incoming_, outgoing_,
          {.server_side = settings.server_side,
           .server_hostname = settings.server_side ? std::string() : settings.server_hostname,
           .session = {}})),
      waiter_(std::move(waiter)),
      handshake_timeout_(settings.handshake_timeout.value_or(constants::SSL_HANDSHAKE_TIMEOUT)),
      shutdown_timeout_(settings.shutdown_timeout.value_or(constants::SSL_SHUTDOWN_TIMEOUT)),
      told_(call_connection_made ? Application::waiting : Application::connected) {
    application_.set(std::move(application));
    flow_.set_limits({}, constants::FLOW_CONTROL_HIGH_WATER_SSL_WRITE);
    reading_flow_.set_limits({}, constants::FLOW_CONTROL_HIGH_WATER_SSL_READ);
    outgoing_->set_outlet(this);
    link(loop);
}

// The application may hold on to the object over these buffers.
SslTransport::~SslTransport() {
    outgoing_->set_outlet(nullptr);
}

void SslTransport::set_protocol(std::shared_ptr<BaseProtocol> protocol) {
    application_.exchange(std::move(protocol), *loop_);
}

std::any SslTransport::extra_info(std::string_view name) const {
    if (name == "sslcontext") return context_;
    const bool shaken = state_ != State::unwrapped && state_ != State::handshake;
    if (shaken && name == "ssl_object") return object_;
    if (shaken && name == "cipher") {
        if (auto cipher = object_->cipher()) return *cipher;
        return {};
    }
    if (shaken && name == "peercert") {
        if (auto certificate = object_->getpeercert()) return *std::move(certificate);
        return {};
    }
    if (name == "compression") return {};
    return lower_ != nullptr ? lower_->extra_info(name) : std::any();
}

std::string SslTransport::repr() const {
    return "<SSLTransport" + std::string(closing_ ? " closing" : "") + " over " +
           (lower_ != nullptr ? lower_->repr() : "a lost connection") + ">";
}

// ---- the handshake ------------------------------------------------------------------------

void SslTransport::connection_made(std::shared_ptr<Transport> transport) {
    lower_ = std::move(transport);
    state_ = State::handshake;
    timeout_ =
        loop_->call_later(handshake_timeout_, [self = self()] { self->handshake_too_long(); });
    shake_hands();
}

void SslTransport::handshake_too_long() {
    if (state_ != State::handshake) return;
    fatal_error(
        as_error<ConnectionAbortedError>(ECONNABORTED, "SSL handshake is taking longer than " +
                                                           seconds_text(handshake_timeout_) +
                                                           " seconds: aborting the connection"),
        "SSL handshake timed out");
}

void SslTransport::shake_hands() {
    const std::ptrdiff_t outcome = object_->try_handshake();
    if (outcome > 0) {
        handshake_done();
    } else if (outcome == ssl::SSLObject::blocked) {
        send_encrypted();
    } else {
        // The alert that says why goes out first.
        const std::exception_ptr error = object_->error();
        send_encrypted();
        handshake_failed(error);
    }
}

void SslTransport::handshake_failed(std::exception_ptr error) {
    timeout_.cancel();
    state_ = State::unwrapped;
    const auto keep = self();
    fatal_error(error, holds_exception<ssl::SSLCertVerificationError>(error)
                           ? "SSL handshake failed on verifying the certificate"
                           : "SSL handshake failed");
    wake_waiter(error);
}

void SslTransport::handshake_done() {
    timeout_.cancel();
    state_ = State::wrapped;
    send_encrypted();
    if (told_ == Application::waiting) {
        told_ = Application::connected;
        application_.connection_made(self());
    }
    wake_waiter(nullptr);
    encrypt_backlog();
    read();
}

void SslTransport::wake_waiter(const std::exception_ptr& error) {
    const Future<void> waiter = std::exchange(waiter_, Future<void>(nullptr));
    if (!waiter || waiter.done()) return;
    error ? waiter.set_exception(error) : waiter.set_result();
}

// ---- reading ------------------------------------------------------------------------------

std::span<std::byte> SslTransport::lend_memory() noexcept {
    if (receive_memory_in_use) return {};
    if (receive_memory == nullptr) {
        receive_memory.reset(new (std::nothrow) std::byte[largest_receive]);
        if (receive_memory == nullptr) return {};
    }
    return {receive_memory.get(), largest_receive};
}

// Whoever calls it keeps us alive.
void SslTransport::data_received(std::string_view data) {
    incoming_->lend(data);
    struct Loan {
        ssl::MemoryBIO& incoming;
        bool in_use_before = std::exchange(receive_memory_in_use, true);
        ~Loan() noexcept(false) {
            receive_memory_in_use = in_use_before;
            incoming.keep_lent();
        }
    };
    {
        const Loan loan{*incoming_};
        go_on();
    }
    slow_down_or_not();
}

void SslTransport::go_on() {
    switch (state_) {
        case State::handshake:
            shake_hands();
            break;
        case State::wrapped:
            read();
            break;
        case State::flushing:
            flush();
            break;
        case State::shutdown:
            shut_down();
            break;
        case State::unwrapped:
            break;
    }
}

void SslTransport::resume_reading() {
    if (!paused_) return;
    paused_ = false;
    loop_->call_soon([self = self()] {
        if (self->state_ == State::handshake) return;
        self->go_on();
        self->slow_down_or_not();
    });
}

// Gives whether more may be delivered.
bool SslTransport::deliver(std::string_view data) {
    const std::string_view rest = application_.receive(data, [this] { return paused_; });
    if (!rest.empty()) held_.assign(rest);
    return !paused_ && held_.empty();
}

// As many as fit: gives what SSLObject::try_read() gave last.
std::ptrdiff_t SslTransport::read_records(std::span<char> memory, std::size_t& used) noexcept {
    std::ptrdiff_t outcome = 0;
    do {
        outcome = object_->try_read(memory.subspan(used));
        if (outcome <= 0) return outcome;
        used += static_cast<std::size_t>(outcome);
        if (object_->all_read()) return ssl::SSLObject::blocked;
    } while (memory.size() - used >= record);
    return outcome;
}

// Hands on what there is. Gives whether the peer's farewell was among it.
bool SslTransport::read_all() {
    if (!held_.empty() && !deliver(std::exchange(held_, {}))) return false;
    std::optional<Memory> own;
    for (;;) {
        // Where it belongs in the end, if there is such a place yet.
        const std::span<std::byte> lent = application_.lend_memory();
        std::span<char> memory(reinterpret_cast<char*>(lent.data()), lent.size());
        if (lent.empty()) {
            if (!own) own.emplace();
            memory = own->all();
        }
        std::size_t used = 0;
        const std::ptrdiff_t outcome = read_records(memory, used);
        const std::exception_ptr error =
            outcome == ssl::SSLObject::failed ? object_->error() : nullptr;
        const bool more = used == 0 || deliver({memory.data(), used});
        if (error) std::rethrow_exception(error);
        if (outcome == ssl::SSLObject::ended) return true;
        if (outcome == ssl::SSLObject::blocked || !more) return false;
        if (state_ != State::wrapped && state_ != State::flushing) return false;
    }
}

void SslTransport::read() {
    if (state_ != State::wrapped && state_ != State::flushing) return;
    if (paused_) return;
    try {
        const bool ended = read_all();
        send_encrypted();  // what the library has to answer: new keys, an alert
        if (ended) {
            tell_of_end();
            start_shutdown();
        }
    } catch (...) {
        const std::exception_ptr error = current_error_unless_fatal();
        send_encrypted();
        fatal_error(error, protocol_error);
    }
}

void SslTransport::slow_down_or_not() {
    if (lower_ == nullptr) return;
    const auto [low, high] = reading_flow_.limits();
    const std::size_t waiting = incoming_->pending();
    if (waiting >= high && !lower_reading_paused_) {
        lower_reading_paused_ = true;
        lower_->pause_reading();
    } else if (waiting <= low && lower_reading_paused_) {
        lower_reading_paused_ = false;
        lower_->resume_reading();
    }
}

void SslTransport::set_read_buffer_limits(WriteBufferLimits limits) {
    reading_flow_.set_limits(limits, constants::FLOW_CONTROL_HIGH_WATER_SSL_READ);
    slow_down_or_not();
}

bool SslTransport::eof_received() {
    const auto keep = self();
    lower_ended_ = true;
    switch (state_) {
        case State::handshake:
            handshake_failed(as_error<ConnectionResetError>(
                ECONNRESET, "the peer closed the connection during the TLS handshake"));
            break;
        case State::wrapped:
            state_ = State::flushing;
            if (paused_) return true;  // what is left is read first
            flush();
            break;
        case State::flushing:
            encrypt_backlog();
            state_ = State::shutdown;
            shut_down();
            break;
        case State::shutdown:
            shut_down();
            break;
        case State::unwrapped:
            break;
    }
    return false;
}

void SslTransport::tell_of_end() {
    if (told_ != Application::connected) return;
    told_ = Application::at_end;
    try {
        if (application_.eof_received()) {
            log(LogLevel::warning,
                "returning true from eof_received() has no effect when using ssl");
        }
    } catch (...) {
        fatal_error(current_error_unless_fatal(), "Error calling eof_received()");
    }
}

// ---- writing ------------------------------------------------------------------------------

std::size_t SslTransport::get_write_buffer_size() const noexcept {
    return backlog_.size() + outgoing_->pending();
}

void SslTransport::set_write_buffer_limits(WriteBufferLimits limits) {
    flow_.set_limits(limits, constants::FLOW_CONTROL_HIGH_WATER_SSL_WRITE);
    flow_.grown(get_write_buffer_size(), *loop_, *this);
}

bool SslTransport::may_write() {
    // Between its making and the handshake it is unwrapped, too, but not closing.
    const bool open = state_ == State::handshake || state_ == State::wrapped ||
                      (state_ == State::unwrapped && !closing_);
    if (!open) count_lost_write(lost_count_, "SSL connection is closed");
    return open;
}

void SslTransport::write(std::string_view data) {
    if (data.empty() || !may_write()) return;
    if (state_ == State::wrapped && !lower_paused_ && backlog_.empty()) {
        encrypt(data);
    } else {
        backlog_ += data;
    }
    flow_.grown(get_write_buffer_size(), *loop_, *this);
}

void SslTransport::write_pieces(std::span<const std::string_view> pieces) {
    if (pieces.size() == 1) return write(pieces.front());
    // As few records as it takes.
    std::string joined;
    for (const std::string_view piece : pieces) joined += piece;
    write(joined);
}

// Only when the handshake is done.
void SslTransport::encrypt(std::string_view data) {
    while (!data.empty()) {
        if (lower_paused_ && state_ == State::wrapped) {
            backlog_ += data;
            return;
        }
        last_record_ = data.size() <= record;
        const std::ptrdiff_t outcome = object_->try_write(data.substr(0, batch));
        last_record_ = false;
        if (outcome == ssl::SSLObject::blocked) {
            backlog_ += data;
            break;
        }
        if (outcome <= 0) {
            send_encrypted();
            fatal_error(object_->error(), protocol_error);
            return;
        }
        data.remove_prefix(static_cast<std::size_t>(outcome));
        if (outgoing_->pending() >= batch) send_encrypted();
    }
    send_encrypted();
}

void SslTransport::encrypt_backlog() {
    if (backlog_.empty() || state_ == State::handshake || state_ == State::unwrapped) return;
    encrypt(std::exchange(backlog_, {}));
    flow_.shrunk(get_write_buffer_size(), *loop_, *this);
}

void SslTransport::send_encrypted() {
    const std::string_view data = outgoing_->unread();
    if (data.empty() || lower_ == nullptr) return;
    lower_->write(data);
    outgoing_->consume(data.size());
}

// A record that has no others to go with is sent out of OpenSSL's own memory.
bool SslTransport::take(std::string_view record) noexcept {
    if (!last_record_ || outgoing_->pending() > 0) return false;
    if (lower_ == nullptr || lower_->is_closing()) return false;
    try {
        lower_->write(record);
        return true;
    } catch (...) {
        return false;  // send_encrypted() comes upon it, too, and may throw
    }
}

void SslTransport::resume_writing() {
    const auto keep = self();
    lower_paused_ = false;
    encrypt_backlog();
}

void SslTransport::write_eof() {
    throw NotImplementedError("TLS has no half-closed connections: write_eof() is not there");
}

// ---- the end ------------------------------------------------------------------------------

void SslTransport::close() {
    if (closing_) return;
    closing_ = true;
    const auto keep = self();
    start_shutdown();
}

void SslTransport::abort() {
    closing_ = true;
    const auto keep = self();
    force_close(nullptr);
}

void SslTransport::start_shutdown() {
    if (state_ != State::handshake && state_ != State::wrapped) return;
    closing_ = true;
    if (state_ == State::handshake) {
        force_close(nullptr);
        return;
    }
    state_ = State::flushing;
    timeout_ = loop_->call_later(shutdown_timeout_, [self = self()] {
        if (self->state_ != State::flushing && self->state_ != State::shutdown) return;
        self->force_close(std::make_exception_ptr(TimeoutError("SSL shutdown timed out")));
    });
    flush();
}

void SslTransport::flush() {
    read();
    if (state_ != State::flushing) return;
    encrypt_backlog();
    if (state_ != State::flushing) return;
    state_ = State::shutdown;
    shut_down();
}

void SslTransport::shut_down() {
    if (lower_ended_) {
        send_encrypted();
        tell_of_end();
        shut_down_done(nullptr);
        return;
    }
    object_->say_farewell();
    send_encrypted();
    // What the peer sent before it heard of it nobody wants any more.
    const Memory memory;
    std::ptrdiff_t outcome = 1;
    while (outcome > 0) outcome = object_->try_read(memory.all());
    if (outcome == ssl::SSLObject::blocked) return;
    if (outcome == ssl::SSLObject::failed) {
        shut_down_done(object_->error());
        return;
    }
    tell_of_end();
    shut_down_done(nullptr);
}

void SslTransport::shut_down_done(std::exception_ptr error) {
    timeout_.cancel();
    if (error) {
        fatal_error(std::move(error), "SSL shutdown failed");
    } else {
        loop_->call_soon([self = self()] {
            if (self->lower_ != nullptr) self->lower_->close();
        });
    }
}

void SslTransport::force_close(std::exception_ptr error) {
    state_ = State::unwrapped;
    closing_ = true;
    timeout_.cancel();
    if (error_ == nullptr) error_ = std::move(error);
    if (lower_ != nullptr) lower_->abort();
}

void SslTransport::fatal_error(std::exception_ptr error, const char* message) {
    // A peer that goes away or speaks no TLS is nothing to report.
    if (!holds_exception<OSError>(error)) report_of_transport(*loop_, *this, message, error);
    const bool shaking = state_ == State::handshake;
    closing_ = true;
    if (error_ == nullptr) error_ = std::move(error);
    if (lower_ != nullptr) lower_->abort();
    // connection_lost() of a handshake must not reach the application.
    if (!shaking) timeout_.cancel();
}

void SslTransport::connection_lost(std::exception_ptr error) {
    const auto keep = self();
    if (!error) error = error_;
    backlog_.clear();
    closing_ = true;
    ++lost_count_;
    timeout_.cancel();
    const bool shaking = state_ == State::handshake;
    state_ = State::unwrapped;
    const std::shared_ptr<BaseProtocol> application = application_.take();
    const bool connected = told_ == Application::connected || told_ == Application::at_end;
    // Also one that was connected before a start_tls() that ends in its handshake. Python forgets
    // that one, and who waits for its end waits for ever.
    if (connected) {
        told_ = Application::lost;
        loop_->call_soon([self = self(), application, error] {
            guard_callback(*self->loop_, *self, "protocol.connection_lost() failed",
                           [&] { application->connection_lost(error); });
        });
    }
    lower_.reset();
    unlink();
    // Closed before the handshake was over.
    if (!error && shaking) {
        error = as_error<ConnectionAbortedError>(
            ECONNABORTED, "the connection was closed during the TLS handshake");
    }
    wake_waiter(error);
}

// Without connection_lost(), as for every transport.
void SslTransport::loop_closed() noexcept {
    const auto keep = self();
    state_ = State::unwrapped;
    closing_ = true;
    const std::shared_ptr<BaseProtocol> application = application_.take();
    const std::shared_ptr<Transport> lower = std::move(lower_);
}

// ---- where plain connections meet TLS -----------------------------------------------------

std::shared_ptr<Transport> make_ssl_transport(EventLoop& loop, Descriptor socket,
                                              std::shared_ptr<BaseProtocol> protocol,
                                              const TlsSettings& settings, Future<void> waiter,
                                              std::shared_ptr<ServerState> server) {
    auto transport = std::make_shared<SslTransport>(loop, std::move(protocol), settings,
                                                    std::move(waiter), true);
    SocketTransport::make(loop, std::move(socket), transport, Future<void>(nullptr),
                          std::move(server));
    return transport;
}

std::shared_ptr<Transport> wrap_transport(std::shared_ptr<Transport> lower,
                                          std::shared_ptr<BaseProtocol> protocol, EventLoop& loop,
                                          const TlsSettings& settings, Future<void> waiter) {
    if (dynamic_cast<SocketTransport*>(lower.get()) == nullptr &&
        dynamic_cast<SslTransport*>(lower.get()) == nullptr) {
        throw TypeError("transport " + lower->repr() + " is not supported by start_tls()");
    }
    const auto stream = std::dynamic_pointer_cast<StreamReaderProtocol>(protocol);
    auto transport = std::make_shared<SslTransport>(loop, std::move(protocol), settings,
                                                    std::move(waiter), false);
    // What came behind the last line that was read is the beginning of TLS. In the reader it
    // would pass for something that was encrypted.
    std::string unread = stream != nullptr ? stream->take_unread() : std::string();
    const bool ended = stream != nullptr && stream->has_ended();
    // No data before connection_made().
    lower->pause_reading();
    lower->set_protocol(transport);
    loop.call_soon([transport, lower, unread = std::move(unread), ended] {
        if (lower->is_closing()) return;
        transport->connection_made(lower);
        if (!unread.empty()) transport->data_received(unread);
        if (ended) transport->eof_received();  // nobody tells it again
    });
    loop.call_soon([lower] { lower->resume_reading(); });
    return transport;
}

}  // namespace asyncio::detail
