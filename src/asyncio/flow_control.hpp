// When a transport tells its protocol to stop and to go on writing.
#pragma once

#include <asyncio/transports.hpp>
#include <cstddef>
#include <utility>

namespace asyncio {
class EventLoop;
}

namespace asyncio::detail {

class FlowControl {
  public:
    // Throws: ValueError unless high >= low >= 0.
    void set_limits(WriteBufferLimits limits, std::ptrdiff_t default_high = 64 * 1024);
    [[nodiscard]] std::pair<std::size_t, std::size_t> limits() const noexcept {
        return {low_, high_};
    }

    // To be called when `size`, what is buffered, has grown or shrunk. What the protocol throws
    // goes to the exception handler.
    void grown(std::size_t size, EventLoop& loop, BaseTransport& transport) {
        if (size > high_ && !paused_) [[unlikely]]
            pause(loop, transport);
    }
    void shrunk(std::size_t size, EventLoop& loop, BaseTransport& transport) {
        if (paused_ && size <= low_) [[unlikely]]
            resume(loop, transport);
    }

  private:
    void pause(EventLoop& loop, BaseTransport& transport);
    void resume(EventLoop& loop, BaseTransport& transport);

    std::size_t high_ = 64 * 1024;
    std::size_t low_ = 16 * 1024;
    bool paused_ = false;
};

}  // namespace asyncio::detail
