#include "transport_errors.hpp"

#include <csignal>
#include <mutex>

#include <asyncio/futures.hpp>
#include <asyncio/log.hpp>

namespace asyncio::detail {

namespace {

constexpr std::uint32_t lost_writes_before_warning = 5;

}  // namespace

std::exception_ptr make_os_error(int number, const std::string& what) {
    try {
        throw_os_error(number, what);
    } catch (...) {
        return std::current_exception();
    }
}

void report_of_transport(EventLoop& loop, BaseTransport& transport, std::string message,
                         std::exception_ptr error) {
    ExceptionContext context;
    context.message = std::move(message);
    context.exception = std::move(error);
    context.transport = transport.share();
    context.protocol = transport.get_protocol();
    loop.call_exception_handler(context);
}

std::exception_ptr current_error_unless_fatal() {
    std::exception_ptr error = std::current_exception();
    if (holds_exception<KeyboardInterrupt>(error) || holds_exception<SystemExit>(error)) throw;
    return error;
}

void count_lost_write(std::uint32_t& count, const char* warning) {
    if (count >= lost_writes_before_warning) log(LogLevel::warning, warning);
    ++count;
}

void report_unclosed(EventLoop& loop, const BaseTransport& transport) noexcept {
    if (!loop.get_debug()) return;
    try {
        log(LogLevel::warning, "unclosed transport " + transport.repr());
    } catch (...) {
        // A report out of a destructor; there is nobody to tell.
    }
}

void ignore_broken_pipe_signal() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction current{};
        if (::sigaction(SIGPIPE, nullptr, &current) != 0) return;
        if ((current.sa_flags & SA_SIGINFO) == 0 && current.sa_handler == SIG_DFL) {
            ::signal(SIGPIPE, SIG_IGN);
        }
    });
}

}  // namespace asyncio::detail
