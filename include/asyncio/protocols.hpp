// asyncio/protocols.hpp - what a transport calls when something happens on a connection.
//
//   class Echo : public Protocol {
//       void connection_made(std::shared_ptr<Transport> transport) override {
//           transport_ = std::move(transport);
//       }
//       void data_received(std::string_view data) override { transport_->write(data); }
//       std::shared_ptr<Transport> transport_;
//   };
//   auto server = co_await loop.create_server([] { return std::make_shared<Echo>(); }, host, 80);
//
// A transport holds its protocol until connection_lost() has returned; a protocol usually
// holds its transport. All methods are called on the loop's thread and must not block. The
// order: connection_made() once, then data and flow control, then eof_received() at most
// once, then connection_lost() exactly once. What a method throws goes to the loop's exception
// handler; out of data_received() and its like it also ends the connection.
//
// Most programs use streams (streams.hpp) and never write a protocol.
//
// Source: Python's asyncio.protocols.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <span>
#include <string_view>

#include <asyncio/exceptions.hpp>

namespace asyncio {

class DatagramTransport;
class SocketAddress;
class SubprocessTransport;
class Transport;

// What all protocols have. Every method does nothing unless overridden.
class BaseProtocol {
  public:
    BaseProtocol() = default;
    BaseProtocol(const BaseProtocol&) = delete;
    BaseProtocol& operator=(const BaseProtocol&) = delete;
    virtual ~BaseProtocol();

    // The end, exactly once. `error` is null after end of file, close() and abort().
    virtual void connection_lost(std::exception_ptr error);
    // The write buffer has grown above its high-water mark. Called out of write(). Calls are
    // paired with resume_writing().
    virtual void pause_writing();
    // It has shrunk to its low-water mark or below.
    virtual void resume_writing();
};

namespace detail {

// What the two kinds of protocol for byte streams share.
class ConnectionProtocol : public BaseProtocol {
  public:
    ~ConnectionProtocol() override;
    // Before anything else. Python passes a BaseTransport; here each kind of protocol gets
    // the transport it can use. That of a one-way pipe throws NotImplementedError where it is
    // asked for the other way.
    virtual void connection_made(std::shared_ptr<Transport> transport);
    // The peer will send no more. False closes the transport, true leaves it open for writing
    // (but not under TLS, which has no half-open connections).
    virtual bool eof_received();

    // Private to the library: where what comes next is best put, if anywhere. It is handed over
    // right afterwards as every other data.
    [[nodiscard]] virtual std::span<std::byte> lend_memory() noexcept;
};

}  // namespace detail

// For byte streams.
class Protocol : public detail::ConnectionProtocol {
  public:
    ~Protocol() override;
    // `data` is never empty, and gone when this returns.
    virtual void data_received(std::string_view data);
};

// For byte streams whose receiver has the memory.
class BufferedProtocol : public detail::ConnectionProtocol {
  public:
    ~BufferedProtocol() override;
    // Where to put what comes next: any size but 0. `size_hint` is how much there is, or 0
    // where that is not known.
    virtual std::span<std::byte> get_buffer(std::size_t size_hint) = 0;
    // The first `count` bytes of that buffer are there.
    virtual void buffer_updated(std::size_t count) = 0;
};

// For messages.
class DatagramProtocol : public BaseProtocol {
  public:
    ~DatagramProtocol() override;
    virtual void connection_made(std::shared_ptr<DatagramTransport> transport);
    // `data` may be empty, and is gone when this returns.
    virtual void datagram_received(std::string_view data, const SocketAddress& sender);
    // A send or a receive failed, in a way that leaves the endpoint open.
    virtual void error_received(std::exception_ptr error);
};

// For child processes.
class SubprocessProtocol : public BaseProtocol {
  public:
    ~SubprocessProtocol() override;
    virtual void connection_made(std::shared_ptr<SubprocessTransport> transport);
    // The child wrote to its descriptor `fd`, 1 or 2.
    virtual void pipe_data_received(int fd, std::string_view data);
    // The pipe to the child's descriptor `fd` is closed.
    virtual void pipe_connection_lost(int fd, std::exception_ptr error);
    // The child has ended; data may still come.
    virtual void process_exited();
};

}  // namespace asyncio
