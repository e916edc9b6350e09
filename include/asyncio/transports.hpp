// asyncio/transports.hpp - what carries bytes: connections, pipes, datagrams, child processes.
//
//   auto [transport, protocol] = co_await loop.create_connection(make_protocol, host, 80);
//   transport->write("GET / HTTP/1.0\r\n\r\n");
//   transport->write_eof();
//   auto peer = transport->get_extra_info<SocketAddress>("peername");
//   transport->close();                     // flushes, then protocol->connection_lost(nullptr)
//
// Transports are made by the loop and held by std::shared_ptr. The loop holds an open one, so
// dropping every handle neither closes nor loses it. Their methods never wait: what cannot be
// sent at once is buffered, and the protocol is told when that is too much.
//
// Thread: the loop's own only.
//
// Source: Python's asyncio.transports.
#pragma once

#include <any>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <asyncio/exceptions.hpp>
#include <asyncio/protocols.hpp>

namespace asyncio {

class SocketAddress;

class BaseTransport : public std::enable_shared_from_this<BaseTransport> {
  public:
    BaseTransport() = default;
    BaseTransport(const BaseTransport&) = delete;
    BaseTransport& operator=(const BaseTransport&) = delete;
    virtual ~BaseTransport();

    // Stops receiving, sends what is buffered, then calls connection_lost(nullptr), never from
    // inside this call. Idempotent.
    virtual void close() = 0;
    // After close(), abort() or a fatal error.
    [[nodiscard]] virtual bool is_closing() const noexcept = 0;

    // What is known of the connection, empty where nothing is:
    //   "peername", "sockname"   SocketAddress
    //   "socket"                 TransportSocket, to look at and to set options
    //   "pipe"                   the descriptor of a pipe, an int
    //   "subprocess"             the child's pid, an int
    // and under TLS "sslcontext", "ssl_object", "cipher", "compression", "peercert".
    // Throws: TypeError when it is of another type than T.
    template <class T>
    [[nodiscard]] std::optional<T> get_extra_info(std::string_view name) const;
    template <class T>
    [[nodiscard]] T get_extra_info(std::string_view name, T otherwise) const {
        return get_extra_info<T>(name).value_or(std::move(otherwise));
    }
    // The same where the type is not known before. For transports to override.
    [[nodiscard]] virtual std::any extra_info(std::string_view name) const;

    // What is received from now on goes to `protocol`, which is not told of a connection made.
    // Throws: TypeError for a kind that this transport cannot serve.
    virtual void set_protocol(std::shared_ptr<BaseProtocol> protocol) = 0;
    // Null once the connection is lost.
    [[nodiscard]] virtual std::shared_ptr<BaseProtocol> get_protocol() const = 0;

    // For messages.
    [[nodiscard]] virtual std::string repr() const;
    // The handle again; null while it is made or destroyed.
    [[nodiscard]] std::shared_ptr<BaseTransport> share() noexcept {
        return weak_from_this().lock();
    }

  private:
    [[noreturn]] static void throw_wrong_type(std::string_view name, const std::any& value,
                                              const std::type_info& asked);
};

class ReadTransport : public virtual BaseTransport {
  public:
    // Neither paused nor closing.
    [[nodiscard]] virtual bool is_reading() const noexcept = 0;
    // No data_received() until resume_reading(). Idempotent, and nothing once closing.
    virtual void pause_reading() = 0;
    virtual void resume_reading() = 0;
};

// For set_write_buffer_limits(), in bytes. Default: high is 64 KiB or four times low, low is a
// quarter of high.
struct WriteBufferLimits {
    std::optional<std::ptrdiff_t> high = {};
    std::optional<std::ptrdiff_t> low = {};
};

class WriteTransport : public virtual BaseTransport {
  public:
    // Sends what can be sent at once and buffers a copy of the rest. After the connection was
    // lost, does nothing, with a warning from the fifth time.
    // Throws: RuntimeError after write_eof().
    virtual void write(std::string_view data) = 0;
    void write(std::span<const std::byte> data) {
        write(std::string_view(reinterpret_cast<const char*>(data.data()), data.size()));
    }
    void write(const char* text) { write(std::string_view(text)); }
    // All pieces, as one write.
    virtual void write_pieces(std::span<const std::string_view> pieces);
    template <std::ranges::input_range Pieces>
        requires std::convertible_to<std::ranges::range_reference_t<Pieces>, std::string_view>
    void writelines(Pieces&& pieces) {
        using Piece = std::ranges::range_reference_t<Pieces>;
        if constexpr (std::is_reference_v<Piece> || std::is_trivially_copyable_v<Piece>) {
            std::vector<std::string_view> views;
            if constexpr (std::ranges::sized_range<Pieces>) {
                views.reserve(std::ranges::size(pieces));
            }
            for (auto&& piece : pieces) views.emplace_back(piece);
            write_pieces(views);
        } else {  // made one by one, and gone with the next
            std::string all;
            for (auto&& piece : pieces) all += std::string_view(piece);
            write(std::string_view(all));
        }
    }
    void writelines(std::initializer_list<std::string_view> pieces) {
        write_pieces(std::span(pieces.begin(), pieces.size()));
    }

