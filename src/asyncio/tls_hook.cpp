#include "tls_hook.hpp"

#include <asyncio/outcome.hpp>
#include <asyncio/waiting.hpp>

#include "socket_transport.hpp"

namespace asyncio::detail {

#ifndef ASYNCIO_HAVE_TLS

namespace {
constexpr const char* no_tls = "this build of the library has no TLS";
}

std::shared_ptr<Transport> make_ssl_transport(EventLoop&, Descriptor, std::shared_ptr<BaseProtocol>,
                                              const TlsSettings&, Future<void>,
                                              std::shared_ptr<ServerState>) {
    throw RuntimeError(no_tls);
}

std::shared_ptr<Transport> wrap_transport(std::shared_ptr<Transport>, std::shared_ptr<BaseProtocol>,
                                          EventLoop&, const TlsSettings&, Future<void>) {
    throw RuntimeError(no_tls);
}

#endif

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

namespace asyncio {

Coroutine<std::shared_ptr<Transport>> EventLoop::start_tls(std::shared_ptr<Transport> transport,
                                                           std::shared_ptr<BaseProtocol> protocol,
                                                           std::shared_ptr<ssl::SSLContext> context,
                                                           StartTlsOptions options) {
    if (context == nullptr) throw TypeError("start_tls() needs an SSLContext");
    if (transport == nullptr) throw TypeError("start_tls() needs a transport");
    const detail::TlsSettings settings{.context = std::move(context),
                                       .server_side = options.server_side,
                                       .server_hostname = std::move(options.server_hostname),
                                       .handshake_timeout = options.ssl_handshake_timeout,
                                       .shutdown_timeout = options.ssl_shutdown_timeout};
    detail::check_tls_settings(settings);
    const Future<void> waiter = create_future();
    const std::shared_ptr<Transport> secure =
        detail::wrap_transport(transport, std::move(protocol), *this, settings, waiter);
    const auto outcome = co_await try_(waiter);
    if (!outcome) {
        transport->close();
        outcome.value();
    }
    co_return secure;
}

}  // namespace asyncio
