// What the scenarios of I/O share; io_scenario.py is the same in Python.
//
// Real I/O comes at iterations that differ from run to run: such lines have no number, and
// each step waits for what the one before has caused.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "scenario.hpp"

namespace io {

// Bytes in quotes, long ones as their number.
inline std::string show(std::string_view value) {
    if (value.size() > 60) return std::to_string(value.size()) + " bytes";
    std::string text = "\"";
    for (const char c : value) {
        switch (c) {
            case '\n':
                text += "\\n";
                break;
            case '\r':
                text += "\\r";
                break;
            case '\0':
                text += "\\0";
                break;
            default:
                text += c;
        }
    }
    return text + "\"";
}
inline std::string show(asyncio::None) {
    return "None";
}
template <std::integral N>
std::string show(N value) {
    return scenario::show(value);
}
template <class T>
std::string show(const std::optional<T>& value) {
    return value ? show(*value) : "None";
}
template <class A, class B>
std::string show(const std::pair<A, B>& value) {
    return "[" + show(value.first) + ", " + show(value.second) + "]";
}

// The type of an error with its message, whosever the wording is.
inline std::string said(const std::exception& error) {
    const std::string what = error.what();
    return what.empty() ? name(error) : name(error) + ": " + what;
}
inline std::string said(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& e) {
        return said(e);
    } catch (const asyncio::BaseException& e) {
        return *e.what() == '\0' ? name(e) : name(e) + ": " + e.what();
    }
}
// Errors with what they carry.
inline std::string show(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const asyncio::IncompleteReadError& e) {
        return said(e) + ", partial " + show(e.partial());
    } catch (const asyncio::LimitOverrunError& e) {
        return said(e) + ", consumed " + std::to_string(e.consumed());
    } catch (...) {
        return text(error);
    }
}

// The type of an error, or None.
inline std::string kind(const std::exception_ptr& error) {
    return error ? name(error) : "None";
}

template <class T>
std::string show_outcome(const asyncio::Outcome<T>& outcome) {
    scenario::pass_on_exit(outcome.exception());
    return outcome ? show(outcome.value()) : show(outcome.exception());
}

// Awaits and notes the outcome, cancellation included.
template <class A>
Coroutine<void> noted(std::string label, A awaitable) {
    const auto outcome = co_await scenario::attempt(awaitable);
    note(label, "gets", show_outcome(outcome));
}
// The same with the iteration.
template <class A>
Coroutine<void> traced(std::string label, A awaitable) {
    const auto outcome = co_await scenario::attempt(awaitable);
    trace(label, "gets", show_outcome(outcome));
}

// What `make()` gives, made when it is awaited: in Python nothing of a coroutine runs before
// that, our methods check their arguments at once.
template <class F>
auto lazily(F make) -> Coroutine<decltype(make().operator co_await().await_resume())> {
    co_return co_await make();
}

// Calls and notes what is thrown, or nothing.
template <class F>
void attempted(std::string label, F function) {
    try {
        function();
    } catch (const std::exception&) {
        note(label, "throws", show(std::current_exception()));
        return;
    }
    note(label, "is fine");
}

// Notes what it is told.
class Recorder : public asyncio::Protocol {
  public:
    explicit Recorder(std::string label_given, bool keep_open_given = false,
                      bool quiet_given = false)
        : label(std::move(label_given)), keep_open(keep_open_given), quiet(quiet_given) {}

    void connection_made(std::shared_ptr<asyncio::Transport> made_transport) override {
        note(label, "connection_made");
        transport = std::move(made_transport);
        made.set_result();
    }
    void data_received(std::string_view data) override {
        if (!quiet) note(label, "data_received", show(data));
        received += data;
        if (received.size() >= expected && !got.done()) got.set_result();
    }
    bool eof_received() override {
        note(label, "eof_received");
        eof.set_result();
        return keep_open;
    }
    void connection_lost(std::exception_ptr error) override {
        note(label, "connection_lost", kind(error));
        lost.set_result();
        transport.reset();
    }
    void pause_writing() override { note(label, "pause_writing"); }
    void resume_writing() override {
        note(label, "resume_writing");
        if (!resumed.done()) resumed.set_result();
    }

    // Returns when that many bytes have come, and forgets them.
    Coroutine<void> receives(std::size_t count) {
        expected = count;
        if (received.size() < count) {
            got = Future<void>();
            co_await got;
        }
        received.clear();
    }

    std::string label;
    bool keep_open;
    bool quiet;  // about data
    std::string received;
    std::size_t expected = 0;
    Future<void> made, got, eof, lost, resumed;
    std::shared_ptr<asyncio::Transport> transport;
};

// A transport with that protocol, and a plain socket at the other end.
template <class P>
Coroutine<std::pair<std::shared_ptr<asyncio::Transport>, asyncio::Socket>> connected(
    std::shared_ptr<P> protocol) {
    auto [ours, theirs] = asyncio::socketpair();
    auto [transport, same] = co_await asyncio::get_running_loop().create_connection(
        [protocol] { return protocol; }, {.sock = std::move(ours)});
    co_return {std::move(transport), std::move(theirs)};
}

inline void send(const asyncio::TransportSocket& sock, std::string_view data) {
    static_cast<void>(::send(sock.fileno(), data.data(), data.size(), MSG_NOSIGNAL));
}

// What there is to receive just now; nothing at the end of file with nothing before it.
inline std::optional<std::string> pending(const asyncio::TransportSocket& sock) {
    std::string data;
    std::string piece(65536, '\0');
    for (;;) {
        const ssize_t n = ::recv(sock.fileno(), piece.data(), piece.size(), MSG_DONTWAIT);
        if (n < 0) return data;
        if (n == 0) return data.empty() ? std::optional<std::string>() : data;
        data.append(piece, 0, static_cast<std::size_t>(n));
    }
}

// That many bytes, or fewer at the end of file.
inline Coroutine<std::string> receive(asyncio::TransportSocket sock, std::size_t count) {
    std::string data;
    while (data.size() < count) {
        const std::string piece = co_await asyncio::get_running_loop().sock_recv(sock, 65536);
        if (piece.empty()) break;
        data += piece;
    }
    co_return data;
}

// Notes what the loop's exception handler is told.
inline void listen(EventLoop& loop) {
    loop.set_exception_handler([](EventLoop&, const asyncio::ExceptionContext& context) {
        // Without the object's description, which is each library's own.
        const std::string message = context.message.substr(0, context.message.find("in callback"));
        note("handler:", message, context.exception ? show(context.exception) : "None");
    });
}

}  // namespace io
