// What needs no question is asked of the system's getaddrinfo(), told to ask nobody, so that it
// gives what it always gives; only names go to the name resolver.
#include "resolve.hpp"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include <asyncio/log.hpp>
#include <asyncio/threads.hpp>

#include "loop_state.hpp"
#include "name_resolver.hpp"

namespace asyncio {

namespace {

class GaiCategory final : public std::error_category {
  public:
    [[nodiscard]] const char* name() const noexcept override { return "getaddrinfo"; }
    [[nodiscard]] std::string message(int code) const override { return ::gai_strerror(code); }
};

const std::error_category& gai_category() noexcept {
    static const GaiCategory category;
    return category;
}

}  // namespace

GaiError::GaiError(int code, const std::string& what)
    : OSError(std::error_code(code, gai_category()), "[Errno " + std::to_string(code) + "] " +
                                                         ::gai_strerror(code) +
                                                         (what.empty() ? "" : ": " + what)) {}
GaiError::~GaiError() = default;

namespace detail {

namespace {

using Infos = std::vector<AddressInfo>;

[[noreturn]] void throw_gai(int code, const std::string& what) {
    if (code == EAI_SYSTEM) throw_os_error(errno, what);
    throw GaiError(code, what);
}

// ---- what the system answers --------------------------------------------------------------

struct FreeAddressList {
    void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

// Empty strings are null pointers. An EAI_* code, or 0 and the answers.
int ask_system(const std::string& host, const std::string& service, const AddressOptions& options,
               Infos& answers) {
    addrinfo hints{};
    hints.ai_family = options.family;
    hints.ai_socktype = options.type;
    hints.ai_protocol = options.proto;
    hints.ai_flags = options.flags;
    addrinfo* raw = nullptr;
    const int error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(),
                                    service.empty() ? "0" : service.c_str(), &hints, &raw);
    if (error != 0) return error;
    const std::unique_ptr<addrinfo, FreeAddressList> list(raw);
    for (const addrinfo* info = raw; info != nullptr; info = info->ai_next) {
        answers.push_back({.family = info->ai_family,
                           .type = info->ai_socktype,
                           .proto = info->ai_protocol,
                           .canonname = info->ai_canonname != nullptr ? info->ai_canonname : "",
                           .address = {info->ai_addr, info->ai_addrlen}});
    }
    return 0;
}

// Without asking anybody: null when the host is a name.
std::optional<Infos> known_at_once(const std::string& host, const std::string& service,
                                   AddressOptions options) {
    const bool wants_figures = (options.flags & AI_NUMERICHOST) != 0;
    options.flags |= AI_NUMERICHOST;
    Infos answers;
    const int error = ask_system(host, service, options, answers);
    if (error == 0) return answers;
    if (error == EAI_NONAME && !host.empty() && !wants_figures) return std::nullopt;
    throw_gai(error, host.empty() ? service : host);
}

// ---- what the name servers answer ---------------------------------------------------------

// Whether this machine has an address of the family, beyond those that reach only itself.
bool has_address_of(int family) {
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0) return true;
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(all, ::freeifaddrs);
    for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
        if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != family) continue;
        const auto* v4 = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
        const auto* v6 = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr);
        const bool to_itself = family == AF_INET
                                   ? (ntohl(v4->sin_addr.s_addr) >> 24) == IN_LOOPBACKNET
                                   : IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
        if (!to_itself) return true;
    }
    return false;
}

// AI_ADDRCONFIG: what cannot be reached need not be asked for.
int family_to_ask_for(const AddressOptions& options) {
    if ((options.flags & AI_ADDRCONFIG) == 0 || options.family != AF_UNSPEC) return options.family;
    const bool v4 = has_address_of(AF_INET);
    const bool v6 = has_address_of(AF_INET6);
    if (v4 == v6) return AF_UNSPEC;
    return v4 ? AF_INET : AF_INET6;
}

