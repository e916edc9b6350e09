// asyncio/sock_operations.hpp - what a loop does with bare sockets: sock_recv() and its like.
//
//   Socket sock = Socket::create(AF_INET, SOCK_STREAM);      // non-blocking
//   co_await loop.sock_connect(sock, SocketAddress("127.0.0.1", 8080));
//   co_await loop.sock_sendall(sock, "ping\n");
//   std::string answer = co_await loop.sock_recv(sock, 1024); // "" is the end
//
// For protocols of your own that want no transport. Streams are more comfortable and no slower.
//
// Thread: loop thread only. Nothing is allocated in steady state but the strings returned.
// Source: Python's loop.sock_recv() and the others of that family.
#pragma once

#include <concepts>
#include <string>
#include <utility>

#include <asyncio/coroutines.hpp>
#include <asyncio/events.hpp>
#include <asyncio/sockets.hpp>

namespace asyncio {

namespace detail {
Coroutine<void> send_and_keep(EventLoop& loop, TransportSocket sock, std::string data);
}  // namespace detail

template <std::same_as<std::string> S>
Coroutine<void> EventLoop::sock_sendall(TransportSocket sock, S&& data) {
    return detail::send_and_keep(*this, sock, std::move(data));
}

}  // namespace asyncio
