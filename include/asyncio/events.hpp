// asyncio/events.hpp - the event loop, its callbacks and how to get at it.
//
//   EventLoop& loop = get_running_loop();
//   loop.call_soon([] { fmt::print("next iteration\n"); });
//   TimerHandle bell = loop.call_later(2s, ring, "tea");
//   bell.cancel();
//
// Most programs only ever call asyncio::run() and never name the loop.
//
// One iteration: wait for completions (not at all when something is ready), queue the timers
// that are due, run exactly the callbacks that were ready, in the order they were scheduled.
//
// Thread: everything here belongs to the loop's own thread except call_soon_threadsafe(),
// run_coroutine_threadsafe() and what says so. In debug mode a call from another thread
// throws RuntimeError.
//
// Source: Python's asyncio.events, asyncio.base_events.
#pragma once

#include <atomic>
#include <chrono>
#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <asyncio/awaitable_detail.hpp>
#include <asyncio/callbacks_detail.hpp>
#include <asyncio/connection_options.hpp>
#include <asyncio/contextvars.hpp>
#include <asyncio/events_detail.hpp>
#include <asyncio/exceptions.hpp>
#include <asyncio/resolver.hpp>

namespace concurrent::futures {
class ThreadPoolExecutor;
}

namespace asyncio {

class AnyTask;
class BaseProtocol;
class DatagramTransport;
class Server;
class TaskBuilder;
class SubprocessTransport;
class Transport;
struct SubprocessOptions;
struct TaskOptions;
struct ExceptionContext;

namespace detail {
struct LoopState;
class FdWatchers;
class LoopReference;
class Proactor;
template <class Factory>
using protocol_made_by = typename std::invoke_result_t<std::decay_t<Factory>&>::element_type;
// {transport, protocol}, with the protocol's own type.
template <class Factory>
using ConnectedTo =
    std::pair<std::shared_ptr<Transport>, std::shared_ptr<protocol_made_by<Factory>>>;
template <class Factory>
using ChildOf =
    std::pair<std::shared_ptr<SubprocessTransport>, std::shared_ptr<protocol_made_by<Factory>>>;
// A duration of any kind, also floating, as nanoseconds; out of range is clamped.
// Throws: ValueError for NaN.
[[nodiscard]] std::chrono::nanoseconds nanoseconds_from_seconds(double seconds);
template <class Rep, class Period>
[[nodiscard]] std::chrono::nanoseconds to_nanoseconds(std::chrono::duration<Rep, Period> delay) {
    return nanoseconds_from_seconds(
        std::chrono::duration_cast<std::chrono::duration<double>>(delay).count());
}
template <class Rep, class Period>
    requires std::integral<Rep> && (std::ratio_greater_equal_v<Period, std::nano> &&
                                    std::ratio_less_equal_v<Period, std::milli>)
[[nodiscard]] constexpr std::chrono::nanoseconds
    to_nanoseconds(std::chrono::duration<Rep, Period> delay) noexcept {
    using std::chrono::nanoseconds;
    constexpr auto most =
        std::chrono::duration_cast<std::chrono::duration<Rep, Period>>(nanoseconds::max());
    if (delay >= most) return nanoseconds::max();
    if (delay <= -most) return -nanoseconds::max();
    return std::chrono::duration_cast<nanoseconds>(delay);
}
}  // namespace detail

// A scheduled callback. Copies name the same one. Dropping it changes nothing.
class Handle {
  public:
    Handle() noexcept = default;  // names nothing
    explicit Handle(detail::Ref<detail::HandleState> state) noexcept : state_(std::move(state)) {}

    // The callback will not run and is destroyed at once. Idempotent. For a handle of
    // call_soon_threadsafe() any thread may call this; it waits for a callback that runs.
    void cancel() const noexcept {
        if (state_) state_->cancel();
    }
    [[nodiscard]] bool cancelled() const noexcept { return state_ && state_->cancelled(); }
    // The context in which it runs.
    [[nodiscard]] Context get_context() const { return detail::share(state_->context()); }
    explicit operator bool() const noexcept { return static_cast<bool>(state_); }
    friend bool operator==(const Handle&, const Handle&) noexcept = default;

