#include "signals.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>

namespace asyncio::detail {
namespace {

// For each signal the descriptor to write to, plus one; 0 where no loop listens.
std::array<std::atomic<int>, NSIG> listeners;
// Threads that are inside on_signal(), so that no descriptor is closed under them.
std::atomic<int> inside{0};

void on_signal(int signal) {
    const int error = errno;
    inside.fetch_add(1, std::memory_order_seq_cst);
    if (const int fd = listeners[static_cast<std::size_t>(signal)].load() - 1; fd >= 0) {
        const auto byte = static_cast<unsigned char>(signal);
        // A full pipe has enough news of it already.
        static_cast<void>(::write(fd, &byte, 1));
    }
    inside.fetch_sub(1, std::memory_order_seq_cst);
    errno = error;
}

// The sockets of the loops are shared with the parent, whom the child's signals do not concern.
void forget_listeners_in_forked_child() {
    for (std::atomic<int>& listener : listeners) listener.store(0);
    inside.store(0);
}

[[maybe_unused]] const int fork_handler =
    pthread_atfork(nullptr, nullptr, &forget_listeners_in_forked_child);

void require_signal_number(int signal) {
    if (signal < 1 || signal >= NSIG) {
        throw ValueError("invalid signal number " + std::to_string(signal));
    }
}

}  // namespace

SignalHandlers::SignalHandlers(EventLoop& loop) : loop_(loop) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
        throw_os_error(errno, "making a socket pair for signals");
    }
    reading_ = Socket(ends[0]);
    writing_ = Socket(ends[1]);
    link(loop);
    operation_ = {.kind = Operation::Kind::poll,
                  .multishot = true,
                  .fd = reading_.fileno(),
                  .events = POLLIN,
                  .owner = this,
                  .complete = [](Operation& operation, int result, bool) {
                      if (result >= 0) static_cast<SignalHandlers*>(operation.owner)->read_pipe();
                  }};
    EventLoop::Internals::state(loop).proactor->submit(operation_);
}

SignalHandlers::~SignalHandlers() {
    end();
}

void SignalHandlers::add(int signal, Context context, std::shared_ptr<RepeatedCallback> callback) {
    require_signal_number(signal);
    if (const auto found = handlers_.find(signal); found != handlers_.end()) {
        found->second.context = std::move(context);
        found->second.callback = std::move(callback);
        return;
    }
    Handler handler{std::move(context), std::move(callback), {}};
    const auto index = static_cast<std::size_t>(signal);
    const int before = listeners[index].exchange(writing_.fileno() + 1);
    struct sigaction ours = {};
    ours.sa_handler = &on_signal;
    ours.sa_flags = SA_RESTART;  // system calls of the program go on, as in Python
    sigfillset(&ours.sa_mask);
    if (::sigaction(signal, &ours, &handler.previous) != 0) {
        listeners[index].store(before);
        throw RuntimeError("signal " + std::to_string(signal) + " (" + strsignal(signal) +
                           ") cannot be caught");
    }
    handlers_.emplace(signal, std::move(handler));
}

bool SignalHandlers::remove(int signal) {
    require_signal_number(signal);
    const auto found = handlers_.find(signal);
    if (found == handlers_.end()) return false;
    let_go(signal, found->second);
    handlers_.erase(found);
    return true;
}

// Another loop may have taken the signal over, or the program itself: then it is theirs.
void SignalHandlers::let_go(int signal, const Handler& handler) noexcept {
    int ours = writing_.fileno() + 1;
    if (!listeners[static_cast<std::size_t>(signal)].compare_exchange_strong(ours, 0)) return;
    struct sigaction current = {};
    if (::sigaction(signal, nullptr, &current) != 0 || current.sa_handler != &on_signal) return;
    struct sigaction restored = handler.previous;
    // Of a loop that this one had taken it from: nobody tells whether that still lives.
    if (restored.sa_handler == &on_signal) {
        restored = {};
        restored.sa_handler = SIG_DFL;
    }
    ::sigaction(signal, &restored, nullptr);
}

void SignalHandlers::read_pipe() {
    unsigned char signals[256];
    const ssize_t count = ::read(reading_.fileno(), signals, sizeof signals);
    for (ssize_t i = 0; i < count; ++i) {
        const auto found = handlers_.find(signals[i]);
        if (found == handlers_.end()) continue;
        // A handler that is removed before its turn is not called any more.
        loop_.call_soon({.context = found->second.context}, RepeatedCall(found->second.callback));
    }
}

void SignalHandlers::end() noexcept {
    for (const auto& [signal, handler] : handlers_) let_go(signal, handler);
    handlers_.clear();
    while (inside.load() != 0) std::this_thread::yield();
}

void SignalHandlers::loop_closed() noexcept {
    end();
    reading_.close();
    writing_.close();
}

}  // namespace asyncio::detail

namespace asyncio {

void EventLoop::handle_signal(int signal, Context context,
                              std::shared_ptr<detail::RepeatedCallback> callback) {
    check_open();
    check_thread();
    auto& signals = state_->signals;
    if (!signals) signals = std::make_unique<detail::SignalHandlers>(*this);
    signals->add(signal, std::move(context), std::move(callback));
}

bool EventLoop::remove_signal_handler(int signal) {
    detail::require_signal_number(signal);
    return state_->signals && state_->signals->remove(signal);
}

}  // namespace asyncio
