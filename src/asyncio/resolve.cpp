#include "resolve.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <memory>
#include <optional>

#include <asyncio/threads.hpp>

namespace asyncio::detail {

namespace {

// Null for what is not an address in figures.
std::optional<SocketAddress> parse(const HostPort& where) {
    if (where.first.empty() ||
        where.first.find_first_not_of("0123456789abcdefABCDEF.:%") == std::string::npos) {
        try {
            return SocketAddress(where.first, static_cast<std::uint16_t>(where.second));
        } catch (const ValueError&) {
            return std::nullopt;
        }
    }
    if (where.first.find(':') == std::string::npos) return std::nullopt;
    try {  // an interface's name behind the figures
        return SocketAddress(where.first, static_cast<std::uint16_t>(where.second));
    } catch (const ValueError&) {
        return std::nullopt;
    }
}

struct FreeAddressList {
    void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

std::vector<ResolvedAddress> ask(const HostPort& where, int family, int type, int proto,
                                 int flags) {
    addrinfo hints{};
    hints.ai_family = family;
    hints.ai_socktype = type;
    hints.ai_protocol = proto;
    hints.ai_flags = flags;
    const std::string port = std::to_string(where.second);
    addrinfo* raw = nullptr;
    const int error = ::getaddrinfo(where.first.empty() ? nullptr : where.first.c_str(),
                                    port.c_str(), &hints, &raw);
    if (error != 0) {
        const int number = error == EAI_SYSTEM ? errno : EHOSTUNREACH;
        throw_os_error(number, "getaddrinfo for \"" + where.first + "\": " + ::gai_strerror(error));
    }
    const std::unique_ptr<addrinfo, FreeAddressList> list(raw);
    std::vector<ResolvedAddress> all;
    for (const addrinfo* info = raw; info != nullptr; info = info->ai_next) {
        all.push_back({.family = info->ai_family,
                       .type = info->ai_socktype,
                       .proto = info->ai_protocol,
                       .address = {info->ai_addr, info->ai_addrlen}});
    }
    return all;
}

}  // namespace

Coroutine<std::vector<ResolvedAddress>> resolve(EventLoop& loop, HostPort where, int family,
                                                int type, int proto, int flags) {
    if (where.second < 0 || where.second > 65535) {
        throw ValueError("port must be 0-65535, not " + std::to_string(where.second));
    }
    if (where.first.find('\0') != where.first.npos) {
        throw ValueError("embedded null byte in a host name");
    }
    std::vector<ResolvedAddress> all;
    if (const auto address = parse(where)) {
        const bool wanted = family == AF_UNSPEC || family == address->family();
        if (!wanted) {
            throw_os_error(EAFNOSUPPORT, where.first + " is no address of the family asked for");
        }
        all.push_back(
            {.family = address->family(), .type = type, .proto = proto, .address = *address});
        co_return all;
    }
    auto answer = loop.run_in_executor(nullptr, ask, where, family, type, proto, flags);
    for (ResolvedAddress& found : co_await std::move(answer)) {
        const bool known = std::any_of(all.begin(), all.end(), [&](const ResolvedAddress& other) {
            return other.address == found.address && other.type == found.type;
        });
        if (!known) all.push_back(std::move(found));
    }
    if (all.empty()) throw_os_error(EHOSTUNREACH, "getaddrinfo() returned empty list");
    co_return all;
}

}  // namespace asyncio::detail
