// Parts of making connections and servers that TCP, Unix sockets and pipes share.
#pragma once

#include <asyncio/base_events.hpp>
#include <asyncio/coroutines.hpp>
#include <asyncio/sockets.hpp>
#include <vector>

#include "server_state.hpp"
#include "tls_hook.hpp"

namespace asyncio::detail {

// Throws: ValueError.
void require_stream_socket(const Socket& socket);

// Throws: OSError that names the address.
Coroutine<void> connect(EventLoop& loop, int fd, SocketAddress address);

// The transport and protocol of a connected socket, after connection_made().
Coroutine<Connected> make_connection(EventLoop& loop, Socket socket, ProtocolFactory factory,
                                     TlsSettings settings);

// Removes the socket that a process which died left at a path. Anything else there stays.
void remove_stale_socket(const std::string& path);

Coroutine<Server> make_server(EventLoop& loop, std::vector<Socket> sockets,
                              ServerState::Settings settings, bool start);

}  // namespace asyncio::detail
