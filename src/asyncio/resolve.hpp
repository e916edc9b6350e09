// Addresses of hosts, for connections and servers.
#pragma once

#include <asyncio/connection_options.hpp>
#include <asyncio/coroutines.hpp>
#include <asyncio/events.hpp>
#include <asyncio/sockets.hpp>
#include <vector>

namespace asyncio::detail {

struct ResolvedAddress {
    int family = 0;
    int type = 0;
    int proto = 0;
    SocketAddress address = {};
};

// In the resolver's order, without doubles. An empty host is every interface, or this machine
// without AI_PASSIVE. Figures are not asked for.
// Throws: OSError for a name that is not known, ValueError for an impossible port.
Coroutine<std::vector<ResolvedAddress>> resolve(EventLoop& loop, HostPort where, int family,
                                                int type, int proto, int flags);

}  // namespace asyncio::detail