    // Private to the library.
    [[nodiscard]] const detail::HandleState& state() const noexcept { return *state_; }

  protected:
    detail::Ref<detail::HandleState> state_;
};

// A callback with a deadline; ordered by it.
class TimerHandle : public Handle {
  public:
    using Handle::Handle;
    // On the loop's clock; cancelling does not change it.
    [[nodiscard]] std::chrono::steady_clock::time_point when() const noexcept {
        return std::chrono::steady_clock::time_point(
            std::chrono::nanoseconds(state_ ? state_->timer.deadline : 0));
    }
    friend bool operator==(const TimerHandle& a, const TimerHandle& b) noexcept {
        return a.state_ == b.state_;
    }
    friend std::weak_ordering operator<=>(const TimerHandle& a, const TimerHandle& b) noexcept {
        return a.when() <=> b.when();
    }
};

// For call_soon(), call_later(), call_at() and their like.
struct CallOptions {
    std::optional<Context> context = {};  // shared, not copied; default: a copy of the current one
};

// How a loop reaches the kernel.
enum class Proactor : std::uint8_t { automatic, epoll, io_uring };

struct LoopOptions {
    // `automatic` follows ASYNCIO_PROACTOR, then takes what this kernel does best.
    Proactor proactor = Proactor::automatic;
    std::optional<bool> debug = {};  // default: ASYNCIO_DEBUG is set and not "0"
};

class EventLoop {
  public:
    using clock = std::chrono::steady_clock;
    using time_point = clock::time_point;
    using ExceptionHandler = std::function<void(EventLoop&, const ExceptionContext&)>;
    using TaskFactory = std::function<AnyTask(EventLoop&, TaskBuilder)>;

    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    // ---- running ------------------------------------------------------------------------

    // Runs iterations until stop(); one that does not block if stop() came first.
    // Throws: RuntimeError when closed or when a loop runs in this thread already;
    // KeyboardInterrupt and SystemExit out of a callback or task, after which the loop may
    // be run again.
    void run_forever();
    // Runs until `awaitable` (a coroutine, task or future) is done and gives its result.
    // Throws: what it throws; RuntimeError as run_forever(), and when stop() came first.
    template <class Awaitable>
    decltype(auto) run_until_complete(Awaitable&& awaitable);
    // After the iteration in progress.
    void stop() noexcept;
    [[nodiscard]] bool is_running() const noexcept;
    [[nodiscard]] bool is_closed() const noexcept {
        return closed_.load(std::memory_order_relaxed);
    }
    // Drops what is queued, and gives everything back. A second call does nothing.
    // Throws: RuntimeError while running.
    void close();
    // Ends every live async generator. Await it in a task of this loop.
    Coroutine<void> shutdown_asyncgens();
    // Joins the default executor without blocking the loop; after `timeout` gives up with a
    // warning. run_in_executor() with the default executor throws RuntimeError from then on.
    Coroutine<void> shutdown_default_executor(
        std::optional<std::chrono::nanoseconds> timeout = std::nullopt);

    // ---- callbacks ----------------------------------------------------------------------