SocketAddress with_port(const SocketAddress& address, std::uint16_t port) {
    sockaddr_storage storage{};
    std::copy_n(reinterpret_cast<const char*>(address.data()), address.size(),
                reinterpret_cast<char*>(&storage));
    if (address.family() == AF_INET) {
        reinterpret_cast<sockaddr_in&>(storage).sin_port = htons(port);
    } else {
        reinterpret_cast<sockaddr_in6&>(storage).sin6_port = htons(port);
    }
    return {reinterpret_cast<const sockaddr*>(&storage), address.size()};
}

SocketAddress mapped_to_v6(const SocketAddress& address) {
    return {"::ffff:" + address.host(), address.port()};
}

Coroutine<HostAnswer> ask_names(NameResolver& resolver, std::string host, AddressOptions options) {
    const int family = family_to_ask_for(options);
    const int flags = options.flags & AI_CANONNAME;
    HostAnswer answer = co_await resolver.ask_host(host, family, flags);
    const bool none = answer.error == EAI_NODATA || answer.error == EAI_NONAME;
    if (none && family == AF_INET6 && (options.flags & AI_V4MAPPED) != 0) {
        answer = co_await resolver.ask_host(host, AF_INET, flags);
        std::transform(answer.addresses.begin(), answer.addresses.end(), answer.addresses.begin(),
                       mapped_to_v6);
    }
    co_return answer;
}

Coroutine<Infos> ask_name_servers(NameResolver& resolver, std::string host, std::string service,
                                  AddressOptions options) {
    // The kinds of socket that are wanted, each with the port the service has there.
    Infos kinds;
    if (const int error = ask_system("0.0.0.0", service,
                                     {.family = AF_INET,
                                      .type = options.type,
                                      .proto = options.proto,
                                      .flags = (options.flags & AI_NUMERICSERV) | AI_NUMERICHOST},
                                     kinds)) {
        throw_gai(error, service.empty() ? host : service);
    }
    const HostAnswer answer = co_await ask_names(resolver, host, options);
    if (answer.error != 0) throw_gai(answer.error, host);
    Infos infos;
    for (const SocketAddress& address : answer.addresses) {
        for (const AddressInfo& kind : kinds) {
            infos.push_back({.family = address.family(),
                             .type = kind.type,
                             .proto = kind.proto,
                             .canonname = {},
                             .address = with_port(address, kind.address.port())});
        }
    }
    if (infos.empty()) throw_gai(EAI_NODATA, host);
    if ((options.flags & AI_CANONNAME) != 0) {
        infos.front().canonname = answer.canonname.empty() ? host : answer.canonname;
    }
    co_return infos;
}

// ---- which of them ------------------------------------------------------------------------

// Null for the system's own.
NameResolver* name_resolver_of(EventLoop& loop) {
    LoopState& state = EventLoop::Internals::state(loop);
    if (state.system_resolver) return nullptr;
    if (!state.resolver) state.resolver = make_name_resolver(loop);
    return state.resolver.get();
}

void check_name(const std::string& name, const char* what) {
    if (name.find('\0') != name.npos) {
        throw ValueError(std::string("embedded null byte in a ") + what);
    }
    const auto beyond_ascii = [](unsigned char c) { return c > 127; };
    if (std::any_of(name.begin(), name.end(), beyond_ascii)) {
        throw ValueError("a " + std::string(what) + " is ASCII; encode \"" + name +
                         "\" by the rules of IDNA first");
    }
}

Infos ask_system_or_throw(const std::string& host, const std::string& service,
                          const AddressOptions& options) {
    Infos answers;
    if (const int error = ask_system(host, service, options, answers)) throw_gai(error, host);
    return answers;
}

Coroutine<Infos> look_up(EventLoop& loop, std::string host, std::string service,
                         AddressOptions options) {
    EventLoop::Internals::check_usable(loop);
    check_name(host, "host name");
    check_name(service, "service name");
    if (auto known = known_at_once(host, service, options)) co_return std::move(*known);
    if (NameResolver* resolver = name_resolver_of(loop)) {
        co_return co_await ask_name_servers(*resolver, std::move(host), std::move(service),
                                            options);
    }
    co_return co_await loop.run_in_executor(nullptr, ask_system_or_throw, std::move(host),
                                            std::move(service), options);
}

