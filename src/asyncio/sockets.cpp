#include <asyncio/sockets.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace asyncio {

namespace {

void check(int result, const char* call) {
    if (result != 0) throw_os_error(errno, call);
}

const sockaddr_in6& as_ipv6(const sockaddr* address) noexcept {
    return *reinterpret_cast<const sockaddr_in6*>(address);
}

// The number of "eth0" or "3".
std::uint32_t scope_number(const std::string& name) {
    if (const unsigned index = ::if_nametoindex(name.c_str()); index != 0) return index;
    const bool figures =
        !name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == name.npos;
    if (!figures) throw ValueError("there is no network interface \"" + name + "\"");
    return static_cast<std::uint32_t>(std::stoul(name));
}

}  // namespace

// ---- addresses ----------------------------------------------------------------------------

SocketAddress::SocketAddress(const sockaddr* address, socklen_t size) noexcept
    : size_(std::min<socklen_t>(size, sizeof storage_)) {
    std::memcpy(storage_.bytes, address, size_);
}

SocketAddress::SocketAddress(std::string_view host, std::uint16_t port) {
    if (host.find('\0') != host.npos) throw ValueError("embedded null byte in an address");
    const std::string text(host);
    sockaddr_in ipv4{};
    if (::inet_pton(AF_INET, text.c_str(), &ipv4.sin_addr) == 1) {
        ipv4.sin_family = AF_INET;
        ipv4.sin_port = htons(port);
        *this = SocketAddress(reinterpret_cast<const sockaddr*>(&ipv4), sizeof ipv4);
        return;
    }
    const std::size_t percent = text.find('%');
    sockaddr_in6 ipv6{};
    if (::inet_pton(AF_INET6, text.substr(0, percent).c_str(), &ipv6.sin6_addr) != 1) {
        throw ValueError("\"" + text + "\" is not an IPv4 or IPv6 address in figures");
    }
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(port);
    if (percent != text.npos) ipv6.sin6_scope_id = scope_number(text.substr(percent + 1));
    *this = SocketAddress(reinterpret_cast<const sockaddr*>(&ipv6), sizeof ipv6);
}

SocketAddress SocketAddress::unix_(std::string_view path) {
    const bool abstract = !path.empty() && path.front() == '\0';
    if (!abstract && path.find('\0') != path.npos) throw ValueError("embedded null byte in a path");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    // A path has a zero at its end, an abstract name is what its length says.
    const std::size_t room = sizeof address.sun_path - (abstract ? 0 : 1);
    if (path.size() > room) throw_os_error(ENAMETOOLONG, "AF_UNIX path too long");
    std::memcpy(address.sun_path, path.data(), path.size());
    const std::size_t size =
        offsetof(sockaddr_un, sun_path) + path.size() + (abstract || path.empty() ? 0 : 1);
    return {reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)};
}

std::string SocketAddress::host() const {
    char text[INET6_ADDRSTRLEN] = {};
    if (family() == AF_INET) {
        const auto& ipv4 = *reinterpret_cast<const sockaddr_in*>(data());
        return ::inet_ntop(AF_INET, &ipv4.sin_addr, text, sizeof text);
    }
    if (family() != AF_INET6) return {};
    std::string result = ::inet_ntop(AF_INET6, &as_ipv6(data()).sin6_addr, text, sizeof text);
    if (const std::uint32_t scope = scope_id(); scope != 0) {
        char name[IF_NAMESIZE] = {};
        const bool known = ::if_indextoname(scope, name) != nullptr;
        result += '%' + (known ? std::string(name) : std::to_string(scope));
    }
    return result;
}

std::uint16_t SocketAddress::port() const noexcept {
    // At the same place in both families.
    if (family() != AF_INET && family() != AF_INET6) return 0;
    return ntohs(reinterpret_cast<const sockaddr_in*>(data())->sin_port);
}

std::uint32_t SocketAddress::flowinfo() const noexcept {
    return family() == AF_INET6 ? ntohl(as_ipv6(data()).sin6_flowinfo) : 0;
}

std::uint32_t SocketAddress::scope_id() const noexcept {
    return family() == AF_INET6 ? as_ipv6(data()).sin6_scope_id : 0;
}

