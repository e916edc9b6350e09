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
#include "small_address.hpp"
#include "write_buffer.hpp"

namespace asyncio::detail {

class ServerState;

struct ServerLinks {
    ServerLinks* next = nullptr;
    ServerLinks* previous = nullptr;
};

class SocketTransport final : public Transport, public LoopResource, public ServerLinks {
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

    [[nodiscard]] EventLoop& loop() const noexcept { return *loop_; }
    [[nodiscard]] int fileno() const noexcept { return socket_.get(); }

    void close() override;
    [[nodiscard]] bool is_closing() const noexcept override { return closing_; }
    [[nodiscard]] std::any extra_info(std::string_view name) const override;
    void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
    [[nodiscard]] std::shared_ptr<BaseProtocol> get_protocol() const override {
        return protocol_.get();
    }
    [[nodiscard]] std::string repr() const override;

    [[nodiscard]] bool is_reading() const noexcept override { return !closing_ && !paused_; }
    void pause_reading() override;
    void resume_reading() override;

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
    void start_receiving();
    void stop_receiving();
    static void received(Operation& operation, int result, bool more);
    void take_input(std::string_view data);
    void deliver(std::string_view data);
    void deliver_held();
    void input_ended(int result);
    void end_of_input(int result);
    // -- writing
    [[nodiscard]] bool may_write(std::size_t size);
    [[nodiscard]] std::ptrdiff_t send_now(std::string_view data);
    void send_later(std::string_view data);
    static void sent(Operation& operation, int result, bool more);
    void buffer_sent(int result);
    void buffer_empty();
    // -- ending
    void force_close(std::exception_ptr error);
    void schedule_lost(std::exception_ptr error);
    void lose(const std::exception_ptr& error);
    void give_back() noexcept;
    void let_go_if_over() noexcept;

    LoopReference loop_;
    Descriptor socket_;
    bool closing_ = false;
    bool paused_ = false;
    bool eof_written_ = false;
    bool started_ = false;          // reading may begin
    bool stop_asked_ = false;       // receive_ is being cancelled
    bool input_over_ = false;       // the protocol was told of the end
    bool delivery_due_ = false;     // deliver_held() is scheduled
    bool has_end_ = false;          // the end came while paused: end_
    bool lost_ = false;             // connection_lost() was called
    std::uint32_t lost_count_ = 0;  // positive once connection_lost() is due; counts writes
    int end_ = 0;
    FlowControl flow_;
    ProtocolSlot protocol_;
    Operation receive_;
    std::unique_ptr<std::string> held_;  // came while paused
    std::unique_ptr<WriteBuffer> unsent_;
    std::shared_ptr<ServerState> server_;
    std::shared_ptr<SocketTransport> alive_;  // itself
    SmallAddress peer_;
};

}  // namespace asyncio::detail
