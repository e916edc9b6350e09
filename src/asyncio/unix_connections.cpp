#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <asyncio/log.hpp>

#include "connections.hpp"

namespace asyncio::detail {

namespace {

void require_unix_stream_socket(const Socket& socket) {
    if (socket.family() == AF_UNIX && socket.type() == SOCK_STREAM) return;
    throw ValueError("A UNIX Domain Stream Socket was expected, got one of family " +
                     std::to_string(socket.family()) + " and type " +
                     std::to_string(socket.type()));
}

bool is_abstract(const std::string& path) noexcept {
    return !path.empty() && path.front() == '\0';
}

TlsSettings tls_of_client(const UnixConnectionOptions& options) {
    if (options.ssl != nullptr && !options.server_hostname) {
        throw ValueError("you have to pass server_hostname when using ssl");
    }
    if (options.ssl == nullptr && options.server_hostname) {
        throw ValueError("server_hostname is only meaningful with ssl");
    }
    TlsSettings settings{.context = options.ssl,
                         .server_side = false,
                         .server_hostname = options.server_hostname.value_or(""),
                         .handshake_timeout = options.ssl_handshake_timeout,
                         .shutdown_timeout = options.ssl_shutdown_timeout};
    check_tls_settings(settings);
    return settings;
}

TlsSettings tls_of_server(std::shared_ptr<asyncio::ssl::SSLContext> context,
                          std::optional<std::chrono::nanoseconds> handshake_timeout,
                          std::optional<std::chrono::nanoseconds> shutdown_timeout) {
    TlsSettings settings{.context = std::move(context),
                         .server_side = true,
                         .server_hostname = {},
                         .handshake_timeout = handshake_timeout,
                         .shutdown_timeout = shutdown_timeout};
    check_tls_settings(settings);
    return settings;
}

}  // namespace

void remove_stale_socket(const std::string& path) {
    if (path.empty() || is_abstract(path)) return;
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0) {
        if (!S_ISSOCK(status.st_mode) || ::unlink(path.c_str()) == 0) return;
    }
    if (errno == ENOENT) return;
    log(LogLevel::error,
        "Unable to check or remove stale UNIX socket '" + path + "': " + std::strerror(errno));
}

namespace {

Socket bind_unix(const std::string& path) {
    const SocketAddress address = SocketAddress::unix_(path);
    remove_stale_socket(path);
    Socket socket = Socket::create(AF_UNIX, SOCK_STREAM);
    try {
        socket.bind(address);
    } catch (const OSError& error) {
        if (error.number() != EADDRINUSE) throw;
        throw_os_error(EADDRINUSE, "Address '" + address.str() + "' is already in use");
    }
    return socket;
}

// Removes the file of a listening socket, unless it is another one by now.
std::function<void()> cleanup_of(const Socket& socket) {
    std::string path = socket.getsockname().path();
    struct stat status{};
    if (path.empty() || is_abstract(path) || ::stat(path.c_str(), &status) != 0) return {};
    return [path = std::move(path), inode = status.st_ino, device = status.st_dev] {
        struct stat now{};
        if (::stat(path.c_str(), &now) == 0) {
            const bool same = now.st_ino == inode && now.st_dev == device;
            if (!same || ::unlink(path.c_str()) == 0) return;
        }
        if (errno == ENOENT) return;
        log(LogLevel::error,
            "Unable to clean up listening UNIX socket '" + path + "': " + std::strerror(errno));
    };
}

}  // namespace

Coroutine<Connected> connect_unix(EventLoop& loop, ProtocolFactory factory,
                                  std::optional<std::string> path, UnixConnectionOptions options) {
    const TlsSettings settings = tls_of_client(options);
    Socket socket = std::move(options.sock);
    if (path) {
        if (socket) throw ValueError("path and sock can not be specified at the same time");
        const SocketAddress address = SocketAddress::unix_(*path);
        socket = Socket::create(AF_UNIX, SOCK_STREAM);
        co_await connect(loop, socket.fileno(), address);
    } else {
        if (!socket) throw ValueError("no path and sock were specified");
        require_unix_stream_socket(socket);
    }
    co_return co_await make_connection(loop, std::move(socket), std::move(factory), settings);
}

Coroutine<Server> serve_unix(EventLoop& loop, ProtocolFactory factory,
                             std::optional<std::string> path, UnixServerOptions options) {
    TlsSettings tls =
        tls_of_server(options.ssl, options.ssl_handshake_timeout, options.ssl_shutdown_timeout);
    Socket socket = std::move(options.sock);
    if (path) {
        if (socket) throw ValueError("path and sock can not be specified at the same time");
        socket = bind_unix(*path);
    } else {
        if (!socket) throw ValueError("path was not specified, and no sock specified");
        require_unix_stream_socket(socket);
    }
    ServerState::Settings settings{.factory = std::move(factory),
                                   .backlog = options.backlog,
                                   .tls = std::move(tls),
                                   .on_close = {},
                                   .sockets_are_shared = !path};
    if (options.cleanup_socket) settings.on_close = cleanup_of(socket);
    std::vector<Socket> sockets;
    sockets.push_back(std::move(socket));
    co_return co_await make_server(loop, std::move(sockets), std::move(settings),
                                   options.start_serving);
}

Coroutine<Connected> connect_accepted(EventLoop& loop, ProtocolFactory factory, Socket sock,
                                      AcceptedSocketOptions options) {
    require_stream_socket(sock);
    TlsSettings settings =
        tls_of_server(options.ssl, options.ssl_handshake_timeout, options.ssl_shutdown_timeout);
    co_return co_await make_connection(loop, std::move(sock), std::move(factory),
                                       std::move(settings));
}

}  // namespace asyncio::detail
