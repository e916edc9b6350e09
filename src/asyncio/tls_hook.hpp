// The one place where plain connections meet TLS.
#pragma once

#include <asyncio/connection_options.hpp>
#include <asyncio/futures.hpp>
#include <asyncio/transports.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "proactors/descriptor.hpp"

namespace asyncio::detail {

class ServerState;

struct TlsSettings {
    std::shared_ptr<asyncio::ssl::SSLContext> context = {};  // null: no TLS
    bool server_side = false;
    std::string server_hostname = {};  // of a client
    std::optional<std::chrono::nanoseconds> handshake_timeout = {};
    std::optional<std::chrono::nanoseconds> shutdown_timeout = {};
};

// A transport for `protocol` that speaks TLS over the socket. `waiter` is completed after the
// handshake and connection_made(), or given the error that ended it.
// Throws: RuntimeError in a build without TLS.
[[nodiscard]] std::shared_ptr<Transport> make_ssl_transport(
    EventLoop& loop, Descriptor socket, std::shared_ptr<BaseProtocol> protocol,
    const TlsSettings& settings, Future<void> waiter,
    std::shared_ptr<ServerState> server = nullptr);

// The same over another transport, whose protocol it becomes; `protocol` has its connection.
// Throws: TypeError for a transport that cannot carry TLS.
[[nodiscard]] std::shared_ptr<Transport> wrap_transport(std::shared_ptr<Transport> lower,
                                                        std::shared_ptr<BaseProtocol> protocol,
                                                        EventLoop& loop,
                                                        const TlsSettings& settings,
                                                        Future<void> waiter);

// Throws: ValueError for timeouts without TLS, or that are not positive.
void check_tls_settings(const TlsSettings& settings);

// The transport for a connected socket, by TLS where `settings` say so.
[[nodiscard]] std::shared_ptr<Transport> make_transport(
    EventLoop& loop, Descriptor socket, std::shared_ptr<BaseProtocol> protocol,
    const TlsSettings& settings, Future<void> waiter,
    std::shared_ptr<ServerState> server = nullptr);

}  // namespace asyncio::detail
