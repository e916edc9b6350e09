// asyncio/streams.hpp - connections to read from and to write to.
//
//   Coroutine<void> echo(StreamReader reader, StreamWriter writer) {
//       while (auto line = co_await anext(reader)) {
//           writer.write(*line);
//           co_await writer.drain();
//       }
//       writer.close();
//       co_await writer.wait_closed();
//   }
//   Server server = co_await start_server(echo, "127.0.0.1", 8888);
//   auto [reader, writer] = co_await open_connection("127.0.0.1", 8888);
//
// Readers and writers are handles: copies name the same stream, as Python references do. When
// the last handle of a writer that was not closed goes, the connection is closed, with a
// warning in debug mode.
//
// Thread: the loop's own only.
//
// Source: Python's asyncio.streams.
#pragma once

#include <any>
#include <concepts>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asyncio/base_events.hpp>
#include <asyncio/coroutines.hpp>
#include <asyncio/streams_detail.hpp>
#include <asyncio/tasks.hpp>
#include <asyncio/transports.hpp>

namespace asyncio {

// The receiving end. One task reads at a time: a second one gets RuntimeError while the first
// still waits. A cancelled read loses nothing: what came for it is there for the next one.
class StreamReader {
  public:
    // `limit`: how long a line may be, in bytes; above twice as much of unread data the
    // transport is asked to pause. On the current loop unless one is given.
    // Throws: ValueError unless limit > 0.
    explicit StreamReader(std::ptrdiff_t limit = 64 * 1024)
        : StreamReader(get_event_loop(), limit) {}
    explicit StreamReader(EventLoop& loop, std::ptrdiff_t limit = 64 * 1024)
        : state_(new detail::ReaderState(loop, limit)) {}

    // Up to `n` bytes, as soon as there are any; empty at the end of file. A negative `n` reads
    // until the end of file.
    // Throws, as all of them: what set_exception() was given, an error of the connection.
    detail::Read<detail::SomeWaiter, std::ptrdiff_t> read(std::ptrdiff_t n = -1) const {
        return detail::Read<detail::SomeWaiter, std::ptrdiff_t>(state_, n);
    }
    // The same into the caller's memory, which has to live until then; 0 at the end of file. No
    // allocation; into 16 KiB and more much is received straight, the rest is copied once.
    detail::Read<detail::IntoWaiter, std::span<std::byte>> read_into(
        std::span<std::byte> memory) const {
        return detail::Read<detail::IntoWaiter, std::span<std::byte>>(state_, memory);
    }
    detail::Read<detail::IntoWaiter, std::span<std::byte>> read_into(std::span<char> memory) const {
        return read_into(std::as_writable_bytes(memory));
    }
    // Up to `n` bytes, as soon as there are any, as a view of the reader's own memory; empty at
    // the end of file. Valid until the next read of this reader begins, or its last handle goes:
    // hand it to write(), or to whatever else copies it or is done with it by then. No allocation
    // in steady state. Large pieces are received straight into a block of 256 KiB of the loop's,
    // which the reader holds for as long as the view is valid; small ones are copied once. While
    // it waits, it holds neither. Throws, and is cancelled, as read().
    detail::Read<detail::ViewWaiter, std::size_t> read_view(
        std::size_t n = std::string_view::npos) const {
        return detail::Read<detail::ViewWaiter, std::size_t>(state_, n);
    }
    // Through the next '\n'. At the end of file what is left, perhaps nothing.
    // Throws: ValueError for a line longer than the limit, which is dropped if it is complete;
    // else what came of it is.
    detail::Read<detail::ReadLine> readline() const {
        return detail::Read<detail::ReadLine>(state_);
    }
    // Exactly `n` bytes, whatever the limit.
    // Throws: ValueError for a negative `n`; IncompleteReadError, with what came, at the end.
    detail::Read<detail::ExactlyWaiter, std::ptrdiff_t> readexactly(std::ptrdiff_t n) const;
    // Through `separator`, or through that one of several that ends first.
    // Throws: ValueError for an empty one; IncompleteReadError, with what came, at the end of
    // file; LimitOverrunError, with the data left in the reader, above the limit.
    detail::Read<detail::UntilWaiter, std::vector<std::string>> readuntil(
        std::string separator = "\n") const;
    detail::Read<detail::UntilWaiter, std::vector<std::string>> readuntil(
        std::vector<std::string> separators) const;
    detail::Read<detail::UntilWaiter, std::vector<std::string>> readuntil(
        std::initializer_list<std::string> separators) const {
        return readuntil(std::vector<std::string>(separators));
    }
    // Line by line: `while (auto line = co_await anext(reader))`.
    detail::Read<detail::NextLine> anext() const { return detail::Read<detail::NextLine>(state_); }

