// How transports report: errors of their protocols, of the kernel, and their own loss.
#pragma once

#include <asyncio/events.hpp>
#include <asyncio/exceptions.hpp>
#include <asyncio/transports.hpp>
#include <exception>
#include <string>

namespace asyncio::detail {

// The subclass of OSError for `number`, as an exception to be passed on.
[[nodiscard]] std::exception_ptr make_os_error(int number, const std::string& what);

// Tells the loop's exception handler of `error`.
void report_of_transport(EventLoop& loop, BaseTransport& transport, std::string message,
                         std::exception_ptr error);

// In a handler. Throws on what ends the program.
[[nodiscard]] std::exception_ptr current_error_unless_fatal();

// Runs a callback of a protocol; what it throws is reported.
// Throws: what ends the program.
template <class F>
void guard_callback(EventLoop& loop, BaseTransport& transport, const char* message, F callback) {
    try {
        callback();
    } catch (...) {
        report_of_transport(loop, transport, message, current_error_unless_fatal());
    }
}

// Counts a write to a lost connection; warns of the fifth and later ones.
void count_lost_write(std::uint32_t& count,
                      const char* warning = "socket.send() raised exception.");

// A write to a pipe that nobody reads is an error to handle, not a reason to die. As Python
// does for the whole process, and only where the program has not decided otherwise.
void ignore_broken_pipe_signal();

// In debug mode: a transport that went without being closed.
void report_unclosed(EventLoop& loop, const BaseTransport& transport) noexcept;

}  // namespace asyncio::detail
