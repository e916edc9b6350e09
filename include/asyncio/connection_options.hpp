// asyncio/connection_options.hpp - how to make connections and servers, by keyword.
//
//   co_await open_connection("example.org", 443, {.ssl = context, .happy_eyeballs_delay = 250ms});
//   co_await loop.create_server(make_protocol, "", 8080, {.backlog = 1000, .reuse_port = true});
//
// Members have the names and defaults of Python's keyword arguments. A host is a name or an
// address in figures; "" is every interface of this machine. Options that need another one
// which is not there throw ValueError.
#pragma once

#include <netdb.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <asyncio/sockets.hpp>

namespace asyncio {

namespace ssl {
class SSLContext;
}

// A host and a port.
using HostPort = std::pair<std::string, int>;

struct ConnectionOptions {
    std::shared_ptr<asyncio::ssl::SSLContext> ssl = {};  // TLS, if set
    int family = AF_UNSPEC;                              // AF_INET, AF_INET6: only these
    int proto = 0;
    int flags = 0;     // AI_* for the resolver
    Socket sock = {};  // a connected one, in place of a host
    std::optional<HostPort> local_addr = {};
    // With ssl. What the certificate must say; the host unless set, "" for anything.
    std::optional<std::string> server_hostname = {};
    std::optional<std::chrono::nanoseconds> ssl_handshake_timeout = {};  // 60 s
    std::optional<std::chrono::nanoseconds> ssl_shutdown_timeout = {};   // 30 s
    // After how long without an answer to try the next address beside the one before
    // (RFC 8305 says 250 ms); not set: one after the other.
    std::optional<std::chrono::nanoseconds> happy_eyeballs_delay = {};
    // How many addresses of the first family go before they alternate; 0 leaves the order.
    // Unset: 1 with happy_eyeballs_delay, else 0.
    std::optional<int> interleave = {};
    // Throw an ExceptionGroup of what each address gave, not one OSError.
    bool all_errors = false;
    std::size_t limit = 64 * 1024;  // open_connection(): see StreamReader
};

struct ServerOptions {
    std::shared_ptr<asyncio::ssl::SSLContext> ssl = {};
    int family = AF_UNSPEC;
    int flags = AI_PASSIVE;
    Socket sock = {};  // a bound one, in place of hosts
    int backlog = 100;
    bool reuse_address = true;
    bool reuse_port = false;
    bool keep_alive = false;
    std::optional<std::chrono::nanoseconds> ssl_handshake_timeout = {};
    std::optional<std::chrono::nanoseconds> ssl_shutdown_timeout = {};
    bool start_serving = true;      // else with Server::start_serving() or serve_forever()
    std::size_t limit = 64 * 1024;  // start_server(): see StreamReader
};

struct UnixConnectionOptions {
    std::shared_ptr<asyncio::ssl::SSLContext> ssl = {};
    Socket sock = {};  // a connected one, in place of a path
    std::optional<std::string> server_hostname = {};
    std::optional<std::chrono::nanoseconds> ssl_handshake_timeout = {};
    std::optional<std::chrono::nanoseconds> ssl_shutdown_timeout = {};
    std::size_t limit = 64 * 1024;
};

struct UnixServerOptions {
    std::shared_ptr<asyncio::ssl::SSLContext> ssl = {};
    Socket sock = {};  // a bound one, in place of a path
    int backlog = 100;
    std::optional<std::chrono::nanoseconds> ssl_handshake_timeout = {};
    std::optional<std::chrono::nanoseconds> ssl_shutdown_timeout = {};
    bool start_serving = true;
    bool cleanup_socket = true;  // remove the path when the server closes
    std::size_t limit = 64 * 1024;
};

struct AcceptedSocketOptions {
    std::shared_ptr<asyncio::ssl::SSLContext> ssl = {};
    std::optional<std::chrono::nanoseconds> ssl_handshake_timeout = {};
    std::optional<std::chrono::nanoseconds> ssl_shutdown_timeout = {};
};

struct StartTlsOptions {
    bool server_side = false;
    std::string server_hostname = {};  // of a client: what the certificate must say
    std::optional<std::chrono::nanoseconds> ssl_handshake_timeout = {};
    std::optional<std::chrono::nanoseconds> ssl_shutdown_timeout = {};
};

struct DatagramOptions {
    std::optional<HostPort> local_addr = {};
    std::optional<HostPort> remote_addr = {};  // then nothing goes to or comes from elsewhere
    int family = AF_UNSPEC;                    // AF_UNIX: the addresses are paths, with any port
    int proto = 0;
    int flags = 0;
    bool reuse_port = false;
    bool allow_broadcast = false;
    Socket sock = {};  // a datagram one, in place of addresses
};

}  // namespace asyncio
