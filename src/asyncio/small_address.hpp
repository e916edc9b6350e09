// A peer's address in as few bytes as connections by the thousand want to spend on it.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <asyncio/sockets.hpp>
#include <cstring>
#include <optional>

namespace asyncio::detail {

class SmallAddress {
  public:
    // Asks the kernel. What does not fit (a Unix path) is not kept.
    void ask_peer(int fd) noexcept {
        sockaddr_storage address;
        socklen_t size = sizeof address;
        if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return;
        if (size > sizeof bytes_) return;
        std::memcpy(bytes_, &address, size);
        size_ = static_cast<unsigned char>(size);
    }
    [[nodiscard]] bool known() const noexcept { return size_ != 0; }
    [[nodiscard]] SocketAddress get() const noexcept {
        alignas(sockaddr_in6) char copy[sizeof bytes_];
        std::memcpy(copy, bytes_, sizeof copy);
        return {reinterpret_cast<const sockaddr*>(copy), size_};
    }

  private:
    char bytes_[sizeof(sockaddr_in6)];
    unsigned char size_ = 0;
};

}  // namespace asyncio::detail
