#include <asyncio/base_events.hpp>

#include <netinet/in.h>

#include <algorithm>

#include <asyncio/contextlib.hpp>
#include <asyncio/exception_group.hpp>
#include <asyncio/locks.hpp>
#include <asyncio/log.hpp>
#include <asyncio/outcome.hpp>
#include <asyncio/taskgroups.hpp>
#include <asyncio/timeouts.hpp>
#include <asyncio/waiting.hpp>

#include "connections.hpp"
#include "operation_awaiter.hpp"
#include "resolve.hpp"
#include "server_state.hpp"
#include "tls_hook.hpp"
#include "transport_errors.hpp"

namespace asyncio::detail {

namespace {

using Addresses = std::vector<AddressInfo>;
using Errors = std::vector<std::exception_ptr>;

// An OSError without a number of its own.
class SeveralErrors : public OSError {
  public:
    explicit SeveralErrors(const std::string& text) : OSError(text) {}
};

std::string message_of(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& caught) {
        return caught.what();
    } catch (...) {
        return describe_exception(error);
    }
}

// What create_connection() throws when no address answered.
[[noreturn]] void throw_connection_errors(const Errors& errors, bool all) {
    if (all) throw ExceptionGroup("create_connection failed", errors);
    const std::string first = message_of(errors.front());
    std::string text = "Multiple exceptions: " + first;
    bool same = true;
    for (std::size_t i = 1; i < errors.size(); ++i) {
        const std::string message = message_of(errors[i]);
        same = same && message == first;
        text += ", " + message;
    }
    if (same) std::rethrow_exception(errors.front());
    throw SeveralErrors(text);
}

// The addresses in turns of family; the first family gets `lead` in a row first.
Addresses interleave(const Addresses& addresses, int lead) {
    std::vector<std::vector<AddressInfo>> families;
    for (const AddressInfo& address : addresses) {
        const auto same = std::find_if(families.begin(), families.end(), [&](const auto& family) {
            return family.front().family == address.family;
        });
        if (same != families.end()) {
            same->push_back(address);
        } else {
            families.push_back({address});
        }
    }
    Addresses ordered;
    std::vector<std::size_t> taken(families.size());
    const auto take = [&](std::size_t family, std::size_t count) {
        for (; count > 0 && taken[family] < families[family].size(); --count) {
            ordered.push_back(families[family][taken[family]++]);
        }
    };
    if (lead > 1) take(0, static_cast<std::size_t>(lead) - 1);
    while (ordered.size() < addresses.size()) {
        for (std::size_t family = 0; family < families.size(); ++family) take(family, 1);
    }
    return ordered;
}

// One family's turn to bind: the first local address of it that can be had.
void bind_to_local(const Socket& socket, int family, const Addresses& locals) {
    std::exception_ptr last;
    for (const AddressInfo& local : locals) {
        if (local.family != family) continue;
        try {
            return socket.bind(local.address);
        } catch (const OSError& error) {
            last = make_os_error(
                error.number(), "error while attempting to bind on address " + local.address.str());
        }
    }
    if (last) std::rethrow_exception(last);
    throw_os_error(EADDRNOTAVAIL,
                   "no matching local address with family=" + std::to_string(family) + " found");
}

// Adds to `errors` what made it fail.
Coroutine<Socket> connect_one(EventLoop& loop, AddressInfo to, const Addresses* locals,
                              Errors& errors) {
    std::exception_ptr error;
    try {
        Socket socket = Socket::create(to.family, to.type, to.proto);
        if (locals != nullptr) bind_to_local(socket, to.family, *locals);
        co_await connect(loop, socket.fileno(), to.address);
        co_return socket;
    } catch (const OSError&) {
        error = std::current_exception();
    }
    errors.push_back(error);
    std::rethrow_exception(error);
}

// RFC 8305: an address gets a head start of `delay` before the next one is tried beside it.
class Race {
  public:
    Race(EventLoop& loop, const Addresses& addresses, const Addresses* locals,
         std::chrono::nanoseconds delay, Errors& errors)
        : loop_(loop), addresses_(addresses), locals_(locals), delay_(delay), errors_(errors) {}

    // No socket if all failed.
    Coroutine<Socket> run() {
        co_await with(group_, [this]() -> Coroutine<void> {
            start(0);
            co_return;
        });
        co_return std::move(winner_);
    }

  private:
    void start(std::size_t i) {
        if (i >= addresses_.size()) return;
        failed_.push_back(std::make_unique<Event>());
        attempts_.push_back(group_.create_task(attempt(i)));
    }

