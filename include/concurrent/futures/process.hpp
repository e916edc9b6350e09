// concurrent/futures/process.hpp - calls that run in other processes.
//
//   std::uint64_t count_primes(std::uint64_t below);
//
//   int main() {
//       concurrent::futures::ProcessPoolExecutor pool(4);
//       auto small = pool.submit(count_primes, 1'000);
//       auto large = pool.submit([](std::string_view text) { return text.size(); }, "text");
//       fmt::print("{} {}\n", small.result(), large.result());
//   }
//
// Real processes: a call that crashes cannot take the program with it, and what a
// call changes stays in its worker. Any plain function can be called, and any
// lambda without captures or object that can be sent; arguments and result must
// be sendable (serialize.hpp). What cannot be is a compile error. Exceptions come
// home as what they were thrown as (remote_error.hpp).
//
// Source: Python's concurrent.futures.process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <concurrent/futures/base.hpp>
#include <concurrent/futures/executor.hpp>
#include <concurrent/futures/process_detail.hpp>
#include <concurrent/futures/process_map_detail.hpp>
#include <concurrent/futures/remote_error.hpp>
#include <multiprocessing.hpp>

namespace concurrent::futures {

// A worker died, or its initializer failed, or an answer made no sense. The pool
// cannot be used any more; what() says which process ended and how.
class BrokenProcessPool : public BrokenExecutor {
  public:
    using BrokenExecutor::BrokenExecutor;
    ~BrokenProcessPool() override;
};

namespace detail {

class ProcessPool;

// How many more calls than workers are handed out, and so cannot be cancelled.
inline constexpr unsigned extra_queued_calls = 1;

// The future of one call and the value on its way to it.
template <class R>
class RemoteResult final : public RemoteWork {
  public:
    explicit RemoteResult(Future<R> future) : future_(std::move(future)) {}

    bool start() override { return future_.set_running_or_notify_cancel(); }
    bool cancel() override { return future_.cancel(); }
    void decode(Reader& result) override {
        InputArchive archive(result);
        archive(value_);
    }
    void publish() override { future_.set_result(std::move(value_)); }
    void fail(std::exception_ptr error) override {
        try {
            future_.set_exception(std::move(error));
        } catch (const InvalidStateError&) {
            // Cancelled before it began.
        }
    }

  private:
    Future<R> future_;
    R value_{};
};

template <>
class RemoteResult<void> final : public RemoteWork {
  public:
    explicit RemoteResult(Future<void> future) : future_(std::move(future)) {}

    bool start() override { return future_.set_running_or_notify_cancel(); }
    bool cancel() override { return future_.cancel(); }
    void decode(Reader&) override {}
    void publish() override { future_.set_result(); }
    void fail(std::exception_ptr error) override {
        try {
            future_.set_exception(std::move(error));
        } catch (const InvalidStateError&) {
            // Cancelled before it began.
        }
    }

  private:
    Future<void> future_;
};

std::string write_to_string(const CallWriter& writer);

template <class F, class... Args>
class CallOf final : public CallWriter {
  public:
    CallOf(const F& function, const Args&... args) : function_(function), args_(args...) {}
    void write(Writer& writer) const override {
        std::apply(
            [&](const Args&... args) { RemoteCall<F, Args...>::write(writer, function_, args...); },
            args_);
    }

  private:
    const F& function_;
    std::tuple<const Args&...> args_;
};

}  // namespace detail

// What each worker calls before its first task: a function and its arguments, by
// the same rules as submit().
//
//   ProcessPoolExecutor pool({.initializer = {open_database, "orders.db"}});
class Initializer {
  public:
    Initializer() = default;
    template <class F, class... Args>
        requires(!std::same_as<std::decay_t<F>, Initializer>)
    Initializer(F&& function, Args&&... args) {  // NOLINT: converts, as in the example
        if constexpr (detail::check_call<std::decay_t<F>, std::decay_t<Args>...>()) {
            const std::decay_t<F>& callable = function;
            write<std::decay_t<F>, std::decay_t<Args>...>(callable, args...);
        }
    }
    [[nodiscard]] const std::string& call() const noexcept { return call_; }

  private:
    template <class F, class... Args>
    void write(const F& function, const Args&... args) {
        call_ = detail::write_to_string(detail::CallOf<F, Args...>(function, args...));
    }