std::string SocketAddress::path() const {
    constexpr std::size_t before = offsetof(sockaddr_un, sun_path);
    if (family() != AF_UNIX || size_ <= before) return {};
    const std::string_view stored(storage_.unix_path.sun_path, size_ - before);
    if (stored.front() == '\0') return std::string(stored);
    return std::string(stored.substr(0, stored.find('\0')));
}

std::string SocketAddress::str() const {
    switch (family()) {
        case AF_INET:
            return host() + ":" + std::to_string(port());
        case AF_INET6:
            return "[" + host() + "]:" + std::to_string(port());
        default: {
            std::string text = path();
            std::replace(text.begin(), text.end(), '\0', '@');
            return text;
        }
    }
}

// ---- what any socket allows ---------------------------------------------------------------

int TransportSocket::family() const {
    return getsockopt(SOL_SOCKET, SO_DOMAIN);
}
int TransportSocket::type() const {
    return getsockopt(SOL_SOCKET, SO_TYPE);
}
int TransportSocket::proto() const {
    return getsockopt(SOL_SOCKET, SO_PROTOCOL);
}

bool TransportSocket::get_inheritable() const {
    const int flags = ::fcntl(fd_, F_GETFD);
    if (flags < 0) throw_os_error(errno, "fcntl");
    return (flags & FD_CLOEXEC) == 0;
}

SocketAddress TransportSocket::getsockname() const {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    check(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
    return {reinterpret_cast<const sockaddr*>(&address), size};
}

SocketAddress TransportSocket::getpeername() const {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    check(::getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &size), "getpeername");
    return {reinterpret_cast<const sockaddr*>(&address), size};
}

int TransportSocket::getsockopt(int level, int option) const {
    int value = 0;
    socklen_t size = sizeof value;
    check(::getsockopt(fd_, level, option, &value, &size), "getsockopt");
    return value;
}

std::string TransportSocket::getsockopt(int level, int option, std::size_t size) const {
    std::string value(size, '\0');
    auto length = static_cast<socklen_t>(size);
    check(::getsockopt(fd_, level, option, value.data(), &length), "getsockopt");
    value.resize(length);
    return value;
}

void TransportSocket::setsockopt(int level, int option, int value) const {
    check(::setsockopt(fd_, level, option, &value, sizeof value), "setsockopt");
}

void TransportSocket::setsockopt(int level, int option, std::string_view value) const {
    check(::setsockopt(fd_, level, option, value.data(), static_cast<socklen_t>(value.size())),
          "setsockopt");
}

void TransportSocket::shutdown(int how) const {
    check(::shutdown(fd_, how), "shutdown");
}

void TransportSocket::settimeout(double seconds) const {
    if (seconds != 0)
        throw ValueError("settimeout(): only 0 timeout is allowed on a loop's socket");
}

void TransportSocket::setblocking(bool block) const {
    if (block) throw ValueError("setblocking(): a loop's socket cannot be blocking");
}

// ---- owned sockets ------------------------------------------------------------------------

Socket::Socket(int fd) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        throw_os_error(errno, "a Socket of descriptor " + std::to_string(fd));
    }
    fd_ = fd;
}

Socket Socket::create(int family, int type, int proto) {
    const int fd = ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, proto);
    if (fd < 0) throw_os_error(errno, "socket");
    Socket socket;
    socket.fd_ = fd;
    return socket;
}

void Socket::bind(const SocketAddress& address) const {
    if (::bind(fd_, address.data(), address.size()) != 0) {
        throw_os_error(errno, "bind to " + address.str());
    }
}

void Socket::listen(int backlog) const {
    check(::listen(fd_, backlog), "listen");
}

void Socket::close() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Socket Socket::dup() const {
    const int fd = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) throw_os_error(errno, "dup");
    Socket socket;
    socket.fd_ = fd;
    return socket;
}

void Socket::set_inheritable(bool inheritable) const {
    const int flags = ::fcntl(fd_, F_GETFD);
    if (flags < 0) throw_os_error(errno, "fcntl");
    const int wanted = inheritable ? flags & ~FD_CLOEXEC : flags | FD_CLOEXEC;
    if (::fcntl(fd_, F_SETFD, wanted) < 0) throw_os_error(errno, "fcntl");
}

std::pair<Socket, Socket> socketpair(int family, int type, int proto) {
    int fds[2];
    check(::socketpair(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, proto, fds), "socketpair");
    return {Socket(fds[0]), Socket(fds[1])};
}

}  // namespace asyncio