    Coroutine<void> attempt(std::size_t i) {
        if (i > 0) {
            // It may fail before the delay is over.
            const auto turn = co_await try_(wait_for(failed_[i - 1]->wait(), delay_));
            if (turn.cancelled()) std::rethrow_exception(turn.exception());
        }
        start(i + 1);
        auto outcome = co_await try_(connect_one(loop_, addresses_[i], locals_, errors_));
        if (outcome) {
            if (!winner_) {
                winner_ = std::move(*outcome);
                for (std::size_t other = 0; other < attempts_.size(); ++other) {
                    if (other != i) attempts_[other].cancel();
                }
            }
        } else if (outcome.cancelled()) {
            std::rethrow_exception(outcome.exception());
        } else {
            failed_[i]->set();
        }
    }

    EventLoop& loop_;
    const Addresses& addresses_;
    const Addresses* locals_;
    std::chrono::nanoseconds delay_;
    Errors& errors_;
    TaskGroup group_;
    std::vector<std::unique_ptr<Event>> failed_;
    std::vector<AnyTask> attempts_;
    Socket winner_;
};

Coroutine<Socket> connect_any(EventLoop& loop, Addresses addresses, const Addresses* locals,
                              const ConnectionOptions& options) {
    Errors errors;
    if (options.happy_eyeballs_delay) {
        Race race(loop, addresses, locals, *options.happy_eyeballs_delay, errors);
        Socket socket = co_await race.run();
        if (socket) co_return socket;
    } else {
        for (const AddressInfo& address : addresses) {
            auto outcome = co_await try_(connect_one(loop, address, locals, errors));
            if (outcome) co_return std::move(*outcome);
            if (!holds_exception<OSError>(outcome.exception())) {
                std::rethrow_exception(outcome.exception());
            }
        }
    }
    throw_connection_errors(errors, options.all_errors);
}

TlsSettings tls_of_client(const std::string& host, const ConnectionOptions& options) {
    if (options.server_hostname && options.ssl == nullptr) {
        throw ValueError("server_hostname is only meaningful with ssl");
    }
    if (options.ssl != nullptr && !options.server_hostname && host.empty()) {
        throw ValueError("You must set server_hostname when using ssl without a host");
    }
    TlsSettings settings{.context = options.ssl,
                         .server_side = false,
                         .server_hostname = options.server_hostname.value_or(host),
                         .handshake_timeout = options.ssl_handshake_timeout,
                         .shutdown_timeout = options.ssl_shutdown_timeout};
    check_tls_settings(settings);
    return settings;
}

TlsSettings tls_of_server(const ServerOptions& options) {
    TlsSettings settings{.context = options.ssl,
                         .server_side = true,
                         .server_hostname = {},
                         .handshake_timeout = options.ssl_handshake_timeout,
                         .shutdown_timeout = options.ssl_shutdown_timeout};
    check_tls_settings(settings);
    return settings;
}

}  // namespace

void require_stream_socket(const Socket& socket) {
    if (socket.type() == SOCK_STREAM) return;
    throw ValueError("A Stream Socket was expected, got one of type " +
                     std::to_string(socket.type()));
}

Coroutine<void> connect(EventLoop& loop, int fd, SocketAddress address) {
    // Not `owned`: most that fail are closed by who has no proactor to tell of it.
    const Operation operation{.kind = Operation::Kind::connect,
                              .fd = fd,
                              .buffer = const_cast<sockaddr*>(address.data()),
                              .size = address.size()};
    const int result = co_await Perform{loop, operation};
    if (result < 0) throw_os_error(-result, "Connect call failed " + address.str());
}

Coroutine<Connected> make_connection(EventLoop& loop, Socket socket, ProtocolFactory factory,
                                     TlsSettings settings) {
    Connected made;
    made.protocol = factory();
    Future<void> waiter = loop.create_future();
    const int fd = socket.fileno();
    try {
        made.transport =
            make_transport(loop, Descriptor(socket.detach()), made.protocol, settings, waiter);
    } catch (...) {
        // It is closed, and its number free for others.
        EventLoop::Internals::state(loop).proactor->forget(fd);
        throw;
    }
    auto outcome = co_await try_(waiter);
    if (!outcome) {
        made.transport->close();
        outcome.value();
    }
    co_return made;
}

Coroutine<Connected> connect_host(EventLoop& loop, ProtocolFactory factory, HostPort where,
                                  ConnectionOptions options) {
    const TlsSettings settings = tls_of_client(where.first, options);
    if (options.sock) {
        throw ValueError("host/port and sock can not be specified at the same time");
    }
    const AddressOptions wanted{.family = options.family,
                                .type = SOCK_STREAM,
                                .proto = options.proto,
                                .flags = options.flags};
    Addresses addresses = co_await resolve(loop, where, wanted);
    Addresses locals;
    if (options.local_addr) {
        locals = co_await resolve(loop, *options.local_addr, wanted);
    }
    const int lead = options.interleave.value_or(options.happy_eyeballs_delay ? 1 : 0);
    if (lead != 0) addresses = interleave(addresses, lead);
    Socket socket = co_await connect_any(loop, std::move(addresses),
                                         options.local_addr ? &locals : nullptr, options);
    co_return co_await make_connection(loop, std::move(socket), std::move(factory), settings);
}

