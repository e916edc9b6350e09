// The transport of a child process: its pipes, and its end, told by a pidfd.
//
// No signal handler is involved, and no child is waited for but our own. The transport holds
// itself from when the child starts until connection_lost() was called, so a child is waited
// for even when nobody has a handle to it; when its loop closes before, the child is killed.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <asyncio/coroutines.hpp>
#include <asyncio/futures.hpp>
#include <asyncio/subprocess_options.hpp>
#include <asyncio/transports.hpp>

#include "loop_state.hpp"
#include "spawn.hpp"

namespace asyncio::detail {

class ChildPipe;

class ChildTransport final : public SubprocessTransport, public LoopResource {
  public:
    // Starts the program. connection_made() and the completion of `waiter` are two callbacks,
    // in that order, of the next iteration.
    // Throws: see create_subprocess_exec().
    static std::shared_ptr<ChildTransport> start(EventLoop& loop,
                                                 std::shared_ptr<SubprocessProtocol> protocol,
                                                 const std::vector<std::string>& command,
                                                 const SubprocessOptions& options,
                                                 Future<void> waiter);
    ChildTransport(EventLoop& loop, std::shared_ptr<SubprocessProtocol> protocol,
                   SpawnedChild child);
    ~ChildTransport() override;

    void close() override;
    [[nodiscard]] bool is_closing() const noexcept override { return closed_; }
    [[nodiscard]] std::any extra_info(std::string_view name) const override;
    void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
    [[nodiscard]] std::shared_ptr<BaseProtocol> get_protocol() const override { return protocol_; }
    [[nodiscard]] std::string repr() const override;

    [[nodiscard]] int get_pid() const noexcept override { return child_.pid; }
    [[nodiscard]] std::optional<int> get_returncode() const noexcept override {
        return returncode_;
    }
    [[nodiscard]] std::shared_ptr<Transport> get_pipe_transport(int fd) const override;
    void send_signal(int signal) override;
    void terminate() override;
    void kill() override;

    // The return code, once there is one.
    static Coroutine<int> wait(std::shared_ptr<ChildTransport> self);
    void loop_closed() noexcept override;

  private:
    friend class ChildPipe;

    [[nodiscard]] std::shared_ptr<ChildTransport> self() noexcept {
        return {weak_from_this().lock(), this};
    }
    void begin(std::array<Descriptor, 3> pipes, Future<void> waiter);
    void watch();
    static void ended(Operation& operation, int result, bool more);
    void take_returncode();
    // How the protocol is told; what it throws is reported.
    void call(const char* message, const std::function<void(SubprocessProtocol&)>& callback);
    void pipe_lost(int fd, std::exception_ptr error);
    void finish_if_over();
    void lose();
    // An error the kernel gives, or 0.
    [[nodiscard]] int try_signal(int signal) const noexcept;

    LoopReference loop_;
    std::shared_ptr<SubprocessProtocol> protocol_;
    SpawnedChild child_;
    std::optional<int> returncode_;
    bool closed_ = false;
    bool ending_ = false;  // connection_lost() is due
    bool lost_ = false;    // and was called
    Operation poll_;
    std::array<std::shared_ptr<Transport>, 3> pipes_;
    int open_pipes_ = 0;
    std::vector<Future<int>> waiters_;
    std::shared_ptr<ChildTransport> alive_;  // itself
};

// Starts a child and waits until its protocol is connected.
// Cancellation: kills the child and waits for its end.
Coroutine<std::shared_ptr<ChildTransport>> start_child(EventLoop& loop,
                                                       std::shared_ptr<SubprocessProtocol> protocol,
                                                       std::vector<std::string> command,
                                                       SubprocessOptions options);

}  // namespace asyncio::detail
