#include "tls_hook.hpp"

#include "socket_transport.hpp"

namespace asyncio::detail {

std::shared_ptr<Transport> make_ssl_transport(EventLoop&, Descriptor, std::shared_ptr<BaseProtocol>,
                                              const TlsSettings&, Future<void>,
                                              std::shared_ptr<ServerState>) {
    throw RuntimeError("this build of the library has no TLS");
}

void check_tls_settings(const TlsSettings& settings) {
    for (const auto& [name, timeout] :
         {std::pair("ssl_handshake_timeout", settings.handshake_timeout),
          std::pair("ssl_shutdown_timeout", settings.shutdown_timeout)}) {
        if (!timeout) continue;
        if (settings.context == nullptr) {
            throw ValueError(std::string(name) + " is only meaningful with ssl");
        }
        if (timeout->count() <= 0) throw ValueError(std::string(name) + " must be positive");
    }
}

std::shared_ptr<Transport> make_transport(EventLoop& loop, Descriptor socket,
                                          std::shared_ptr<BaseProtocol> protocol,
                                          const TlsSettings& settings, Future<void> waiter,
                                          std::shared_ptr<ServerState> server) {
    if (settings.context != nullptr) {
        return make_ssl_transport(loop, std::move(socket), std::move(protocol), settings,
                                  std::move(waiter), std::move(server));
    }
    return SocketTransport::make(loop, std::move(socket), std::move(protocol), std::move(waiter),
                                 std::move(server));
}

}  // namespace asyncio::detail
