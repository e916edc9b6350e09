#include "flow_control.hpp"

#include <algorithm>
#include <cstring>

#include <asyncio/events.hpp>
#include <asyncio/futures.hpp>

#include "protocol_slot.hpp"
#include "transport_errors.hpp"

namespace asyncio::detail {

void FlowControl::set_limits(WriteBufferLimits limits, std::ptrdiff_t default_high) {
    const std::ptrdiff_t high = limits.high.value_or(limits.low ? 4 * *limits.low : default_high);
    const std::ptrdiff_t low = limits.low.value_or(high / 4);
    if (high < low || low < 0) {
        throw ValueError("high (" + std::to_string(high) + ") must be >= low (" +
                         std::to_string(low) + ") must be >= 0");
    }
    high_ = static_cast<std::size_t>(high);
    low_ = static_cast<std::size_t>(low);
}

void FlowControl::pause(EventLoop& loop, BaseTransport& transport) {
    paused_ = true;
    const std::shared_ptr<BaseProtocol> protocol = transport.get_protocol();
    if (protocol == nullptr) return;
    guard_callback(loop, transport, "protocol.pause_writing() failed",
                   [&] { protocol->pause_writing(); });
}

void FlowControl::resume(EventLoop& loop, BaseTransport& transport) {
    paused_ = false;
    const std::shared_ptr<BaseProtocol> protocol = transport.get_protocol();
    if (protocol == nullptr) return;
    guard_callback(loop, transport, "protocol.resume_writing() failed",
                   [&] { protocol->resume_writing(); });
}

// ---- ProtocolSlot -------------------------------------------------------------------------

void ProtocolSlot::set(std::shared_ptr<BaseProtocol> protocol) {
    if (dynamic_cast<Protocol*>(protocol.get()) != nullptr) {
        buffered_ = false;
    } else if (dynamic_cast<BufferedProtocol*>(protocol.get()) != nullptr) {
        buffered_ = true;
    } else {
        throw TypeError(protocol == nullptr
                            ? "a transport needs a protocol; the factory gave none"
                            : "a stream transport needs a Protocol or a BufferedProtocol, not "
                              "another kind of BaseProtocol");
    }
    protocol_ = std::move(protocol);
}

void ProtocolSlot::exchange(std::shared_ptr<BaseProtocol> protocol, EventLoop& loop) {
    const std::shared_ptr<BaseProtocol> before = protocol_;
    set(std::move(protocol));
    if (receiving_) loop.call_soon([before] {});
}

void ProtocolSlot::connection_made(std::shared_ptr<Transport> transport) {
    const std::shared_ptr<BaseProtocol> keep = protocol_;
    connection().connection_made(std::move(transport));
}

bool ProtocolSlot::eof_received() {
    const std::shared_ptr<BaseProtocol> keep = protocol_;
    return connection().eof_received();
}

std::size_t ProtocolSlot::fill_buffer(std::string_view data) {
    const std::shared_ptr<BaseProtocol> keep = protocol_;
    auto& protocol = static_cast<BufferedProtocol&>(*protocol_);
    asking_ = true;
    const std::span<std::byte> buffer = protocol.get_buffer(data.size());
    if (buffer.empty()) throw RuntimeError("get_buffer() returned an empty buffer");
    asking_ = false;
    const std::size_t count = std::min(buffer.size(), data.size());
    std::memcpy(buffer.data(), data.data(), count);
    protocol.buffer_updated(count);
    return count;
}

const char* ProtocolSlot::failure() const noexcept {
    if (!buffered_) return "Fatal error: protocol.data_received() call failed.";
    return asking_ ? "Fatal error: protocol.get_buffer() call failed."
                   : "Fatal error: protocol.buffer_updated() call failed.";
}

}  // namespace asyncio::detail
