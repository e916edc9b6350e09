// TLS over any byte transport: the protocol of that one, and the transport of the application.
//
// Both in one object, which the lower transport holds as its protocol until the connection is
// lost, and the application as its transport for as long as it likes.
//
// Source: Python's asyncio.sslproto.
#pragma once

#include <asyncio/futures.hpp>
#include <asyncio/protocols.hpp>
#include <asyncio/ssl.hpp>
#include <asyncio/transports.hpp>
#include <memory>
#include <string>

#include "flow_control.hpp"
#include "loop_state.hpp"
#include "protocol_slot.hpp"
#include "tls_hook.hpp"

namespace asyncio::detail {

class SslTransport final : public SSLTransport,
                           public Protocol,
                           public LoopResource,
                           private ssl::MemoryBIO::Outlet {
  public:
    // The handshake begins with connection_made() of the lower transport. The application's
    // protocol is told of its connection after the handshake, unless it was told before.
    // Throws: as SSLContext::wrap_bio(); TypeError for a protocol of another kind.
    SslTransport(EventLoop& loop, std::shared_ptr<BaseProtocol> application,
                 const TlsSettings& settings, Future<void> waiter, bool call_connection_made);
    ~SslTransport() override;

    // ---- the application's transport ----------------------------------------------------
    void close() override;
    [[nodiscard]] bool is_closing() const noexcept override {
        // Also once the peer has ended it and only reading is left, which may be paused.
        return closing_ || state_ == State::flushing || state_ == State::shutdown;
    }
    [[nodiscard]] std::any extra_info(std::string_view name) const override;
    void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
    [[nodiscard]] std::shared_ptr<BaseProtocol> get_protocol() const override {
        return application_.get();
    }
    [[nodiscard]] std::string repr() const override;
    [[nodiscard]] bool is_reading() const noexcept override { return !paused_ && !closing_; }
    void pause_reading() override { paused_ = true; }
    void resume_reading() override;
    void write(std::string_view data) override;
    void write_pieces(std::span<const std::string_view> pieces) override;
    void write_eof() override;
    [[nodiscard]] bool can_write_eof() const noexcept override { return false; }
    void abort() override;
    void set_write_buffer_limits(WriteBufferLimits limits) override;
    [[nodiscard]] std::pair<std::size_t, std::size_t> get_write_buffer_limits() const override {
        return flow_.limits();
    }
    [[nodiscard]] std::size_t get_write_buffer_size() const noexcept override;

    void set_read_buffer_limits(WriteBufferLimits limits) override;
    [[nodiscard]] std::pair<std::size_t, std::size_t> get_read_buffer_limits() const override {
        return reading_flow_.limits();
    }
    [[nodiscard]] std::size_t get_read_buffer_size() const noexcept override {
        return incoming_->pending();
    }

    // ---- the lower transport's protocol -------------------------------------------------
    void connection_made(std::shared_ptr<Transport> transport) override;
    void connection_lost(std::exception_ptr error) override;
    void data_received(std::string_view data) override;
    [[nodiscard]] std::span<std::byte> lend_memory() noexcept override;
    bool eof_received() override;
    void pause_writing() override { lower_paused_ = true; }
    void resume_writing() override;

    void loop_closed() noexcept override;

  private:
    enum class State : std::uint8_t { unwrapped, handshake, wrapped, flushing, shutdown };
    enum class Application : std::uint8_t { waiting, connected, at_end, lost };

    [[nodiscard]] std::shared_ptr<SslTransport> self() noexcept {
        return {BaseTransport::weak_from_this().lock(), this};
    }
    // -- the handshake
    void shake_hands();
    void handshake_done();
    void handshake_failed(std::exception_ptr error);
    void handshake_too_long();
    void wake_waiter(const std::exception_ptr& error);
    // -- data
    void go_on();
    void read();
    bool read_all();
    bool deliver(std::string_view data);
    [[nodiscard]] std::ptrdiff_t read_records(std::span<char> memory, std::size_t& used) noexcept;
    void slow_down_or_not();
    [[nodiscard]] bool may_write();
    void encrypt(std::string_view data);
    void encrypt_backlog();
    void send_encrypted();
    [[nodiscard]] bool take(std::string_view record) noexcept override;
    // -- the end
    void start_shutdown();
    void flush();
    void shut_down();
    void shut_down_done(std::exception_ptr error);
    void tell_of_end();
    void force_close(std::exception_ptr error);
    void fatal_error(std::exception_ptr error, const char* message);

    LoopReference loop_;
    std::shared_ptr<ssl::SSLContext> context_;
    std::shared_ptr<ssl::MemoryBIO> incoming_;
    std::shared_ptr<ssl::MemoryBIO> outgoing_;
    std::shared_ptr<ssl::SSLObject> object_;
    std::shared_ptr<Transport> lower_;  // until the connection is lost
    ProtocolSlot application_;
    Future<void> waiter_;
    TimerHandle timeout_;
    std::chrono::nanoseconds handshake_timeout_;
    std::chrono::nanoseconds shutdown_timeout_;
    FlowControl flow_;
    FlowControl reading_flow_;  // its limits only
    std::string backlog_;       // plain text: written before the handshake, or while lower_paused_
    std::string held_;          // plain text that its reader, having paused, did not take
    std::exception_ptr error_;  // why we ended the connection
    State state_ = State::unwrapped;
    Application told_;
    bool closing_ = false;
    bool paused_ = false;
    bool lower_paused_ = false;  // for writing
    bool lower_reading_paused_ = false;
    bool last_record_ = false;      // is what OpenSSL writes now
    bool lower_ended_ = false;      // end of file, with or without a farewell
    std::uint32_t lost_count_ = 0;  // writes since the end
};

}  // namespace asyncio::detail