    // Nothing is left, and nothing will come.
    [[nodiscard]] bool at_eof() const noexcept { return state_->at_eof(); }
    // Null when there is none.
    [[nodiscard]] std::exception_ptr exception() const noexcept { return state_->exception(); }

    // For protocols, and for tests that play the connection.
    void feed_data(std::string_view data) const { state_->feed_data(data); }
    void feed_eof() const { state_->feed_eof(); }
    // Ends the read that waits, and every later one, with `error`.
    template <class E>
    void set_exception(E&& error) const {
        state_->set_exception(detail::to_exception(std::forward<E>(error)));
    }
    // Throws: RuntimeError the second time.
    void set_transport(std::shared_ptr<ReadTransport> transport) const {
        state_->set_transport(std::move(transport));
    }

    [[nodiscard]] std::string repr() const { return state_->repr(); }
    friend bool operator==(const StreamReader&, const StreamReader&) noexcept = default;

    // Private to the library.
    explicit StreamReader(detail::Ref<detail::ReaderState> state) noexcept
        : state_(std::move(state)) {}
    [[nodiscard]] const detail::Ref<detail::ReaderState>& state() const noexcept { return state_; }

  private:
    detail::Ref<detail::ReaderState> state_;
};

class StreamReaderProtocol;

// The sending end.
class StreamWriter {
  public:
    // `loop` is the one of the protocol.
    StreamWriter(std::shared_ptr<Transport> transport,
                 std::shared_ptr<StreamReaderProtocol> protocol, std::optional<StreamReader> reader,
                 EventLoop& loop);

    // Sends what can be sent at once, and buffers the rest. Follow it with drain().
    // Throws: RuntimeError after write_eof().
    void write(std::string_view data) const;
    void write(std::span<const std::byte> data) const;
    void write(const char* text) const { write(std::string_view(text)); }
    template <std::ranges::input_range Pieces>
        requires std::convertible_to<std::ranges::range_reference_t<Pieces>, std::string_view>
    void writelines(Pieces&& pieces) const {
        transport()->writelines(std::forward<Pieces>(pieces));
    }
    void writelines(std::initializer_list<std::string_view> pieces) const {
        transport()->writelines(pieces);
    }
    // Waits while more is buffered than the transport's high-water mark. Several may wait.
    // Throws: ConnectionResetError once the connection is lost, and an error of the reader.
    // Cancellation: nothing happens to what was written.
    detail::Drain drain() const { return detail::Drain(state_); }

    // Goes on by TLS, once what was written is sent: as the client, or as the server where the
    // stream came from start_server(). Readers and writers stay the same.
    // `options.server_side` is not looked at. Throws: as EventLoop::start_tls() and drain().
    Coroutine<void> start_tls(std::shared_ptr<ssl::SSLContext> context,
                              StartTlsOptions options = {}) const;

    void write_eof() const { transport()->write_eof(); }
    [[nodiscard]] bool can_write_eof() const { return transport()->can_write_eof(); }
    // Sends what is buffered, and closes both directions.
    void close() const { transport()->close(); }
    [[nodiscard]] bool is_closing() const { return transport()->is_closing(); }
    // Returns when the connection is closed. Throws: the error that ended it.
    Coroutine<void> wait_closed() const;