    std::string call_;
};

// Runs calls in a pool of worker processes.
//
// Workers are started when calls need them, up to max_workers, and live as long as
// the pool. They take over before main(), with the program's global variables as
// their initialisers left them. They ignore SIGINT, so that Ctrl-C leaves the
// winding down to this process; they read nothing from standard input; what they
// print is flushed before each result is sent. However this process ends, they
// end with it.
//
// When a worker dies, all calls that are not done fail with BrokenProcessPool, and
// so does each later submit(). The other workers are terminated.
//
// Thread: any, but a done callback runs on the pool's own thread and must not wait
// for the pool.
class ProcessPoolExecutor {
  public:
    struct Options {
        // How many processes; the number of usable CPUs by default.
        std::optional<int> max_workers = std::nullopt;
        // How they are started; with max_tasks_per_child, spawn by default, as in Python.
        std::optional<multiprocessing::StartMethod> mp_context = std::nullopt;
        // Called in each worker first. If it throws, the pool is broken.
        Initializer initializer = {};
        // After so many calls a worker ends and another takes its place.
        std::optional<int> max_tasks_per_child = std::nullopt;
    };

    // Throws: ValueError unless max_workers and max_tasks_per_child are positive, and for
    //         max_tasks_per_child with fork; RuntimeError in a program that cannot
    //         start workers (multiprocessing.hpp).
    ProcessPoolExecutor();
    explicit ProcessPoolExecutor(int max_workers);
    explicit ProcessPoolExecutor(Options options);
    // Waits for all calls.
    ~ProcessPoolExecutor();
    ProcessPoolExecutor(const ProcessPoolExecutor&) = delete;
    ProcessPoolExecutor& operator=(const ProcessPoolExecutor&) = delete;

    // Calls `function(args...)` in a worker. The arguments are written to bytes
    // before this returns, so they may change or go afterwards.
    //
    // The future is running, and cannot be cancelled, as soon as its call is handed
    // out: those that run and max_workers + 1 beyond. An argument or result that
    // fails to be written or read in the worker fails this future only.
    //
    // Throws: BrokenProcessPool; RuntimeError after shutdown().
    template <class F, class... Args>
    auto submit(F&& function, Args&&... args) {
        if constexpr (detail::check_call<std::decay_t<F>, std::decay_t<Args>...>()) {
            return submit_decayed<std::decay_t<F>, std::decay_t<Args>...>(function, args...);
        }
    }

    // Calls `function` with one item of each range at a time, until the shortest ends,
    // and gives a range of the results in the order of the input. Everything is
    // submitted at once, unless `buffersize` says how many chunks.
    //
    // Throws: ValueError if `chunksize`, the number of items per message, is 0.
    template <class F, std::ranges::input_range... R>
        requires(sizeof...(R) > 0)
    [[nodiscard]] auto map(F function, R&&... ranges) {
        return map(MapOptions{}, std::move(function), std::forward<R>(ranges)...);
    }
    template <class F, std::ranges::input_range... R>
        requires(sizeof...(R) > 0)
    [[nodiscard]] auto map(MapOptions options, F function, R&&... ranges) {
        return detail::map_chunks(*this, options, std::move(function), std::forward<R>(ranges)...);
    }

    // Refuses new calls. Those that were submitted still run, unless `cancel_futures`
    // cancels what is not running yet. With `wait`, returns when all is over and no
    // process is left; without, that happens in the background, and the program's
    // end waits for it.
    //
    // Throws: RuntimeError if asked to wait in a done callback, on the pool's thread.
    void shutdown(ShutdownOptions options = {});

    // Shuts down without waiting and ends all workers at once, by SIGTERM or by
    // SIGKILL. Calls that are running fail with BrokenProcessPool.
    void terminate_workers();
    void kill_workers();

    // The processes that are there now.
    [[nodiscard]] std::vector<pid_t> worker_pids() const;

  private:
    template <class F, class... Args>
    auto submit_decayed(const F& function, const Args&... args) {
        using R = typename detail::RemoteCall<F, Args...>::Result;
        Future<R> future;
        submit_call(std::make_unique<detail::RemoteResult<R>>(future),
                    detail::CallOf<F, Args...>(function, args...));
        return future;
    }
    void submit_call(std::unique_ptr<detail::RemoteWork> work, const detail::CallWriter& writer);

    std::shared_ptr<detail::ProcessPool> pool_;
};

}  // namespace concurrent::futures
