// The transport over a connected stream socket: TCP and Unix.
//
// An idle one holds no read buffer: what arrives is delivered out of memory of the proactor's.
// What is written goes to the kernel at once; only the rest, if any, is copied.
//
// It holds itself from the moment it is made until connection_lost() has been called and the
// kernel is done with its operations, or until its loop closes.
#pragma once

#include <asyncio/futures.hpp>
#include <asyncio/transports.hpp>
#include <memory>
#include <string>

#include "flow_control.hpp"
#include "loop_state.hpp"
#include "proactors/descriptor.hpp"
#include "protocol_slot.hpp"
#include "receiving.hpp"
#include "small_address.hpp"
#include "write_buffer.hpp"

namespace asyncio::detail {

class ServerState;

struct ServerLinks {
    ServerLinks* next = nullptr;
    ServerLinks* previous = nullptr;
};

class SocketTransport final : public Transport,
                              public LoopResource,
                              public ServerLinks,
                              private ReceivingTransport {
  public:
    // Takes the descriptor over. connection_made(), the start of reading and the completion of
    // `waiter` (which may be null) are three callbacks, in that order, of the next iteration.
    // Throws: TypeError for a protocol of another kind.
    static std::shared_ptr<SocketTransport> make(EventLoop& loop, Descriptor socket,
                                                 std::shared_ptr<BaseProtocol> protocol,
                                                 Future<void> waiter = Future<void>(nullptr),
                                                 std::shared_ptr<ServerState> server = nullptr);
    SocketTransport(EventLoop& loop, Descriptor socket, std::shared_ptr<BaseProtocol> protocol,
                    std::shared_ptr<ServerState> server);
    ~SocketTransport() override;

    [[nodiscard]] EventLoop& loop() const noexcept override { return *loop_; }
    [[nodiscard]] int fileno() const noexcept { return socket_.get(); }

    void close() override;
    [[nodiscard]] [[gnu::hot]] bool is_closing() const noexcept override { return closing_; }
    [[nodiscard]] std::any extra_info(std::string_view name) const override;
    void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
    [[nodiscard]] std::shared_ptr<BaseProtocol> get_protocol() const override {
        return protocol_.get();
    }
    [[nodiscard]] std::string repr() const override;

    [[nodiscard]] bool is_reading() const noexcept override { return input_.active(); }
    void pause_reading() override { input_.pause(); }
    void resume_reading() override { input_.resume(); }

    void write(std::string_view data) override;
    void write_pieces(std::span<const std::string_view> pieces) override;
    void write_eof() override;
    [[nodiscard]] bool can_write_eof() const noexcept override { return true; }
    void abort() override { force_close(nullptr); }
    void set_write_buffer_limits(WriteBufferLimits limits) override;
    [[nodiscard]] std::pair<std::size_t, std::size_t> get_write_buffer_limits() const override {
        return flow_.limits();
    }
    [[nodiscard]] std::size_t get_write_buffer_size() const noexcept override {
        return unsent_ != nullptr ? unsent_->size() : 0;
    }

    // Has the socket's writing side for itself while it exists: the protocol's writes throw, and
    // reading is paused.
    class FileTurn {
      public:
        explicit FileTurn(SocketTransport& transport);
        FileTurn(const FileTurn&) = delete;
        FileTurn& operator=(const FileTurn&) = delete;
        ~FileTurn();
        // Done once everything written before is with the kernel.
        // Throws: ConnectionError when the connection is lost before.
        [[nodiscard]] Future<void> begun() const noexcept { return transport_->emptied_; }

      private:
        std::shared_ptr<SocketTransport> transport_;
        bool was_reading_;
    };

    // Ends the connection because of `error`, which the protocol is given. Unless it is an
    // OSError, the exception handler is told too.
    void fatal_error(std::exception_ptr error, const char* message);
    void loop_closed() noexcept override;

  private:
    [[nodiscard]] Proactor& proactor() const noexcept {
        return *EventLoop::Internals::state(*loop_).proactor;
    }
    [[nodiscard]] std::shared_ptr<SocketTransport> self() noexcept {
        return {weak_from_this().lock(), this};
    }

    void begin(Future<void> waiter);
    // -- reading
    friend class ReceivingFor<SocketTransport>;
    std::string_view take_input(std::string_view data) override;
    [[nodiscard]] std::span<std::byte> lend_memory() noexcept override {
        return protocol_.lend_memory();
    }
    void take_end(int result) override;
    void receiving_over() noexcept override { let_go_if_over(); }
    [[nodiscard]] std::shared_ptr<void> keep_alive() noexcept override {
        return alive_ != nullptr ? alive_ : self();
    }
    // -- writing
    [[nodiscard]] bool may_write(std::size_t size);
    [[nodiscard]] bool may_write_late(std::size_t size);
    [[nodiscard]] ssize_t send_now(std::string_view data) const noexcept;
    void send_rest(std::string_view data, ssize_t sent);
    void send_later(std::string_view data);
    static void sent(Operation& operation, int result, bool more);
    void buffer_sent(int result);
    void buffer_empty();
    // -- ending
    void begin_closing() noexcept;
    void force_close(std::exception_ptr error);
    void schedule_lost(std::exception_ptr error);
    void lose(const std::exception_ptr& error);
    void give_back() noexcept;
    void let_go_if_over() noexcept;

    LoopReference loop_;
    Descriptor socket_;
    std::uint32_t lost_count_ = 0;  // positive once connection_lost() is due; counts writes
    SmallAddress peer_;
    bool closing_ = false;
    bool eof_written_ = false;
    bool lost_ = false;  // connection_lost() was called
    FlowControl flow_;
    ProtocolSlot protocol_;
    ReceivingFor<SocketTransport> input_;
    std::unique_ptr<WriteBuffer> unsent_;
    Future<void> emptied_{nullptr};  // there while a file is sent
    std::shared_ptr<ServerState> server_;
    std::shared_ptr<SocketTransport> alive_;  // itself
};

}  // namespace asyncio::detail
