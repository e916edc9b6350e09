// The transport over a datagram socket: UDP and Unix.
//
// It holds itself until connection_lost() was called and the kernel is done with it.
#pragma once

#include <asyncio/futures.hpp>
#include <asyncio/sockets.hpp>
#include <asyncio/transports.hpp>
#include <deque>
#include <memory>
#include <string>

#include "flow_control.hpp"
#include "loop_state.hpp"

namespace asyncio::detail {

class DatagramSocketTransport final : public DatagramTransport, public LoopResource {
  public:
    // `remote` is where everything goes, if it is set.
    static std::shared_ptr<DatagramSocketTransport> make(EventLoop& loop, Socket socket,
                                                         std::shared_ptr<DatagramProtocol> protocol,
                                                         SocketAddress remote, Future<void> waiter);
    DatagramSocketTransport(EventLoop& loop, Socket socket,
                            std::shared_ptr<DatagramProtocol> protocol, SocketAddress remote);
    ~DatagramSocketTransport() override;

    void close() override;
    [[nodiscard]] bool is_closing() const noexcept override { return closing_; }
    [[nodiscard]] std::any extra_info(std::string_view name) const override;
    void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
    [[nodiscard]] std::shared_ptr<BaseProtocol> get_protocol() const override { return protocol_; }
    [[nodiscard]] std::string repr() const override;

    void sendto(std::string_view data, const SocketAddress& address) override;
    void sendto(std::string_view data) override { send(data, remote_); }
    void abort() override { force_close(nullptr); }
    void set_write_buffer_limits(WriteBufferLimits limits) override;
    [[nodiscard]] std::pair<std::size_t, std::size_t> get_write_buffer_limits() const override {
        return flow_.limits();
    }
    [[nodiscard]] std::size_t get_write_buffer_size() const noexcept override { return size_; }

    void loop_closed() noexcept override;

  private:
    struct Datagram {
        std::string data;
        SocketAddress address;
    };

    [[nodiscard]] Proactor& proactor() const noexcept {
        return *EventLoop::Internals::state(*loop_).proactor;
    }
    void begin(Future<void> waiter);
    static void readable(Operation& operation, int result, bool more);
    static void writable(Operation& operation, int result, bool more);
    void receive_some();
    bool receive_one();
    void send(std::string_view data, const SocketAddress& address);
    [[nodiscard]] int send_now(std::string_view data, const SocketAddress& address) noexcept;
    void send_queued();
    void failed(int error, const char* what);
    void fatal_error(std::exception_ptr error, const char* message);
    void begin_closing() noexcept;
    void force_close(std::exception_ptr error);
    void schedule_lost(std::exception_ptr error);
    void lose(const std::exception_ptr& error);
    void give_back() noexcept;
    void let_go_if_over() noexcept;

    LoopReference loop_;
    Socket socket_;
    std::shared_ptr<DatagramProtocol> protocol_;
    SocketAddress remote_;
    SocketAddress peer_;  // of a connected socket
    bool closing_ = false;
    bool lost_ = false;
    std::uint32_t lost_count_ = 0;
    FlowControl flow_;
    std::deque<Datagram> queue_;
    std::size_t size_ = 0;
    Operation reading_;
    Operation writing_;
    std::shared_ptr<DatagramSocketTransport> alive_;
};

}  // namespace asyncio::detail
