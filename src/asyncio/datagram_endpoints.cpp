#include <asyncio/base_events.hpp>

#include <asyncio/outcome.hpp>

#include "connections.hpp"
#include "datagram_transport.hpp"
#include "resolve.hpp"

namespace asyncio::detail {

namespace {

// One way to make the socket: a family with the addresses that belong to it.
struct Candidate {
    int family = 0;
    int proto = 0;
    SocketAddress local = {};
    SocketAddress remote = {};
};

void refuse_modifiers(const DatagramOptions& options) {
    std::string problems;
    const auto check = [&](bool given, const char* name) {
        if (given) problems += (problems.empty() ? "" : ", ") + std::string(name);
    };
    check(options.local_addr.has_value(), "local_addr");
    check(options.remote_addr.has_value(), "remote_addr");
    check(options.family != 0, "family");
    check(options.proto != 0, "proto");
    check(options.flags != 0, "flags");
    check(options.reuse_port, "reuse_port");
    check(options.allow_broadcast, "allow_broadcast");
    if (problems.empty()) return;
    throw ValueError("socket modifier keyword arguments can not be used when sock is specified. (" +
                     problems + ")");
}

SocketAddress unix_address(const std::optional<HostPort>& address) {
    return address ? SocketAddress::unix_(address->first) : SocketAddress();
}

// Adds to the candidates what is known of one side.
Coroutine<void> resolve_side(EventLoop& loop, const std::optional<HostPort>& where,
                             const DatagramOptions& options, SocketAddress Candidate::* side,
                             std::vector<Candidate>& candidates) {
    if (!where) co_return;
    for (const AddressInfo& found : co_await resolve(loop, *where,
                                                     {.family = options.family,
                                                      .type = SOCK_DGRAM,
                                                      .proto = options.proto,
                                                      .flags = options.flags})) {
        Candidate* match = nullptr;
        for (Candidate& candidate : candidates) {
            if (candidate.family == found.family && candidate.proto == found.proto) {
                match = &candidate;
            }
        }
        if (match == nullptr) {
            match = &candidates.emplace_back(
                Candidate{.family = found.family, .proto = found.proto, .local = {}, .remote = {}});
        }
        match->*side = found.address;
    }
}

Coroutine<std::vector<Candidate>> find_candidates(EventLoop& loop, const DatagramOptions& options) {
    std::vector<Candidate> candidates;
    if (!options.local_addr && !options.remote_addr) {
        if (options.family == 0) throw ValueError("unexpected address family");
        candidates.push_back(
            {.family = options.family, .proto = options.proto, .local = {}, .remote = {}});
        co_return candidates;
    }
    if (options.family == AF_UNIX) {
        if (options.local_addr) remove_stale_socket(options.local_addr->first);
        candidates.push_back({.family = AF_UNIX,
                              .proto = options.proto,
                              .local = unix_address(options.local_addr),
                              .remote = unix_address(options.remote_addr)});
        co_return candidates;
    }
    co_await resolve_side(loop, options.local_addr, options, &Candidate::local, candidates);
    co_await resolve_side(loop, options.remote_addr, options, &Candidate::remote, candidates);
    std::erase_if(candidates, [&](const Candidate& candidate) {
        return (options.local_addr && !candidate.local) ||
               (options.remote_addr && !candidate.remote);
    });
    if (candidates.empty()) throw ValueError("can not get address information");
    co_return candidates;
}

Coroutine<Socket> open_socket(EventLoop& loop, Candidate candidate, bool reuse_port,
                              bool allow_broadcast) {
    Socket socket = Socket::create(candidate.family, SOCK_DGRAM, candidate.proto);
    if (reuse_port) socket.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1);
    if (allow_broadcast) socket.setsockopt(SOL_SOCKET, SO_BROADCAST, 1);
    if (candidate.local) socket.bind(candidate.local);
    if (candidate.remote && !allow_broadcast) {
        co_await connect(loop, socket.fileno(), candidate.remote);
    }
    co_return socket;
}

}  // namespace

Coroutine<ConnectedDatagram> make_datagram_endpoint(
    EventLoop& loop, std::function<std::shared_ptr<DatagramProtocol>()> factory,
    DatagramOptions options) {
    Socket socket = std::move(options.sock);
    SocketAddress remote;
    if (socket) {
        if (socket.type() == SOCK_STREAM) {
            throw ValueError("A datagram socket was expected, got a stream socket");
        }
        refuse_modifiers(options);
    } else {
        std::exception_ptr first;
        for (const Candidate& candidate : co_await find_candidates(loop, options)) {
            auto outcome = co_await try_(
                open_socket(loop, candidate, options.reuse_port, options.allow_broadcast));
            if (outcome) {
                socket = std::move(*outcome);
                remote = candidate.remote;
                break;
            }
            if (!holds_exception<OSError>(outcome.exception())) outcome.value();
            if (!first) first = outcome.exception();
        }
        if (!socket) std::rethrow_exception(first);
    }
    ConnectedDatagram made;
    made.protocol = factory();
    Future<void> waiter = loop.create_future();
    made.transport =
        DatagramSocketTransport::make(loop, std::move(socket), made.protocol, remote, waiter);
    auto outcome = co_await try_(waiter);
    if (!outcome) {
        made.transport->close();
        outcome.value();
    }
    co_return made;
}

}  // namespace asyncio::detail
