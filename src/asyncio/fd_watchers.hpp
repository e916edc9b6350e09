// Callbacks for as long as a descriptor is readable, or writable: what add_reader() and
// add_writer() keep.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include <asyncio/contextvars.hpp>
#include <asyncio/events.hpp>

#include "proactors/proactor.hpp"

namespace asyncio::detail {

class FdWatchers {
  public:
    explicit FdWatchers(EventLoop& loop) noexcept : loop_(loop) {}

    // Replaces the callback that is there. `events` is POLLIN or POLLOUT.
    // Throws: ValueError for a negative descriptor, OSError for one that cannot be waited for.
    void add(int fd, std::uint32_t events, Context context,
             std::shared_ptr<RepeatedCallback> callback);
    bool remove(int fd, std::uint32_t events);

  private:
    struct Watcher;
    using Key = std::pair<int, std::uint32_t>;

    void forget(const Watcher& watcher) noexcept;

    EventLoop& loop_;
    std::map<Key, std::shared_ptr<Watcher>> watchers_;
};

}  // namespace asyncio::detail
