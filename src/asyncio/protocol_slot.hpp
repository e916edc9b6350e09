// The protocol of a byte transport: which kind it is, found out once, and the calls to it.
#pragma once

#include <asyncio/events.hpp>
#include <asyncio/protocols.hpp>
#include <memory>
#include <span>
#include <string_view>

namespace asyncio::detail {

class ProtocolSlot {
  public:
    // Throws: TypeError unless it is a Protocol or a BufferedProtocol.
    void set(std::shared_ptr<BaseProtocol> protocol);
    // The same, also out of a call to the one that was set: that lives on until it is over.
    void exchange(std::shared_ptr<BaseProtocol> protocol, EventLoop& loop);
    // Gives it up, for its owner to destroy when nothing of it runs any more.
    [[nodiscard]] std::shared_ptr<BaseProtocol> take() noexcept {
        return std::exchange(protocol_, nullptr);
    }
    [[nodiscard]] const std::shared_ptr<BaseProtocol>& get() const noexcept { return protocol_; }
    [[nodiscard]] explicit operator bool() const noexcept { return protocol_ != nullptr; }

    // Each keeps the protocol alive for as long as it runs, whatever it does to its transport.
    void connection_made(std::shared_ptr<Transport> transport);
    [[nodiscard]] bool eof_received();
    [[nodiscard]] std::span<std::byte> lend_memory() const noexcept {
        return connection().lend_memory();
    }
    // Hands `data` on, to a BufferedProtocol in as many pieces as its buffers ask for, until
    // `stopped()`. What was not handed on is returned.
    // Throws: what the protocol throws; RuntimeError for a buffer of no size.
    template <class Stopped>
    std::string_view receive(std::string_view data, Stopped stopped) {
        if (buffered_) [[unlikely]]
            return fill_buffers(data, stopped);
        const Call call(*this);
        static_cast<Protocol&>(*protocol_).data_received(data);
        return {};
    }

    // What to report of a receive() that threw.
    [[nodiscard]] const char* failure() const noexcept;

  private:
    template <class Stopped>
    [[gnu::noinline]] std::string_view fill_buffers(std::string_view data, Stopped stopped) {
        while (!data.empty() && !stopped()) {
            // It may have been exchanged for one of the other kind.
            if (!buffered_) return receive(data, stopped);
            data.remove_prefix(fill_buffer(data));
        }
        return data;
    }

    // One of data_received(). Cheaper than a handle to the protocol for as long.
    class Call {
      public:
        explicit Call(ProtocolSlot& slot) noexcept : slot_(slot) { slot.receiving_ = true; }
        Call(const Call&) = delete;
        Call& operator=(const Call&) = delete;
        ~Call() { slot_.receiving_ = false; }

      private:
        ProtocolSlot& slot_;
    };

    [[nodiscard]] ConnectionProtocol& connection() const noexcept {
        return static_cast<ConnectionProtocol&>(*protocol_);
    }
    std::size_t fill_buffer(std::string_view data);

    std::shared_ptr<BaseProtocol> protocol_;
    bool buffered_ = false;
    bool asking_ = false;     // a BufferedProtocol for memory
    bool receiving_ = false;  // data_received() is being called
};

}  // namespace asyncio::detail