    // See BaseTransport.
    template <class T>
    [[nodiscard]] std::optional<T> get_extra_info(std::string_view name) const {
        return transport()->get_extra_info<T>(name);
    }
    template <class T>
    [[nodiscard]] T get_extra_info(std::string_view name, T otherwise) const {
        return transport()->get_extra_info<T>(name, std::move(otherwise));
    }
    [[nodiscard]] const std::shared_ptr<Transport>& transport() const noexcept;

    [[nodiscard]] std::string repr() const;
    friend bool operator==(const StreamWriter&, const StreamWriter&) noexcept = default;

    // Private to the library.
    [[nodiscard]] const detail::Ref<detail::WriterState>& state() const noexcept { return state_; }

  private:
    detail::Ref<detail::WriterState> state_;
};

namespace detail {

// What start_server() calls for each connection.
class ClientHandler {
  public:
    ClientHandler() = default;
    ClientHandler(const ClientHandler&) = delete;
    ClientHandler& operator=(const ClientHandler&) = delete;
    virtual ~ClientHandler();

    void add_reference() noexcept { references_.add(); }
    void drop_reference() noexcept {
        if (references_.drop()) delete this;
    }
    // The task that serves it, if the handler is a coroutine.
    virtual AnyTask start(EventLoop& loop, StreamReader reader, StreamWriter writer) = 0;

  private:
    RefCount references_;
};

// Whether a function is known to take its arguments by value: then its own frame keeps them.
template <class Signature>
inline constexpr bool takes_values = false;
template <class R, class... Parameters>
inline constexpr bool takes_values<std::function<R(Parameters...)>> =
    (!std::is_reference_v<Parameters> && ...);

// Keeps what a handler takes by reference.
template <class F, class Result>
Coroutine<await_result_t<Result>> call_client_handler(F& function, StreamReader reader,
                                                      StreamWriter writer) {
    co_return co_await std::invoke(function, std::move(reader), std::move(writer));
}

template <class F>
class ClientHandlerOf final : public ClientHandler {
  public:
    explicit ClientHandlerOf(F function) : function_(std::move(function)) {}
    AnyTask start(EventLoop& loop, StreamReader reader, StreamWriter writer) override {
        using Result = std::invoke_result_t<F&, StreamReader, StreamWriter>;
        if constexpr (CoroutineLike<Result> && takes_values<typename SignatureOf<F>::type>) {
            return loop.create_task(std::invoke(function_, std::move(reader), std::move(writer)));
        } else if constexpr (CoroutineLike<Result>) {
            return loop.create_task(
                call_client_handler<F, Result>(function_, std::move(reader), std::move(writer)));
        } else {
            std::invoke(function_, std::move(reader), std::move(writer));
            return {};
        }
    }