    // Runs `f(args...)` in the next iteration. Callable and arguments are stored by value.
    // Throws: RuntimeError when closed. What the callback throws goes to the exception
    // handler. Complexity: O(1), no allocation in steady state.
    template <class F, class... Args>
        requires(sizeof...(Args) > 0 && detail::Callback<F, Args...>)
    Handle call_soon(F&& f, Args&&... args) {
        return call_soon(CallOptions{}, std::forward<F>(f), std::forward<Args>(args)...);
    }
    // In debug mode `where` is in reports about the callback.
    template <class F>
        requires detail::Callback<F>
    Handle call_soon(F&& f, std::source_location where = std::source_location::current()) {
        return placed(call_soon(CallOptions{}, std::forward<F>(f)), where);
    }
    template <class F, class... Args>
        requires detail::Callback<F, Args...>
    Handle call_soon(CallOptions options, F&& f, Args&&... args) {
        check_open();
        check_thread();
        detail::HandleState* const handle =
            make_handle(options, std::forward<F>(f), std::forward<Args>(args)...);
        handle->share_with_queue();
        ready_.push(handle);
        return Handle(detail::Ref<detail::HandleState>::adopt(handle));
    }
    // The same from any thread; wakes the loop when it sleeps.
    template <class F, class... Args>
        requires detail::Callback<F, Args...>
    Handle call_soon_threadsafe(F&& f, Args&&... args) {
        return call_soon_threadsafe(CallOptions{}, std::forward<F>(f), std::forward<Args>(args)...);
    }
    template <class F, class... Args>
        requires detail::Callback<F, Args...>
    Handle call_soon_threadsafe(CallOptions options, F&& f, Args&&... args) {
        check_open();
        return Handle(post(*make_handle(options, std::forward<F>(f), std::forward<Args>(args)...)));
    }
    // After `delay`. Equal deadlines fire in the order they were made; a zero or negative
    // delay fires in the next iteration. Complexity: O(1) amortised, as is cancelling.
    template <class Rep, class Period, class F>
        requires detail::Callback<F>
    TimerHandle call_later(std::chrono::duration<Rep, Period> delay, F&& f,
                           std::source_location where = std::source_location::current()) {
        return placed(call_later(delay, CallOptions{}, std::forward<F>(f)), where);
    }
    template <class Rep, class Period, class F, class... Args>
        requires(sizeof...(Args) > 0 && detail::Callback<F, Args...>)
    TimerHandle call_later(std::chrono::duration<Rep, Period> delay, F&& f, Args&&... args) {
        return call_later(delay, CallOptions{}, std::forward<F>(f), std::forward<Args>(args)...);
    }
    template <class Rep, class Period, class F, class... Args>
        requires detail::Callback<F, Args...>
    TimerHandle call_later(std::chrono::duration<Rep, Period> delay, CallOptions options, F&& f,
                           Args&&... args) {
        return call_at(after(detail::to_nanoseconds(delay)), std::move(options), std::forward<F>(f),
                       std::forward<Args>(args)...);
    }
    // At `when` on the loop's clock.
    template <class F>
        requires detail::Callback<F>
    TimerHandle call_at(time_point when, F&& f,
                        std::source_location where = std::source_location::current()) {
        return placed(call_at(when, CallOptions{}, std::forward<F>(f)), where);
    }
    template <class F, class... Args>
        requires(sizeof...(Args) > 0 && detail::Callback<F, Args...>)
    TimerHandle call_at(time_point when, F&& f, Args&&... args) {
        return call_at(when, CallOptions{}, std::forward<F>(f), std::forward<Args>(args)...);
    }
    template <class F, class... Args>
        requires detail::Callback<F, Args...>
    TimerHandle call_at(time_point when, CallOptions options, F&& f, Args&&... args) {
        check_open();
        check_thread();
        return TimerHandle(schedule_at(
            when, *make_handle(options, std::forward<F>(f), std::forward<Args>(args)...)));
    }
    // The loop's clock: monotonic, of no particular epoch.
    [[nodiscard]] time_point time() const noexcept;

    // ---- futures and tasks --------------------------------------------------------------

    template <class T = void>
    [[nodiscard]] Future<T> create_future(
        std::source_location where = std::source_location::current());
    // As asyncio::create_task(), on this loop, which need not be running yet.
    template <CoroutineLike A>
    auto create_task(A&& coroutine, TaskOptions options);
    template <CoroutineLike A>
    auto create_task(A&& coroutine);
    template <class F, class... Args>
        requires CoroutineFunction<F, Args...>
    auto create_task(F&& f, Args&&... args);
    template <class F, class... Args>
        requires CoroutineFunction<F, Args...>
    auto create_task(TaskOptions options, F&& f, Args&&... args);
    // Called by create_task() in place of the default; {} restores it.
    void set_task_factory(TaskFactory factory);
    [[nodiscard]] const TaskFactory& get_task_factory() const noexcept;

    // ---- threads ------------------------------------------------------------------------

