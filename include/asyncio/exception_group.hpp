// asyncio/exception_group.hpp - several errors at once.
//
//   try {
//       co_await with(TaskGroup(), crawl);
//   } catch (const ExceptionGroup& group) {
//       auto [timeouts, rest] = group.split<TimeoutError>();
//       if (timeouts) retry_later(timeouts->exceptions().size());
//       if (rest) throw *rest;
//   }
//
// A group is a std::exception, like its members. Where a member is a BaseException (which
// ordinary handlers must not see), the group is a BaseExceptionGroup instead.
//
// Source: Python's built-in ExceptionGroup and BaseExceptionGroup.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <asyncio/exceptions.hpp>

namespace asyncio {

namespace detail {

class Traceback;

// The message and the members, shared by copies of the group, as a thrown object's are.
struct GroupBody {
    std::string message;
    std::string text;  // with the count
    std::vector<std::exception_ptr> exceptions;
    std::vector<std::shared_ptr<const Traceback>> tracebacks;  // of each, null where unknown
};
using SharedGroup = std::shared_ptr<const GroupBody>;
using Matches = std::function<bool(const std::exception_ptr&)>;

// Throws: ValueError for no exceptions, TypeError for a null one.
[[nodiscard]] SharedGroup make_group(std::string message,
                                     std::vector<std::exception_ptr> exceptions);
// The part that matches and the part that does not, nested groups divided in place; null
// where a part is empty.
[[nodiscard]] std::pair<SharedGroup, SharedGroup> split_group(const SharedGroup& group,
                                                              const Matches& matches);
// Python's traceback form without the traceback: one line per member, nested ones indented.
[[nodiscard]] std::string format_group(const GroupBody& group, int depth);

}  // namespace detail

class ExceptionGroup : public std::exception {
  public:
    // Throws: ValueError for no exceptions; TypeError for a null one, and for a member that
    // is a BaseException.
    ExceptionGroup(std::string message, std::vector<std::exception_ptr> exceptions);
    ~ExceptionGroup() override;

    [[nodiscard]] const std::string& message() const noexcept { return body_->message; }
    [[nodiscard]] const std::vector<std::exception_ptr>& exceptions() const noexcept {
        return body_->exceptions;
    }
    // "message (2 sub-exceptions)".
    [[nodiscard]] const char* what() const noexcept override { return body_->text.c_str(); }
    // Every member on a line of its own, nested groups indented.
    [[nodiscard]] std::string format() const { return detail::format_group(*body_, 0); }

    // Members for which `matches(exception_ptr)` holds, and the others. Nested groups are
    // divided and keep their place and message.
    [[nodiscard]] std::pair<std::optional<ExceptionGroup>, std::optional<ExceptionGroup>> split(
        const std::function<bool(const std::exception_ptr&)>& matches) const;
    // By type: E and what derives from it.
    template <class E>
    [[nodiscard]] auto split() const {
        return split([](const std::exception_ptr& error) { return holds_exception<E>(error); });
    }
    // The first half of split().
    [[nodiscard]] std::optional<ExceptionGroup> subgroup(
        const std::function<bool(const std::exception_ptr&)>& matches) const {
        return split(matches).first;
    }
    template <class E>
    [[nodiscard]] std::optional<ExceptionGroup> subgroup() const {
        return split<E>().first;
    }
    // A group with this message and other members.
    [[nodiscard]] ExceptionGroup derive(std::vector<std::exception_ptr> exceptions) const {
        return ExceptionGroup(message(), std::move(exceptions));
    }

    // Private to the library.
    [[nodiscard]] const detail::GroupBody& body() const noexcept { return *body_; }

  private:
    explicit ExceptionGroup(detail::SharedGroup body) noexcept : body_(std::move(body)) {}
    detail::SharedGroup body_;
};

// A group with a member that is a BaseException.
class BaseExceptionGroup : public BaseException {
  public:
    BaseExceptionGroup(std::string message, std::vector<std::exception_ptr> exceptions);
    ~BaseExceptionGroup() override;
    [[nodiscard]] const std::vector<std::exception_ptr>& exceptions() const noexcept {
        return body_->exceptions;
    }
    [[nodiscard]] std::string format() const { return detail::format_group(*body_, 0); }

    // Private to the library.
    [[nodiscard]] const detail::GroupBody& body() const noexcept { return *body_; }

  private:
    explicit BaseExceptionGroup(detail::SharedGroup body);
    detail::SharedGroup body_;
};

// An ExceptionGroup, or a BaseExceptionGroup where a member asks for it: Python's
// BaseExceptionGroup(message, exceptions).
[[nodiscard]] std::exception_ptr make_exception_group(std::string message,
                                                      std::vector<std::exception_ptr> exceptions);

}  // namespace asyncio
