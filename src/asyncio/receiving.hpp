// The receiving half of a byte transport: pausing, what came while paused, and the end.
#pragma once

#include <asyncio/events.hpp>
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

  private:
    static std::span<std::byte> lend(Operation& operation) noexcept;
    static void completed(Operation& operation, int result, bool more);
    void completed_without(int result, bool more);
    // What came while nothing is delivered.
    void hold(std::string_view data);
    void ended(int result);
    void deliver(std::string_view data);
    void deliver_held();
    void go_on();
    void cancel();
    [[nodiscard]] Proactor& proactor() const noexcept;

    ReceivingTransport& transport_;
    bool started_ = false;
    bool stopped_ = false;
    bool paused_ = false;
    bool cancelling_ = false;    // the operation, by us
    bool delivery_due_ = false;  // deliver_held() is scheduled
    bool has_end_ = false;       // came while paused: end_
    bool over_ = false;          // the transport was told of the end
    int end_ = 0;
    std::unique_ptr<std::string> held_;  // came while paused
    Operation operation_;
};

}  // namespace asyncio::detail
