#include <asyncio/transports.hpp>

#include "describe.hpp"

namespace asyncio {

BaseProtocol::~BaseProtocol() = default;
void BaseProtocol::connection_lost(std::exception_ptr) {}
void BaseProtocol::pause_writing() {}
void BaseProtocol::resume_writing() {}

detail::ConnectionProtocol::~ConnectionProtocol() = default;
void detail::ConnectionProtocol::connection_made(std::shared_ptr<Transport>) {}
bool detail::ConnectionProtocol::eof_received() {
    return false;
}
std::span<std::byte> detail::ConnectionProtocol::lend_memory() noexcept {
    return {};
}

Protocol::~Protocol() = default;
void Protocol::data_received(std::string_view) {}

BufferedProtocol::~BufferedProtocol() = default;

DatagramProtocol::~DatagramProtocol() = default;
void DatagramProtocol::connection_made(std::shared_ptr<DatagramTransport>) {}
void DatagramProtocol::datagram_received(std::string_view, const SocketAddress&) {}
void DatagramProtocol::error_received(std::exception_ptr) {}

SubprocessProtocol::~SubprocessProtocol() = default;
void SubprocessProtocol::connection_made(std::shared_ptr<SubprocessTransport>) {}
void SubprocessProtocol::pipe_data_received(int, std::string_view) {}
void SubprocessProtocol::pipe_connection_lost(int, std::exception_ptr) {}
void SubprocessProtocol::process_exited() {}

BaseTransport::~BaseTransport() = default;

std::any BaseTransport::extra_info(std::string_view) const {
    return {};
}

std::string BaseTransport::repr() const {
    return is_closing() ? "<transport closing>" : "<transport>";
}

void BaseTransport::throw_wrong_type(std::string_view name, const std::any& value,
                                     const std::type_info& asked) {
    throw TypeError("the transport's \"" + std::string(name) + "\" is a " +
                    detail::type_text(value.type()) + "; get_extra_info() was asked for a " +
                    detail::type_text(asked));
}

void WriteTransport::write_pieces(std::span<const std::string_view> pieces) {
    std::string all;
    for (const std::string_view piece : pieces) all += piece;
    write(all);
}

}  // namespace asyncio
