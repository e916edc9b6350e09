// What add_signal_handler() keeps: a pipe that the process's signal handler writes to and the
// loop reads, so that callbacks run in the loop and not in the middle of anything.
#pragma once

#include <signal.h>

#include <map>

#include <asyncio/contextvars.hpp>
#include <asyncio/sockets.hpp>

#include "loop_state.hpp"

namespace asyncio::detail {

class SignalHandlers final : public LoopResource {
  public:
    // Throws: OSError when there is no pipe for it.
    explicit SignalHandlers(EventLoop& loop);
    ~SignalHandlers();

    // Throws: ValueError for a number that is no signal, RuntimeError for one that cannot be
    // caught.
    void add(int signal, Context context, std::shared_ptr<RepeatedCallback> callback);
    bool remove(int signal);
    void loop_closed() noexcept override;

  private:
    struct Handler {
        Context context;
        std::shared_ptr<RepeatedCallback> callback;
        struct sigaction previous;
    };

    void read_pipe();
    void let_go(int signal, const Handler& handler) noexcept;
    void end() noexcept;

    EventLoop& loop_;
    Socket reading_, writing_;
    Operation operation_;
    std::map<int, Handler> handlers_;
};

}  // namespace asyncio::detail