// In debug mode, says what took so long.
Coroutine<Infos> look_up_and_tell(EventLoop& loop, std::string host, std::string service,
                                  AddressOptions options) {
    const auto start = loop.time();
    const std::string what = host + ":" + service;
    Infos infos = co_await look_up(loop, std::move(host), std::move(service), options);
    const auto took = loop.time() - start;
    if (took >= loop.slow_callback_duration) {
        const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
        log(LogLevel::info, "Getting address info " + what + " took " + std::to_string(ms) + " ms");
    }
    co_return infos;
}

std::pair<int, std::pair<std::string, std::string>> name_by_system(const SocketAddress& address,
                                                                   int flags) {
    char host[NI_MAXHOST] = {};
    char service[NI_MAXSERV] = {};
    const int error = ::getnameinfo(address.data(), address.size(), host, sizeof host, service,
                                    sizeof service, flags);
    return {error, {host, service}};
}

std::pair<std::string, std::string> name_by_system_or_throw(const SocketAddress& address,
                                                            int flags) {
    auto [error, names] = name_by_system(address, flags);
    if (error != 0) throw_gai(error, address.str());
    return names;
}

}  // namespace

Coroutine<Infos> resolve(EventLoop& loop, HostPort where, AddressOptions options) {
    Infos all;
    for (AddressInfo& found :
         co_await loop.getaddrinfo(std::move(where.first), where.second, options)) {
        const bool known = std::any_of(all.begin(), all.end(), [&](const AddressInfo& other) {
            return other.address == found.address && other.type == found.type;
        });
        if (!known) all.push_back(std::move(found));
    }
    co_return all;
}

#ifndef ASYNCIO_HAVE_CARES
std::unique_ptr<NameResolver> make_name_resolver(EventLoop&) {
    return nullptr;
}
#endif

}  // namespace detail

Coroutine<std::vector<AddressInfo>> EventLoop::getaddrinfo(std::string host, std::string service,
                                                           AddressOptions options) {
    return debug_ ? detail::look_up_and_tell(*this, std::move(host), std::move(service), options)
                  : detail::look_up(*this, std::move(host), std::move(service), options);
}

Coroutine<std::vector<AddressInfo>> EventLoop::getaddrinfo(std::string host, int port,
                                                           AddressOptions options) {
    if (port < 0 || port > 65535) {
        throw ValueError("port must be 0-65535, not " + std::to_string(port));
    }
    co_return co_await getaddrinfo(std::move(host), std::to_string(port), options);
}

Coroutine<std::pair<std::string, std::string>> EventLoop::getnameinfo(SocketAddress address,
                                                                      int flags) {
    check_open();
    check_thread();
    const bool has_name = address.family() == AF_INET || address.family() == AF_INET6;
    if (!has_name || (flags & NI_NUMERICHOST) != 0) {
        co_return detail::name_by_system_or_throw(address, flags);
    }
    detail::NameResolver* resolver = detail::name_resolver_of(*this);
    if (resolver == nullptr) {
        co_return co_await run_in_executor(nullptr, detail::name_by_system_or_throw, address,
                                           flags);
    }
    auto names = detail::name_by_system_or_throw(address, (flags & ~NI_NAMEREQD) | NI_NUMERICHOST);
    const detail::NameAnswer answer = co_await resolver->ask_name(address, flags & NI_NOFQDN);
    if (answer.error == 0) {
        names.first = answer.host;
    } else if (answer.error == EAI_AGAIN || (flags & NI_NAMEREQD) != 0) {
        const bool unknown = answer.error == EAI_NODATA;
        throw GaiError(unknown ? EAI_NONAME : answer.error, address.host());
    }
    co_return names;
}

void EventLoop::set_resolver(ResolverOptions options) {
    check_open();
    check_thread();
    state_->system_resolver = false;
    if (detail::NameResolver* resolver = detail::name_resolver_of(*this)) {
        const bool system = options.system;
        resolver->set_options(std::move(options));
        state_->system_resolver = system;
    } else if (!options.servers.empty()) {
        throw NotImplementedError("this build of the library has no c-ares to ask a server with");
    }
}

}  // namespace asyncio
