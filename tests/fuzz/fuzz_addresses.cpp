// Texts that may be addresses: those that are come back as they are meant, the others are a
// ValueError or an OSError.
#include <asyncio.hpp>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using namespace asyncio;

void require(bool condition) {
    if (!condition) std::abort();
}

void figures(std::string_view text, std::uint16_t port) {
    SocketAddress address;
    try {
        address = SocketAddress(text, port);
    } catch (const ValueError&) {
        return;
    }
    require(text.find('\0') == text.npos);
    require(address.family() == AF_INET || address.family() == AF_INET6);
    require(address.port() == port);
    require(SocketAddress(address.host(), port) == address);
    require(address.str().ends_with(":" + std::to_string(port)));
}

void path(std::string_view text) {
    try {
        const SocketAddress address = SocketAddress::unix_(text);
        require(address.path() == text);
    } catch (const ValueError&) {
    } catch (const OSError&) {
    }
}

void name_server(std::string_view text) {
    static const EventLoopPtr loop = new_event_loop();
    try {
        loop->set_resolver({.servers = {std::string(text)}});
    } catch (const ValueError&) {
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
    switch (data[0] % 3) {
        case 0:
            figures(text, static_cast<std::uint16_t>(size * 977));
            break;
        case 1:
            path(text);
            break;
        default:
            name_server(text);
    }
    return 0;
}
