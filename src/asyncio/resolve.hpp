// Addresses of hosts, for connections and servers.
#pragma once

#include <vector>

#include <asyncio/connection_options.hpp>
#include <asyncio/coroutines.hpp>
#include <asyncio/events.hpp>

namespace asyncio::detail {

// loop.getaddrinfo() without doubles. Throws: also GaiError if there is no address at all.
Coroutine<std::vector<AddressInfo>> resolve(EventLoop& loop, HostPort where,
                                            AddressOptions options);

}  // namespace asyncio::detail
