// Where the places come from that an exception's traceback lists.
#pragma once

#include <asyncio/futures_detail.hpp>
#include <cstddef>
#include <exception>
#include <memory>
#include <source_location>
#include <vector>

namespace asyncio::detail {

// The awaits that one exception left, innermost first. Of very many, the two ends.
class Traceback {
  public:
    void add(std::source_location where);
    [[nodiscard]] std::vector<std::source_location> places() const;
    [[nodiscard]] std::size_t left_out() const noexcept;

    // Of the exception that std::throw_with_nested() put into this one, where it is known.
    std::shared_ptr<const Traceback> cause;

  private:
    std::vector<std::source_location> places_;
    std::size_t total_ = 0;
};

using SharedTraceback = std::shared_ptr<const Traceback>;

// Of an exception that is on its way in this thread, or that a future holds; null when there
// is none.
[[nodiscard]] SharedTraceback find_traceback(const std::exception_ptr& error) noexcept;

// The future fails with `error`: what is known of its way is kept with the future. True when
// something is.
bool keep_traceback(const FutureBase& future, const std::exception_ptr& error) noexcept;
// `error` is on its way again, out of the future that kept it.
void resume_traceback(const FutureBase& future, const std::exception_ptr& error) noexcept;
void forget_traceback(const FutureBase& future) noexcept;

// The task's step ends, and with it the way of what it caught.
void drop_traceback() noexcept;

}  // namespace asyncio::detail