    // Runs `f(args...)` in `executor` (any concurrent::futures executor) and gives a future
    // of its result. Cancelling the future cancels the call only if it has not started.
    // The context is not carried over; to_thread() does that.
    // Throws: RuntimeError when the loop is closed or the executor shut down.
    template <class Executor, class F, class... Args>
        requires requires(Executor& executor) { executor.shutdown(); }
    auto run_in_executor(Executor& executor, F&& f, Args&&... args);
    // In the default executor: a thread pool made at the first call.
    template <class F, class... Args>
    auto run_in_executor(std::nullptr_t, F&& f, Args&&... args);
    // For later calls; the pool so far is not shut down.
    void set_default_executor(std::shared_ptr<concurrent::futures::ThreadPoolExecutor> executor);

    // ---- descriptors and signals --------------------------------------------------------

    // Calls `f(args...)` in every iteration that finds the descriptor readable, or writable:
    // level triggered, so it has to be read, or written, until it would block. Replaces the
    // callback that is there. `fd` is a number or what has a fileno(); it stays the caller's,
    // who removes the callback before closing it.
    // Throws: ValueError for a negative one, OSError for one that cannot be waited for, which
    // is PermissionError for a regular file; RuntimeError for that of a transport.
    template <detail::HasFileno File, class F, class... Args>
    void add_reader(const File& fd, F&& f, Args&&... args) {
        watch(detail::fileno_of(fd), false, copy_context(),
              detail::bind_call(std::forward<F>(f), std::forward<Args>(args)...));
    }
    template <detail::HasFileno File, class F, class... Args>
    void add_writer(const File& fd, F&& f, Args&&... args) {
        watch(detail::fileno_of(fd), true, copy_context(),
              detail::bind_call(std::forward<F>(f), std::forward<Args>(args)...));
    }
    // Whether there was one; false for a closed loop too.
    // Throws: RuntimeError for the descriptor of a transport.
    bool remove_reader(const detail::HasFileno auto& fd) {
        return remove_reader_of(detail::fileno_of(fd));
    }
    bool remove_writer(const detail::HasFileno auto& fd) {
        return remove_writer_of(detail::fileno_of(fd));
    }

    // Calls `f(args...)` in the loop for each time the signal comes; several that come at once
    // may be told once. One loop listens to a signal at a time, the latest; any thread's loop
    // may. Removing it, or closing the loop, puts back what was there.
    // Throws: ValueError for a number that is no signal, RuntimeError for one that cannot be
    // caught.
    template <class F, class... Args>
    void add_signal_handler(int signal, F&& f, Args&&... args) {
        handle_signal(signal, copy_context(),
                      detail::bind_call(std::forward<F>(f), std::forward<Args>(args)...));
    }
    bool remove_signal_handler(int signal);

    // ---- sockets (sock_operations.hpp) --------------------------------------------------

    // Operations on a non-blocking socket that stays the caller's; one of each direction at a
    // time. Nothing is lost by a cancellation: what was not returned was not received, or
    // accepted; only what sock_sendall() had sent so far is unknown.
    // Throws: OSError; RuntimeError where one would have to wait for the socket of a transport.
    Coroutine<std::string> sock_recv(TransportSocket sock, std::size_t nbytes);
    Coroutine<std::size_t> sock_recv_into(TransportSocket sock, std::span<std::byte> buffer);
    Coroutine<std::pair<std::string, SocketAddress>> sock_recvfrom(TransportSocket sock,
                                                                   std::size_t bufsize);
    Coroutine<std::pair<std::size_t, SocketAddress>> sock_recvfrom_into(
        TransportSocket sock, std::span<std::byte> buffer);
    // The data has to live until it is sent; a temporary string is kept.
    Coroutine<void> sock_sendall(TransportSocket sock, std::string_view data);
    template <std::same_as<std::string> S>
    Coroutine<void> sock_sendall(TransportSocket sock, S&& data);
    Coroutine<std::size_t> sock_sendto(TransportSocket sock, std::string_view data,
                                       SocketAddress address);
    Coroutine<void> sock_connect(TransportSocket sock, SocketAddress address);
    Coroutine<std::pair<Socket, SocketAddress>> sock_accept(TransportSocket sock);
    // Sends `count` bytes, or all that is left, of the file from `offset` on, and puts the
    // file's position behind them. Without os.sendfile(), as between a pipe and a socket, by
    // reading and writing, unless `fallback` is false: then SendfileNotAvailableError.
    Coroutine<std::size_t> sock_sendfile(TransportSocket sock, int file, std::int64_t offset = 0,
                                         std::optional<std::size_t> count = std::nullopt,
                                         bool fallback = true);

