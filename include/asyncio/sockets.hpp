// asyncio/sockets.hpp - socket descriptors and addresses.
//
//   Socket listener = Socket::create(AF_INET, SOCK_STREAM);
//   listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1);
//   listener.bind(SocketAddress("127.0.0.1", 0));
//   listener.listen();
//   int port = listener.getsockname().port();
//   auto server = co_await loop.create_server(make_protocol, {.sock = std::move(listener)});
//
// A Socket owns its descriptor, a TransportSocket looks at one that a transport or server
// owns. Both are made non-blocking and closed on exec. Nothing here waits.
//
// Source: Python's socket module and asyncio.trsock.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <asyncio/exceptions.hpp>

namespace asyncio {

// Where a socket is, or is to be: an IPv4, IPv6 or Unix address. A value; 0 family is none.
class SocketAddress {
  public:
    SocketAddress() noexcept = default;
    // An IPv4 or IPv6 address in figures, also "fe80::1%eth0".
    // Throws: ValueError for anything else: names are for getaddrinfo().
    SocketAddress(std::string_view host, std::uint16_t port);
    SocketAddress(const sockaddr* address, socklen_t size) noexcept;
    // A path; one that begins with a zero byte is in the abstract name space.
    // Throws: OSError for one that is too long, ValueError for a zero byte inside it.
    [[nodiscard]] static SocketAddress unix_(std::string_view path);

    [[nodiscard]] int family() const noexcept { return storage_.header.sa_family; }
    // The figures; empty for other families.
    [[nodiscard]] std::string host() const;
    [[nodiscard]] std::uint16_t port() const noexcept;
    [[nodiscard]] std::uint32_t flowinfo() const noexcept;
    [[nodiscard]] std::uint32_t scope_id() const noexcept;
    // Of a Unix address; empty for an unnamed one.
    [[nodiscard]] std::string path() const;
    // "127.0.0.1:80", "[::1]:80", the path.
    [[nodiscard]] std::string str() const;
    [[nodiscard]] explicit operator bool() const noexcept { return size_ != 0; }

    // As the kernel wants it.
    [[nodiscard]] const sockaddr* data() const noexcept { return &storage_.header; }
    [[nodiscard]] socklen_t size() const noexcept { return size_; }

    friend bool operator==(const SocketAddress& a, const SocketAddress& b) noexcept {
        return std::string_view(a.storage_.bytes, a.size_) ==
               std::string_view(b.storage_.bytes, b.size_);
    }

  private:
    friend struct std::hash<SocketAddress>;
    // Large enough for every family we know; IPv6 takes 28 bytes, a path 110.
    union Storage {
        sockaddr header;
        sockaddr_un unix_path;
        char bytes[sizeof(sockaddr_un)];
    } storage_ = {};
    socklen_t size_ = 0;
};

// What may be asked of and set on a socket, whoever owns it.
// Each throws OSError when the kernel refuses; EBADF once it is closed.
class TransportSocket {
  public:
    explicit TransportSocket(int fd = -1) noexcept : fd_(fd) {}

    [[nodiscard]] int family() const;
    [[nodiscard]] int type() const;
    [[nodiscard]] int proto() const;
    [[nodiscard]] int fileno() const noexcept { return fd_; }
    [[nodiscard]] bool get_inheritable() const;
    [[nodiscard]] SocketAddress getsockname() const;
    [[nodiscard]] SocketAddress getpeername() const;
    [[nodiscard]] int getsockopt(int level, int option) const;
    // As many bytes as the kernel gives, up to `size`.
    [[nodiscard]] std::string getsockopt(int level, int option, std::size_t size) const;
    void setsockopt(int level, int option, int value) const;
    void setsockopt(int level, int option, std::string_view value) const;
    // SHUT_RD, SHUT_WR or SHUT_RDWR.
    void shutdown(int how) const;
    // Sockets of this library never block. Throws: ValueError for what would change that.
    void settimeout(double seconds) const;
    [[nodiscard]] double gettimeout() const noexcept { return 0; }
    void setblocking(bool block) const;

    friend bool operator==(TransportSocket a, TransportSocket b) noexcept = default;

  protected:
    int fd_ = -1;
};

// Owns a socket, and closes it at the end.
class Socket : public TransportSocket {
  public:
    Socket() noexcept = default;  // none
    // Takes over a descriptor, and makes it non-blocking.
    // Throws: OSError for one that is not open; the descriptor stays the caller's.
    explicit Socket(int fd);
    Socket(Socket&& other) noexcept : TransportSocket(std::exchange(other.fd_, -1)) {}
    Socket& operator=(Socket&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Socket() { close(); }

    [[nodiscard]] static Socket create(int family, int type, int proto = 0);

    void bind(const SocketAddress& address) const;
    void listen(int backlog = 128) const;
    // Idempotent. To have an operation of a loop end first is the caller's business.
    void close() noexcept;
    // Gives the descriptor up.
    [[nodiscard]] int detach() noexcept { return std::exchange(fd_, -1); }
    // Of the same socket. Throws: OSError.
    [[nodiscard]] Socket dup() const;
    void set_inheritable(bool inheritable) const;
    [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
};

// Two connected sockets.
[[nodiscard]] std::pair<Socket, Socket> socketpair(int family = AF_UNIX, int type = SOCK_STREAM,
                                                   int proto = 0);

}  // namespace asyncio

template <>
struct std::hash<asyncio::SocketAddress> {
    std::size_t operator()(const asyncio::SocketAddress& address) const noexcept {
        return std::hash<std::string_view>()({address.storage_.bytes, address.size_});
    }
};
