// The receiving half of a byte transport: pausing, what came while paused, and the end.
#pragma once

#include <asyncio/events.hpp>
#include <cassert>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "loop_state.hpp"

namespace asyncio::detail {

// The transport. All calls come from the loop, none out of a call to Receiving.
class ReceivingTransport {
  public:
    // Hands data to the protocol, and returns what it would not have, having paused.
    virtual std::string_view take_input(std::string_view data) = 0;
    // Memory to read into, if the protocol has some for what comes next.
    [[nodiscard]] virtual std::span<std::byte> lend_memory() noexcept = 0;
    // 0 for the end of file, else a negative errno. Nothing comes after it.
    virtual void take_end(int result) = 0;
    // The kernel is done with the operation.
    virtual void receiving_over() noexcept = 0;
    [[nodiscard]] virtual std::shared_ptr<void> keep_alive() noexcept = 0;
    [[nodiscard]] virtual EventLoop& loop() const noexcept = 0;

  protected:
    ~ReceivingTransport() = default;
};

class Receiving {
  public:
    // `kind`: recv for sockets, read for the rest.
    Receiving(ReceivingTransport& transport, Operation::Kind kind, int fd) noexcept;
    Receiving(const Receiving&) = delete;
    Receiving& operator=(const Receiving&) = delete;

    // Reading may begin.
    void start();
    void pause();
    void resume();
    // For good. What was not delivered is dropped.
    void stop();

    [[nodiscard]] bool active() const noexcept { return !stopped_ && !paused_; }
    [[nodiscard]] bool paused() const noexcept { return paused_; }
    // Whether the kernel has the operation.
    [[nodiscard]] bool busy() const noexcept { return operation_.state != Operation::State::idle; }

  protected:
    ~Receiving() = default;
    [[nodiscard]] bool delivers() const noexcept { return active() && held_ == nullptr; }
    void completed_without(int result, bool more);
    // What came while nothing is delivered.
    void hold(std::string_view data);
    // What a transport that was given data would not have.
    void keep(std::string_view rest) {
        if (!rest.empty() && !stopped_) [[unlikely]]
            held_ = std::make_unique<std::string>(rest);
    }

    ReceivingTransport& transport_;
    Operation operation_;

  private:
    void ended(int result);
    void deliver_held();
    void go_on();
    void cancel();
    [[nodiscard]] Proactor& proactor() const noexcept;

    bool started_ = false;
    bool stopped_ = false;
    bool paused_ = false;
    bool cancelling_ = false;    // the operation, by us
    bool delivery_due_ = false;  // deliver_held() is scheduled
    bool has_end_ = false;       // came while paused: end_
    bool over_ = false;          // the transport was told of the end
    int end_ = 0;
    std::unique_ptr<std::string> held_;  // came while paused
};

// The same for a transport of a known type, which is reached without a virtual call for each
// piece of data.
template <class KnownTransport>
class ReceivingFor final : public Receiving {
  public:
    ReceivingFor(KnownTransport& transport, Operation::Kind kind, int fd) noexcept
        : Receiving(transport, kind, fd) {
        operation_.complete = &ReceivingFor::completed;
        operation_.lend = &ReceivingFor::lend;
    }

  private:
    static ReceivingFor& of(Operation& operation) noexcept {
        return static_cast<ReceivingFor&>(*static_cast<Receiving*>(operation.owner));
    }
    [[nodiscard]] KnownTransport& transport() const noexcept {
        return static_cast<KnownTransport&>(transport_);
    }

    [[gnu::hot]] static std::span<std::byte> lend(Operation& operation) noexcept {
        const ReceivingFor& self = of(operation);
        // What cannot be delivered at once is none of the protocol's yet.
        if (!self.delivers()) return {};
        return self.transport().lend_memory();
    }

    // The transport holds itself for as long as the kernel has the operation, so also while data
    // is delivered: that is not the last of it.
    [[gnu::hot]] static void completed(Operation& operation, int result, bool more) {
        ReceivingFor& self = of(operation);
        if (result <= 0) return self.completed_without(result, more);
        assert(self.busy());
        const std::string_view data(static_cast<const char*>(operation.buffer),
                                    static_cast<std::size_t>(result));
        if (!self.delivers()) [[unlikely]] {
            self.hold(data);
        } else {
            self.keep(self.transport().take_input(data));
        }
    }
};

}  // namespace asyncio::detail