    // ---- names (resolver.hpp) -----------------------------------------------------------

    // The addresses of a host, in the order they should be tried. An empty host is this
    // machine, or with AI_PASSIVE all its interfaces; an empty service is port 0.
    // Throws: GaiError; ValueError for an impossible port, or a name with a zero byte or
    // with letters beyond ASCII. Cancellation: the question is dropped.
    Coroutine<std::vector<AddressInfo>> getaddrinfo(std::string host, int port,
                                                    AddressOptions options = {});
    Coroutine<std::vector<AddressInfo>> getaddrinfo(std::string host, std::string service,
                                                    AddressOptions options = {});
    // The name of an address, or its figures if it has none, and of its port. `flags`: NI_*.
    // Throws: GaiError. Cancellation: the question is dropped.
    Coroutine<std::pair<std::string, std::string>> getnameinfo(SocketAddress address,
                                                               int flags = 0);
    // For later questions. Throws: ValueError for a server that is no address.
    void set_resolver(ResolverOptions options);

    // ---- connections (base_events.hpp) --------------------------------------------------

    // Connects to a host, or takes `options.sock`, and gives {transport, protocol}: what
    // `factory()` made, after its connection_made().
    // Throws: OSError (with several addresses, of all of them), ValueError for options that do
    // not go together. Cancellation: closes every socket, then CancelledError.
    template <class Factory>
    auto create_connection(Factory factory, std::string host, int port,
                           ConnectionOptions options = {})
        -> Coroutine<detail::ConnectedTo<Factory>>;
    template <class Factory>
    auto create_connection(Factory factory, ConnectionOptions options)
        -> Coroutine<detail::ConnectedTo<Factory>>;
    // Listens at every address of the hosts, or on `options.sock`. Port 0 lets the kernel
    // choose; Server::sockets() tells what. Throws: OSError, ValueError.
    template <class Factory>
    Coroutine<Server> create_server(Factory factory, std::string host, int port,
                                    ServerOptions options = {});
    template <class Factory>
    Coroutine<Server> create_server(Factory factory, std::vector<std::string> hosts, int port,
                                    ServerOptions options = {});
    // For {"127.0.0.1", "::1"}: of two literals a string could be made, too.
    template <class Factory>
    Coroutine<Server> create_server(Factory factory, std::initializer_list<std::string> hosts,
                                    int port, ServerOptions options = {});
    template <class Factory>
    Coroutine<Server> create_server(Factory factory, ServerOptions options);
    // The same over Unix sockets. A path that begins with a zero byte is no file.
    template <class Factory>
    auto create_unix_connection(Factory factory, std::string path,
                                UnixConnectionOptions options = {})
        -> Coroutine<detail::ConnectedTo<Factory>>;
    template <class Factory>
    auto create_unix_connection(Factory factory, UnixConnectionOptions options)
        -> Coroutine<detail::ConnectedTo<Factory>>;
    template <class Factory>
    Coroutine<Server> create_unix_server(Factory factory, std::string path,
                                         UnixServerOptions options = {});
    template <class Factory>
    Coroutine<Server> create_unix_server(Factory factory, UnixServerOptions options);
    // The server's side of a socket that something else accepted.
    template <class Factory>
    auto connect_accepted_socket(Factory factory, Socket sock, AcceptedSocketOptions options = {})
        -> Coroutine<detail::ConnectedTo<Factory>>;
    // Goes on by TLS over `transport`, a TCP, Unix or TLS connection. Gives the transport that
    // `protocol`, which usually was that one's, is to use from now on; it is not told of a
    // connection made. What was received before and not yet delivered counts as TLS.
    // Throws: TypeError for another transport or no context; SSLError and OSError of the
    // handshake, after which the connection is closed, as it is by cancellation.
    Coroutine<std::shared_ptr<Transport>> start_tls(std::shared_ptr<Transport> transport,
                                                    std::shared_ptr<BaseProtocol> protocol,
                                                    std::shared_ptr<ssl::SSLContext> context,
                                                    StartTlsOptions options = {});
    // Sends a file, or `count` bytes of it from `offset` on, behind what was written so far, and
    // gives how many. Meanwhile reading is paused and write() throws RuntimeError. By
    // os.sendfile() over TCP and Unix sockets; by reading and writing over TLS and of a file
    // that the kernel cannot copy from, unless `fallback` is false.
    // Throws: RuntimeError for another or a closing transport, SendfileNotAvailableError,
    // ConnectionError when the connection is lost, OSError, ValueError. Then, and when
    // cancelled, the file's position tells how far it came.
    Coroutine<std::size_t> sendfile(std::shared_ptr<Transport> transport, int file,
                                    std::int64_t offset = 0,
                                    std::optional<std::size_t> count = std::nullopt,
                                    bool fallback = true);
    // A socket for messages: bound, connected or neither, as the options say. Throws: OSError,
    // ValueError.
    template <class Factory>
    auto create_datagram_endpoint(Factory factory, DatagramOptions options)
        -> Coroutine<std::pair<std::shared_ptr<DatagramTransport>,
                               std::shared_ptr<detail::protocol_made_by<Factory>>>>;
    // One end of a pipe, a terminal or a socket; the descriptor is taken over and made
    // non-blocking, unless this throws. A broken pipe is an error here, so SIGPIPE is ignored
    // from then on, if the program had left it at its default.
    // Throws: ValueError for other kinds of file, OSError.
    template <class Factory>
    auto connect_read_pipe(Factory factory, int fd) -> Coroutine<detail::ConnectedTo<Factory>>;
    template <class Factory>
    auto connect_write_pipe(Factory factory, int fd) -> Coroutine<detail::ConnectedTo<Factory>>;

