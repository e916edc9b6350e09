// How worker processes come into being: from a fork server, by spawning the
// program again, or by forking this one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <multiprocessing.hpp>

#include "process_wire.hpp"

namespace concurrent::futures::detail {

// How a process ended, "was killed by signal 9 (Killed)". Unknown while `kind` is 0.
struct ExitStatus {
    int kind = 0;   // CLD_EXITED, CLD_KILLED, CLD_DUMPED
    int value = 0;  // exit code or signal

    [[nodiscard]] bool clean() const noexcept;
    [[nodiscard]] std::string describe() const;
};

// A process that was started, or the errno that prevented it.
struct Started {
    std::uint64_t ticket = 0;
    pid_t pid = 0;
    Descriptor pidfd{};  // readable once the process has ended
    int error = 0;
};

// Starts the workers of one pool. Everything happens on one thread, the pool's
// manager: the kernel ends a child with the thread that started it.
class Launcher {
  public:
    virtual ~Launcher() = default;

    // Starts a process that serves `socket`. The answer comes out of news().
    virtual void launch(std::uint64_t ticket, Descriptor socket) = 0;
    virtual std::optional<Started> news() = 0;
    // Readable when there may be news; -1 if they are there after launch() at once.
    [[nodiscard]] virtual int poll_descriptor() const noexcept { return -1; }
    // Why nothing can be started any more; empty while it can.
    [[nodiscard]] virtual std::string failure() { return {}; }
    // Takes the remains of a process whose pidfd became readable.
    virtual ExitStatus reap(std::uint64_t ticket, int pidfd) = 0;
};

// Throws OSError if the first step fails. `in_copy` runs in each worker that is a
// copy of this process.
std::unique_ptr<Launcher> make_launcher(multiprocessing::StartMethod method,
                                        std::function<void()> in_copy);

// Starts the program again as `role` ('s' for a fork server, 'w' for a worker) that
// talks on `socket`. Throws OSError.
struct Child {
    pid_t pid = 0;
    Descriptor pidfd;
};
Child spawn_program(char role, int socket);
// Waits for a child of ours to end. Unknown if somebody else took its remains.
ExitStatus wait_child(int pidfd);

std::unique_ptr<Launcher> make_fork_server();

// --- The child's side ---------------------------------------------------------------------------

// The environment variable that makes the program a child: "role:descriptor:parent".
inline constexpr const char* child_variable = "ASYNCIO_CPP_CHILD";

// Whether this process was started to serve a pool and has not begun to.
[[nodiscard]] bool is_unclaimed_child() noexcept;
// Whether main() is ours to enter first, by the link option or by freeze_support().
[[nodiscard]] bool can_take_over() noexcept;

// The life of a fork server and of a worker.
[[noreturn]] void serve_forks(Descriptor control, pid_t parent);
[[noreturn]] void serve_calls(Descriptor socket, pid_t parent);
// What both do first.
void become_child(const char* name, pid_t parent);
// Ends the process at once, with its output flushed.
[[noreturn]] void leave(int status) noexcept;

}  // namespace concurrent::futures::detail
