#include <asyncio/exception_group.hpp>

#include <algorithm>

#include "traceback_state.hpp"

namespace asyncio {

namespace detail {

namespace {

bool is_base_exception(const std::exception_ptr& error) noexcept {
    return holds_exception<BaseException>(error);
}

// The body of a nested group, null for any other exception.
SharedGroup nested(const std::exception_ptr& error) {
    if (!holds_exception<ExceptionGroup>(error)) return nullptr;
    try {
        std::rethrow_exception(error);
    } catch (const ExceptionGroup& group) {
        return make_group(group.message(), group.exceptions());
    }
}

}  // namespace

SharedGroup make_group(std::string message, std::vector<std::exception_ptr> exceptions) {
    if (exceptions.empty()) {
        throw ValueError("an exception group needs at least one exception");
    }
    if (std::find(exceptions.begin(), exceptions.end(), nullptr) != exceptions.end()) {
        throw TypeError("a member of an exception group is a null pointer");
    }
    auto body = std::make_shared<GroupBody>();
    body->text = message + " (" + std::to_string(exceptions.size()) + " sub-exception" +
                 (exceptions.size() == 1 ? ")" : "s)");
    body->message = std::move(message);
    body->tracebacks.reserve(exceptions.size());
    for (const std::exception_ptr& error : exceptions) {
        body->tracebacks.push_back(find_traceback(error));
    }
    body->exceptions = std::move(exceptions);
    return body;
}

std::pair<SharedGroup, SharedGroup> split_group(const SharedGroup& group, const Matches& matches) {
    std::vector<std::exception_ptr> with, without;
    for (const std::exception_ptr& error : group->exceptions) {
        if (matches(error)) {
            with.push_back(error);
        } else if (const SharedGroup inner = nested(error)) {
            const auto [inside, outside] = split_group(inner, matches);
            if (inside) with.push_back(make_exception_group(inside->message, inside->exceptions));
            if (outside) {
                without.push_back(make_exception_group(outside->message, outside->exceptions));
            }
        } else {
            without.push_back(error);
        }
    }
    const auto part = [&](std::vector<std::exception_ptr> members) -> SharedGroup {
        return members.empty() ? nullptr : make_group(group->message, std::move(members));
    };
    return {part(std::move(with)), part(std::move(without))};
}

std::string format_group(const GroupBody& group, int depth) {
    const std::string indent(static_cast<std::size_t>(depth) * 2, ' ');
    std::string text = indent + "ExceptionGroup: " + group.text;
    int number = 0;
    for (const std::exception_ptr& error : group.exceptions) {
        text += "\n" + indent + "+-- " + std::to_string(++number) + ". ";
        if (const SharedGroup inner = nested(error)) {
            text += format_group(*inner, depth + 1).substr(indent.size() + 2);
        } else {
            text += describe_exception(error);
        }
    }
    return text;
}

}  // namespace detail

ExceptionGroup::~ExceptionGroup() = default;
BaseExceptionGroup::~BaseExceptionGroup() = default;

ExceptionGroup::ExceptionGroup(std::string message, std::vector<std::exception_ptr> exceptions)
    : body_(detail::make_group(std::move(message), std::move(exceptions))) {
    if (std::any_of(body_->exceptions.begin(), body_->exceptions.end(),
                    detail::is_base_exception)) {
        throw TypeError("an ExceptionGroup cannot hold a BaseException; use BaseExceptionGroup");
    }
}

std::pair<std::optional<ExceptionGroup>, std::optional<ExceptionGroup>> ExceptionGroup::split(
    const std::function<bool(const std::exception_ptr&)>& matches) const {
    const auto whole = std::make_exception_ptr(*this);
    if (matches(whole)) return {*this, std::nullopt};
    const auto [with, without] = detail::split_group(body_, matches);
    const auto part = [](const detail::SharedGroup& body) -> std::optional<ExceptionGroup> {
        if (!body) return std::nullopt;
        return ExceptionGroup(body);
    };
    return {part(with), part(without)};
}

BaseExceptionGroup::BaseExceptionGroup(std::string message,
                                       std::vector<std::exception_ptr> exceptions)
    : BaseExceptionGroup(detail::make_group(std::move(message), std::move(exceptions))) {}

BaseExceptionGroup::BaseExceptionGroup(detail::SharedGroup body)
    : BaseException(body->text), body_(std::move(body)) {}

std::exception_ptr make_exception_group(std::string message,
                                        std::vector<std::exception_ptr> exceptions) {
    const bool base = std::any_of(exceptions.begin(), exceptions.end(), detail::is_base_exception);
    if (base) {
        return std::make_exception_ptr(
            BaseExceptionGroup(std::move(message), std::move(exceptions)));
    }
    return std::make_exception_ptr(ExceptionGroup(std::move(message), std::move(exceptions)));
}

}  // namespace asyncio