    // ---- child processes (subprocess.hpp) -----------------------------------------------

    // Runs a program and gives {transport, protocol}: what `factory()` made, a
    // SubprocessProtocol, after its connection_made(). Standard streams are pipes unless said
    // otherwise. The command is a list, or the program and its arguments one by one, options
    // last. Errors and cancellation as create_subprocess_exec().
    template <class Factory>
    auto subprocess_exec(Factory factory, std::vector<std::string> command,
                         SubprocessOptions options) -> Coroutine<detail::ChildOf<Factory>>;
    template <class Factory, std::convertible_to<std::string_view> Program, class... Parts>
    auto subprocess_exec(Factory factory, Program&& program, Parts&&... parts)
        -> Coroutine<detail::ChildOf<Factory>>;
    // The same of a command of /bin/sh.
    template <class Factory>
    auto subprocess_shell(Factory factory, std::string command, SubprocessOptions options)
        -> Coroutine<detail::ChildOf<Factory>>;
    template <class Factory>
    auto subprocess_shell(Factory factory, std::string command)
        -> Coroutine<detail::ChildOf<Factory>>;

    // ---- errors and debugging -----------------------------------------------------------

    // {} restores the default, which logs. The handler runs in the context of the task,
    // future or handle concerned; what it throws is logged.
    void set_exception_handler(ExceptionHandler handler);
    [[nodiscard]] const ExceptionHandler& get_exception_handler() const noexcept;
    void call_exception_handler(const ExceptionContext& context);
    void default_exception_handler(const ExceptionContext& context);

    [[nodiscard]] bool get_debug() const noexcept { return debug_; }
    void set_debug(bool enabled) noexcept { debug_ = enabled; }
    // Debug mode reports callbacks and steps that take at least this long; 100 ms.
    std::chrono::nanoseconds slow_callback_duration = std::chrono::milliseconds(100);

    // "epoll" or "io_uring".
    [[nodiscard]] std::string_view proactor_name() const noexcept;

    // ---- private ------------------------------------------------------------------------
    // Public so that the loop's own parts reach it; no part of the interface.
    struct Internals;

  private:
    friend struct Internals;
    friend class detail::LoopReference;
    friend class detail::TaskBase;
    EventLoop(const LoopOptions& options, std::unique_ptr<detail::Proactor> proactor);
    ~EventLoop();

