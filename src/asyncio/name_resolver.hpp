// Questions to name servers, as I/O of the loop (c-ares).
#pragma once

#include <netdb.h>

#include <memory>
#include <string>
#include <vector>

#include <asyncio/coroutines.hpp>
#include <asyncio/events.hpp>
#include <asyncio/resolver.hpp>

namespace asyncio::detail {

// The addresses of a name, each with port 0.
struct HostAnswer {
    int error = 0;  // EAI_*
    std::vector<SocketAddress> addresses = {};
    std::string canonname = {};
};

struct NameAnswer {
    int error = 0;  // EAI_*
    std::string host = {};
};

// One per loop, which owns it. Cancelling a question frees who asked; the answer is dropped.
class NameResolver {
  public:
    NameResolver() = default;
    NameResolver(const NameResolver&) = delete;
    NameResolver& operator=(const NameResolver&) = delete;
    virtual ~NameResolver() = default;

    // `flags`: AI_CANONNAME or 0.
    virtual Coroutine<HostAnswer> ask_host(std::string name, int family, int flags) = 0;
    // `flags`: NI_NOFQDN or 0.
    virtual Coroutine<NameAnswer> ask_name(SocketAddress address, int flags) = 0;
    // Questions under way keep the settings they were asked with.
    virtual void set_options(ResolverOptions options) = 0;
};

// Null in a build without c-ares.
[[nodiscard]] std::unique_ptr<NameResolver> make_name_resolver(EventLoop& loop);

}  // namespace asyncio::detail