  private:
    F function_;
};

}  // namespace detail

// Feeds a StreamReader from a transport. With a handler it is the server's side, and calls that
// when the connection is made.
class StreamReaderProtocol : public Protocol,
                             public std::enable_shared_from_this<StreamReaderProtocol> {
  public:
    explicit StreamReaderProtocol(StreamReader reader,
                                  detail::Ref<detail::ClientHandler> handler = nullptr);
    ~StreamReaderProtocol() override;

    void connection_made(std::shared_ptr<Transport> transport) override;
    void connection_lost(std::exception_ptr error) override;
    void data_received(std::string_view data) override;
    bool eof_received() override;
    void pause_writing() override;
    void resume_writing() override;

    // Private to the library.
    [[nodiscard]] EventLoop& loop() const noexcept { return reader_->loop(); }
    [[nodiscard]] std::span<std::byte> lend_memory() noexcept override;
    [[nodiscard]] bool must_drain() const noexcept { return paused_ || lost_; }
    [[nodiscard]] bool serves() const noexcept { return bool(handler_); }
    Coroutine<void> wait_drained();
    Coroutine<void> wait_closed();
    // For start_tls(), and after it.
    [[nodiscard]] std::string take_unread() { return reader_->take_all(); }
    [[nodiscard]] bool has_ended() const noexcept { return reader_->has_eof(); }
    void replace_transport(const std::shared_ptr<Transport>& transport);

  private:
    class Wait;
    struct WaitFor;
    struct Waiting;

    Waiting& waiting();
    void wake(detail::WaitLine Waiting::* line) noexcept;

    detail::Ref<detail::ReaderState> reader_;
    detail::Ref<detail::ClientHandler> handler_;
    bool over_ssl_ = false;
    bool paused_ = false;
    bool lost_ = false;
    std::exception_ptr error_;          // that ended the connection
    std::unique_ptr<Waiting> waiting_;  // made when the first one waits
};

using StreamPair = std::pair<StreamReader, StreamWriter>;

// Connects and gives a reader and a writer. Options, errors and cancellation as
// EventLoop::create_connection(), and `limit` as StreamReader's.
Coroutine<StreamPair> open_connection(std::string host, int port, ConnectionOptions options = {});
Coroutine<StreamPair> open_connection(ConnectionOptions options);

namespace detail {
Coroutine<Server> serve_streams(Ref<ClientHandler> handler, std::vector<std::string> hosts,
                                int port, ServerOptions options);
Coroutine<Server> serve_streams(Ref<ClientHandler> handler, ServerOptions options);
Coroutine<StreamPair> open_unix_stream(std::optional<std::string> path,
                                       UnixConnectionOptions options);
Coroutine<Server> serve_unix_streams(Ref<ClientHandler> handler, std::optional<std::string> path,
                                     UnixServerOptions options);

template <class F>
concept ConnectionHandler = std::invocable<std::decay_t<F>&, StreamReader, StreamWriter>;
template <ConnectionHandler F>
Ref<ClientHandler> make_handler(F&& handler) {
    return Ref<ClientHandler>(new ClientHandlerOf<std::decay_t<F>>(std::forward<F>(handler)));
}
}  // namespace detail

// Calls `handler(reader, writer)` for each connection: a coroutine function or lambda, which
// then runs as a task, or a plain function. The handler lives until its last task is done. What
// it takes by reference lives as long, at the cost of one more frame. What a task throws is
// reported, and its connection closed.
// Options and errors as EventLoop::create_server(), and `limit` as StreamReader's.
template <detail::ConnectionHandler F>
Coroutine<Server> start_server(F&& handler, std::string host, int port,
                               ServerOptions options = {}) {
    return detail::serve_streams(detail::make_handler(std::forward<F>(handler)), {std::move(host)},
                                 port, std::move(options));
}
template <detail::ConnectionHandler F>
Coroutine<Server> start_server(F&& handler, std::vector<std::string> hosts, int port,
                               ServerOptions options = {}) {
    return detail::serve_streams(detail::make_handler(std::forward<F>(handler)), std::move(hosts),
                                 port, std::move(options));
}
template <detail::ConnectionHandler F>
Coroutine<Server> start_server(F&& handler, std::initializer_list<std::string> hosts, int port,
                               ServerOptions options = {}) {
    return start_server(std::forward<F>(handler), std::vector<std::string>(hosts), port,
                        std::move(options));
}
template <detail::ConnectionHandler F>
Coroutine<Server> start_server(F&& handler, ServerOptions options) {
    return detail::serve_streams(detail::make_handler(std::forward<F>(handler)),
                                 std::move(options));
}

// The same over Unix sockets: see EventLoop::create_unix_connection() and
// create_unix_server().
inline Coroutine<StreamPair> open_unix_connection(std::string path,
                                                  UnixConnectionOptions options = {}) {
    return detail::open_unix_stream(std::move(path), std::move(options));
}
inline Coroutine<StreamPair> open_unix_connection(UnixConnectionOptions options) {
    return detail::open_unix_stream(std::nullopt, std::move(options));
}
template <detail::ConnectionHandler F>
Coroutine<Server> start_unix_server(F&& handler, std::string path, UnixServerOptions options = {}) {
    return detail::serve_unix_streams(detail::make_handler(std::forward<F>(handler)),
                                      std::move(path), std::move(options));
}
template <detail::ConnectionHandler F>
Coroutine<Server> start_unix_server(F&& handler, UnixServerOptions options) {
    return detail::serve_unix_streams(detail::make_handler(std::forward<F>(handler)), std::nullopt,
                                      std::move(options));
}

}  // namespace asyncio