Coroutine<Connected> connect_socket(EventLoop& loop, ProtocolFactory factory,
                                    ConnectionOptions options) {
    const TlsSettings settings = tls_of_client({}, options);
    if (!options.sock) throw ValueError("host and port was not specified and no sock specified");
    require_stream_socket(options.sock);
    co_return co_await make_connection(loop, std::move(options.sock), std::move(factory), settings);
}

// ---- servers ------------------------------------------------------------------------------

namespace {

// No socket where this machine does not have the family.
Socket listening_socket(EventLoop& loop, const AddressInfo& at, const ServerOptions& options) {
    Socket socket;
    try {
        socket = Socket::create(at.family, at.type, at.proto);
    } catch (const OSError& error) {
        if (loop.get_debug()) {
            log(LogLevel::warning,
                std::string("create_server() failed to create a socket: ") + error.what());
        }
        return {};
    }
    if (options.reuse_address) socket.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1);
    if (options.reuse_port) socket.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1);
    if (options.keep_alive) socket.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1);
    // Its IPv4 brother has a socket of its own.
    if (at.family == AF_INET6) socket.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1);
    try {
        socket.bind(at.address);
    } catch (const OSError& error) {
        const std::string text = "error while attempting to bind on address " + at.address.str();
        if (error.number() != EADDRNOTAVAIL) throw_os_error(error.number(), text);
        if (loop.get_debug()) log(LogLevel::warning, text + ": " + error.what());
        return {};
    }
    return socket;
}

}  // namespace

namespace {

// All sockets of a server on a port that the kernel chooses get the same one, if they can.
Socket listening_socket(EventLoop& loop, const AddressInfo& at, const ServerOptions& options,
                        std::uint16_t chosen) {
    if (chosen != 0) {
        AddressInfo same = at;
        same.address = SocketAddress(at.address.host(), chosen);
        try {
            return listening_socket(loop, same, options);
        } catch (const OSError& error) {
            if (error.number() != EADDRINUSE) throw;
        }
    }
    return listening_socket(loop, at, options);
}

}  // namespace

Coroutine<Server> make_server(EventLoop& loop, std::vector<Socket> sockets,
                              ServerState::Settings settings, bool start) {
    auto state = std::make_shared<ServerState>(loop, std::move(sockets), std::move(settings));
    if (start) {
        state->start();
        if (const auto turn = co_await try_(sleep(0)); !turn) {
            state->close();  // cancelled: nobody gets it, and it would listen for ever
            std::rethrow_exception(turn.exception());
        }
    }
    co_return Server(std::move(state));
}

Coroutine<Server> serve_hosts(EventLoop& loop, ProtocolFactory factory,
                              std::vector<std::string> hosts, int port, ServerOptions options) {
    TlsSettings tls = tls_of_server(options);
    if (options.sock) {
        throw ValueError("host/port and sock can not be specified at the same time");
    }
    Addresses all;
    for (std::string& host : hosts) {
        for (AddressInfo& at : co_await resolve(loop, {std::move(host), port},
                                                {.family = options.family,
                                                 .type = SOCK_STREAM,
                                                 .proto = 0,
                                                 .flags = options.flags})) {
            const bool known = std::any_of(all.begin(), all.end(), [&](const auto& other) {
                return other.address == at.address;
            });
            if (!known) all.push_back(std::move(at));
        }
    }
    std::vector<Socket> sockets;
    std::uint16_t chosen = 0;
    for (AddressInfo& at : all) {
        Socket socket = listening_socket(loop, at, options, chosen);
        if (!socket) continue;
        if (port == 0) chosen = socket.getsockname().port();
        sockets.push_back(std::move(socket));
    }
    if (sockets.empty()) {
        std::string text = "could not bind on any address out of";
        for (const AddressInfo& at : all) text += " " + at.address.str();
        throw_os_error(EADDRNOTAVAIL, text);
    }
    co_return co_await make_server(loop, std::move(sockets),
                                   {.factory = std::move(factory),
                                    .backlog = options.backlog,
                                    .tls = std::move(tls),
                                    .on_close = {},
                                    .sockets_are_shared = false},
                                   options.start_serving);
}

Coroutine<Server> serve_socket(EventLoop& loop, ProtocolFactory factory, ServerOptions options) {
    TlsSettings tls = tls_of_server(options);
    if (!options.sock) throw ValueError("Neither host/port nor sock were specified");
    require_stream_socket(options.sock);
    std::vector<Socket> sockets;
    sockets.push_back(std::move(options.sock));
    co_return co_await make_server(loop, std::move(sockets),
                                   {.factory = std::move(factory),
                                    .backlog = options.backlog,
                                    .tls = std::move(tls),
                                    .on_close = {},
                                    .sockets_are_shared = true},
                                   options.start_serving);
}

}  // namespace asyncio::detail