    detail::FdWatchers& watchers_for(int fd);
    void watch(int fd, bool writing, Context context,
               std::shared_ptr<detail::RepeatedCallback> callback);
    bool remove_reader_of(int fd);
    bool remove_writer_of(int fd);
    void handle_signal(int signal, Context context,
                       std::shared_ptr<detail::RepeatedCallback> callback);

    template <class F, class... Args>
    detail::HandleState* make_handle(CallOptions& options, F&& f, Args&&... args) {
        using Result = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;
        static_assert(!detail::is_coroutine_result<Result>,
                      "a callback must not be a coroutine: nobody would await it; pass it to "
                      "create_task() instead");
        using State = detail::CallbackHandle<std::decay_t<F>, std::decay_t<Args>...>;
        return new State(*this,
                         options.context ? ContextAccess::slot(*options.context)
                                         : detail::copy_current_context(),
                         std::forward<F>(f), std::forward<Args>(args)...);
    }
    // References to the loop's memory. The thread that runs the loop counts without atomics,
    // everybody else in a second counter; only their sum means anything, and only once the
    // owner has let go.
    void hold() noexcept {
        if (detail::this_thread.running == this) [[likely]] {
            ++local_references_;
        } else {
            foreign_references_.fetch_add(1, std::memory_order_relaxed);
        }
    }
    void let_go() noexcept {
        if (detail::this_thread.running == this) [[likely]] {
            --local_references_;
        } else {
            let_go_elsewhere();
        }
    }
    void let_go_elsewhere() noexcept;

    void check_open() const {
        if (closed_.load(std::memory_order_relaxed)) [[unlikely]]
            throw_closed();
    }
    void check_thread() const {
        if (debug_) [[unlikely]]
            throw_if_wrong_thread();
    }
    template <class H>
    H placed(H handle, std::source_location where) {
        if (debug_) [[unlikely]]
            note_place(handle, where);
        return handle;
    }
    void note_place(const Handle& handle, std::source_location where);
    [[noreturn]] void throw_closed() const;
    void throw_if_wrong_thread() const;
    // Each takes over a new handle.
    detail::Ref<detail::HandleState> post(detail::HandleState& handle) noexcept;
    detail::Ref<detail::HandleState> schedule_at(time_point when, detail::HandleState& handle);
    [[nodiscard]] time_point after(std::chrono::nanoseconds delay) const noexcept;

    detail::ReadyQueue ready_;
    bool debug_ = false;
    std::atomic<bool> closed_{false};
    std::int64_t local_references_ = 0;                // by the thread that runs the loop
    std::atomic<std::int64_t> foreign_references_{0};  // by everybody else
    std::unique_ptr<detail::LoopState> state_;
};

// Closes the loop if need be, and frees it once no future looks at it any more.
struct LoopDeleter {
    void operator()(EventLoop* loop) const noexcept;
};
using EventLoopPtr = std::unique_ptr<EventLoop, LoopDeleter>;

// A loop of its own, not installed as current. From any thread.
// Throws: OSError when the kernel has no descriptors left, NotImplementedError when a
// proactor was asked for by name that the kernel refuses.
[[nodiscard]] EventLoopPtr new_event_loop(LoopOptions options = {});

// The loop that runs in this thread.
// Throws: RuntimeError when there is none; a forked child has none.
[[nodiscard]] EventLoop& get_running_loop();
namespace detail {
[[noreturn]] void throw_no_running_loop();
}
inline EventLoop& get_running_loop() {
    if (detail::this_thread.running == nullptr) [[unlikely]]
        detail::throw_no_running_loop();
    return *detail::this_thread.running;
}
// The running loop, else the one set for this thread. On the main thread, where none was
// set, makes one, which the process then owns.
// Throws: RuntimeError elsewhere.
[[nodiscard]] EventLoop& get_event_loop();
// For this thread; does not own it. nullptr removes it.
void set_event_loop(EventLoop* loop) noexcept;
// For authors of loops: the running loop or null, and how to set it.
[[nodiscard]] EventLoop* get_running_loop_or_null() noexcept;
void set_running_loop(EventLoop* loop) noexcept;

}  // namespace asyncio
