#include "fd_watchers.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "loop_state.hpp"

namespace asyncio::detail {

// Stays until the proactor is done with its operation.
struct FdWatchers::Watcher {
    FdWatchers* owner = nullptr;
    Operation operation;
    // Null once removed. Its only owner, so that one that was replaced is not called any more,
    // though its turn was due.
    std::shared_ptr<RepeatedCallback> callback;
    Context context;
    std::shared_ptr<Watcher> in_flight;  // itself, for as long as the proactor knows it

    void ready() { owner->loop_.call_soon({.context = context}, RepeatedCall(callback)); }
};

namespace {

// What a selector would refuse, on every proactor.
void require_waitable(int fd) {
    if (fd < 0) throw ValueError("invalid file descriptor: " + std::to_string(fd));
    struct stat status;
    if (::fstat(fd, &status) != 0) {
        throw_os_error(errno, "watching file descriptor " + std::to_string(fd));
    }
    if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) {
        throw_os_error(EPERM, "watching file descriptor " + std::to_string(fd) +
                                  ", a regular file, which is always ready");
    }
}

}  // namespace

void FdWatchers::add(int fd, std::uint32_t events, Context context,
                     std::shared_ptr<RepeatedCallback> callback) {
    require_waitable(fd);
    std::shared_ptr<Watcher>& entry = watchers_[{fd, events}];
    if (entry) {
        entry->callback = std::move(callback);
        entry->context = std::move(context);
        return;
    }
    entry = std::make_shared<Watcher>();
    entry->owner = this;
    entry->callback = std::move(callback);
    entry->context = std::move(context);
    entry->in_flight = entry;
    entry->operation = {.kind = Operation::Kind::poll,
                        .multishot = true,
                        .fd = fd,
                        .events = events,
                        .owner = entry.get(),
                        .complete = [](Operation& operation, int result, bool more) {
                            auto& self = *static_cast<Watcher*>(operation.owner);
                            const auto alive = more ? nullptr : std::move(self.in_flight);
                            if (self.callback && result >= 0) self.ready();
                            if (!more && self.callback) self.owner->forget(self);
                        }};
    EventLoop::Internals::state(loop_).proactor->submit(entry->operation);
}

bool FdWatchers::remove(int fd, std::uint32_t events) {
    const auto found = watchers_.find({fd, events});
    if (found == watchers_.end()) return false;
    found->second->callback = nullptr;
    EventLoop::Internals::state(loop_).proactor->cancel(found->second->operation);
    watchers_.erase(found);
    return true;
}

// Its descriptor went away under it.
void FdWatchers::forget(const Watcher& watcher) noexcept {
    const auto found = watchers_.find({watcher.operation.fd, watcher.operation.events});
    if (found != watchers_.end() && found->second.get() == &watcher) watchers_.erase(found);
}

}  // namespace asyncio::detail

namespace asyncio {

detail::FdWatchers& EventLoop::watchers_for(int fd) {
    check_open();
    check_thread();
    state_->transport_descriptors.require_free(fd);
    auto& watchers = state_->watchers;
    if (!watchers) watchers = std::make_unique<detail::FdWatchers>(*this);
    return *watchers;
}

void EventLoop::watch(int fd, bool writing, Context context,
                      std::shared_ptr<detail::RepeatedCallback> callback) {
    watchers_for(fd).add(fd, writing ? POLLOUT : POLLIN, std::move(context), std::move(callback));
}
bool EventLoop::remove_reader_of(int fd) {
    return !is_closed() && watchers_for(fd).remove(fd, POLLIN);
}
bool EventLoop::remove_writer_of(int fd) {
    return !is_closed() && watchers_for(fd).remove(fd, POLLOUT);
}

}  // namespace asyncio
