// What the C++ halves of the scenarios share; scenario.py is the same in Python.
//
// Every line of a trace starts with the number of the loop's iteration, counted from the
// first line of an act. An act ends when the loop has run 20 iterations without a line, or
// sleeps: so numbers never depend on how long something took, and a wake-up that comes one
// iteration early or late shows.
#pragma once

#include <asyncio.hpp>
#include <chrono>
#include <concepts>
#include <exception>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using asyncio::Coroutine;
using asyncio::EventLoop;
using asyncio::Future;
using asyncio::Task;

// The type of an error.
std::string name(const std::exception_ptr& error);
std::string name(const std::exception& error);
std::string name(const asyncio::BaseException& error);
// "ValueError: message"; without the message where the wording is the library's.
std::string text(const std::exception_ptr& error);
std::string text(const std::exception& error);
std::string text(const asyncio::BaseException& error);

namespace scenario {

void print_line(bool numbered, const std::vector<std::string>& parts);

inline std::string show(std::string value) {
    return value;
}
inline std::string show(const char* value) {
    return value;
}
inline std::string show(std::same_as<bool> auto value) {
    return value ? "True" : "False";
}
template <std::integral N>
    requires(!std::same_as<N, bool>)
std::string show(N value) {
    return std::to_string(value);
}
inline std::string show(asyncio::None) {
    return "None";
}
inline std::string show(const std::exception_ptr& error) {
    return error ? text(error) : "None";
}
inline std::string show(const std::exception& error) {
    return text(error);
}
inline std::string show(const asyncio::BaseException& error) {
    return text(error);
}
inline std::string show(const asyncio::AnyTask& task) {
    return task ? task.get_name() : "None";
}
template <class T>
std::string show(const std::optional<T>& value);
template <class T>
std::string show(const asyncio::Outcome<T>& outcome);
template <class T>
std::string show(const std::vector<T>& values);
template <class... T>
std::string show(const std::tuple<T...>& values);

template <class T>
std::string show(const std::optional<T>& value) {
    return value ? show(*value) : "None";
}
template <class T>
std::string show(const asyncio::Outcome<T>& outcome) {
    return outcome ? show(outcome.value()) : text(outcome.exception());
}
inline std::string join(const std::vector<std::string>& parts) {
    std::string all;
    for (const std::string& part : parts) all += (all.empty() ? "" : ", ") + part;
    return "[" + all + "]";
}
template <class T>
std::string show(const std::vector<T>& values) {
    std::vector<std::string> parts;
    for (const auto& value : values) parts.push_back(show(value));
    return join(parts);
}
template <class... T>
std::string show(const std::tuple<T...>& values) {
    return std::apply(
        [](const auto&... value) { return join(std::vector<std::string>{show(value)...}); },
        values);
}

}  // namespace scenario

// Prints a line of the trace.
inline constexpr auto trace = [](const auto&... parts) {
    scenario::print_line(true, {scenario::show(parts)...});
};
// The same without an iteration, for what other threads have a hand in.
inline constexpr auto note = [](const auto&... parts) {
    scenario::print_line(false, {scenario::show(parts)...});
};

namespace scenario {
// A task or future stays its owner's; a coroutine is used up.
template <class A>
auto attempt(A& awaitable) {
    if constexpr (asyncio::isfuture_v<A>) {
        return asyncio::try_(awaitable);
    } else {
        return asyncio::try_(std::move(awaitable));
    }
}
void pass_on_exit(const std::exception_ptr& error);
}  // namespace scenario

// Awaits in the calling task and traces the outcome, cancellation included.
template <class A>
Coroutine<void> report(std::string label, A awaitable) {
    const auto outcome = co_await scenario::attempt(awaitable);
    scenario::pass_on_exit(outcome.exception());
    trace(label, "gets", outcome);
}

// Traces what the loop's exception handler is told.
void listen(EventLoop& loop);

// Keeps the loop from running, so that timers come due together.
void block(std::chrono::nanoseconds duration);

// Nothing: only Python's garbage waits for a collector.
inline void collect() {}

// The state of a task or future in a word or two.
std::string describe(const asyncio::AnyFuture& future);