    // Closes this direction once the buffer is sent; reading goes on. A second time does
    // nothing.
    // Throws: NotImplementedError where can_write_eof() is false.
    virtual void write_eof() = 0;
    [[nodiscard]] virtual bool can_write_eof() const noexcept = 0;
    // Drops the buffer and closes now; connection_lost(nullptr) follows.
    virtual void abort() = 0;

    // When to call pause_writing() (above high) and resume_writing() (at or below low). Takes
    // effect at once.
    // Throws: ValueError unless high >= low >= 0.
    virtual void set_write_buffer_limits(WriteBufferLimits limits = {}) = 0;
    // {low, high}.
    [[nodiscard]] virtual std::pair<std::size_t, std::size_t> get_write_buffer_limits() const = 0;
    // Bytes that the kernel has not taken yet.
    [[nodiscard]] virtual std::size_t get_write_buffer_size() const noexcept = 0;
};

// Both directions: TCP, Unix sockets, TLS.
class Transport : public ReadTransport, public WriteTransport {
  public:
    // Declared again: a call through a Transport takes no detour by way of the virtual base.
    [[nodiscard]] bool is_closing() const noexcept override = 0;
    void write(std::string_view data) override = 0;
    using WriteTransport::write;
};

// What a connection under TLS is, besides: get it by std::dynamic_pointer_cast.
class SSLTransport : public Transport {
  public:
    // Of what the peer sent and nobody has read yet, in bytes: above high the connection below
    // is read no further, until it is down to low. Default: 256 KiB, and a quarter of high.
    // Throws: ValueError unless high >= low >= 0.
    virtual void set_read_buffer_limits(WriteBufferLimits limits = {}) = 0;
    // {low, high}.
    [[nodiscard]] virtual std::pair<std::size_t, std::size_t> get_read_buffer_limits() const = 0;
    [[nodiscard]] virtual std::size_t get_read_buffer_size() const noexcept = 0;
};

class DatagramTransport : public virtual BaseTransport {
  public:
    // To `address`, or to the remote address of a connected endpoint. Sends now or queues a
    // copy; a queued datagram weighs eight bytes more than it has. Empty ones are sent too.
    // Throws: ValueError for another address than the one an endpoint is connected to.
    virtual void sendto(std::string_view data, const SocketAddress& address) = 0;
    virtual void sendto(std::string_view data) = 0;
    // Drops what is queued and closes now.
    virtual void abort() = 0;

    // As WriteTransport's.
    virtual void set_write_buffer_limits(WriteBufferLimits limits = {}) = 0;
    [[nodiscard]] virtual std::pair<std::size_t, std::size_t> get_write_buffer_limits() const = 0;
    [[nodiscard]] virtual std::size_t get_write_buffer_size() const noexcept = 0;
};

class SubprocessTransport : public virtual BaseTransport {
  public:
    [[nodiscard]] virtual int get_pid() const noexcept = 0;
    // Empty while it runs; minus the signal's number for a child killed by one.
    [[nodiscard]] virtual std::optional<int> get_returncode() const noexcept = 0;
    // Of the child's descriptor 0, 1 or 2; null where that is no pipe.
    [[nodiscard]] virtual std::shared_ptr<Transport> get_pipe_transport(int fd) const = 0;
    // Nothing happens to a child that has just ended.
    // Throws: ProcessLookupError after connection_lost(); OSError for what is no signal.
    virtual void send_signal(int signal) = 0;
    virtual void terminate() = 0;
    virtual void kill() = 0;
};

template <class T>
std::optional<T> BaseTransport::get_extra_info(std::string_view name) const {
    std::any value = extra_info(name);
    if (!value.has_value()) return std::nullopt;
    T* const typed = std::any_cast<T>(&value);
    if (typed == nullptr) throw_wrong_type(name, value, typeid(T));
    return std::move(*typed);
}

}  // namespace asyncio
