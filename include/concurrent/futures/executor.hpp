// concurrent/futures/executor.hpp - what every executor can do, and how one is written.
//
// Code that takes any executor takes it as a template argument that is an AnyExecutor, as
// loop.run_in_executor() does: submit() depends on the callable's type, because an executor
// on another process or machine has to send it there. Executor& is for those that run calls
// in this process; to write one, derive from it and say in execute() who runs the work.
//
// Source: Python's concurrent.futures.Executor.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <concurrent/futures/base.hpp>

namespace concurrent::futures {

struct ShutdownOptions {
    bool wait = true;             // return when all calls have ended and the workers are gone
    bool cancel_futures = false;  // cancel what has not started
};

struct MapOptions {
    std::optional<std::chrono::nanoseconds> timeout = {};  // for the whole iteration, from map()
    std::size_t chunksize = 1;                             // process pools: items per message
    // At most this many submitted and not yet given out; the input is then pulled lazily.
    std::optional<std::size_t> buffersize = {};
};

// Anything with submit() and shutdown(), wherever it runs its calls.
template <class E>
concept AnyExecutor = requires(E& executor) {
    executor.shutdown(ShutdownOptions{});
    executor.submit([] {});
};

namespace detail {

// A call waiting for a worker of this process. Counted by the queue that holds it.
class Work {
  public:
    // Runs the call and ends its future.
    virtual void run() noexcept = 0;
    // Instead of run(): nothing is going to run the call.
    virtual void cancel() noexcept = 0;
    virtual void fail(std::exception_ptr error) noexcept = 0;
    // Gives the queue's reference up.
    virtual void release() noexcept = 0;
    Work* next = nullptr;

  protected:
    ~Work() = default;
};

// For an error in a worker that no future can take.
void report_worker_error() noexcept;

// The call, its arguments and its future in one block.
template <class R, class F, class... Args>
class WorkState final : public State<R>, public Work {
  public:
    template <class G, class... A>
    explicit WorkState(G&& function, A&&... args)
        : call_(std::in_place, std::forward<G>(function), std::forward<A>(args)...) {}

    void run() noexcept override {
        try {
            if (this->set_running_or_notify_cancel()) run_call();
        } catch (...) {
            report_worker_error();  // somebody else has set the future
        }
        call_.reset();
    }
    void cancel() noexcept override {
        try {
            // CPython does not notice here, so that its wait() hangs on such futures.
            if (StateBase::cancel()) this->set_running_or_notify_cancel();
        } catch (...) {
            report_worker_error();
        }
        call_.reset();
    }
    void fail(std::exception_ptr error) noexcept override {
        call_.reset();
        try {
            if (this->set_running_or_notify_cancel()) this->set_exception(std::move(error));
        } catch (...) {
            report_worker_error();
        }
    }
    void release() noexcept override { this->drop_reference(); }

  private:
    // What the call holds goes before anybody is told, as the locals of a frame do.
    void run_call() {
        try {
            if constexpr (std::is_void_v<R>) {
                invoke();
                call_.reset();
                this->set_result();
            } else {
                R result = invoke();
                call_.reset();
                this->set_result(std::forward<R>(result));
            }
        } catch (...) {
            call_.reset();
            this->set_exception(std::current_exception());
        }
    }
    R invoke() {
        return std::apply(
            [](F& function, Args&... args) -> R {
                return std::invoke(std::move(function), std::move(args)...);
            },
            *call_);
    }
    std::optional<std::tuple<F, Args...>> call_;
};

// The type of the future of a call. A value that the call gives up becomes the future's own.
template <class R>
using future_type_t = std::conditional_t<std::is_rvalue_reference_v<R>, std::remove_cvref_t<R>, R>;
template <class F, class... Args>
using call_result_t = future_type_t<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>;

template <class F, class... Args>
auto make_work(F&& function, Args&&... args) {
    using Own = WorkState<call_result_t<F, Args...>, std::decay_t<F>, std::decay_t<Args>...>;
    return asyncio::detail::Ref<Own>(
        new Own(std::forward<F>(function), std::forward<Args>(args)...));
}

// One callable for all calls of a map(). As in Python it is shared, unless it is cheap to
// copy, or changes when called: then each call has its own.
template <class F, class... Items>
auto shareable(F function) {
    if constexpr (std::is_trivially_copyable_v<F> && sizeof(F) <= 2 * sizeof(void*)) {
        return function;
    } else if constexpr (std::is_invocable_v<const F&, Items...>) {
        return [shared = std::make_shared<const F>(std::move(function))](
                   Items&&... items) -> decltype(auto) {
            return std::invoke(*shared, std::forward<Items>(items)...);
        };
    } else {
        return function;
    }
}

// The calls of a map() that have not been given out. `Submit` takes an item of each range and
// gives its future.
template <class Submit, class... Views>
class MapCalls {
    using F = std::invoke_result_t<Submit&, std::ranges::range_reference_t<Views>...>;

  public:
    using result_type = typename F::value_type;

    MapCalls(Submit submit, MapOptions options, Views... views)
        : deadline_(deadline_after(options.timeout)),
          lazy_(options.buffersize.has_value()),
          submit_(std::move(submit)),
          views_(std::move(views)...),
          position_(begins()) {
        if (options.buffersize == 0) {
            throw asyncio::ValueError("buffersize must be at least 1, or left out");
        }
        const std::size_t most = options.buffersize.value_or(SIZE_MAX);
        while (futures_.size() < most && submit_next()) {
        }
    }

    [[nodiscard]] bool empty() const noexcept { return futures_.empty(); }
    // Waits for the next result. If it throws, no more follow.
    result_type take() {
        try {
            const F next = std::move(futures_.front());
            futures_.pop_front();
            const Canceller canceller{next};
            if (lazy_) submit_next();
            return F(next).result(time_left());
        } catch (...) {
            cancel();
            throw;
        }
    }
    void cancel() noexcept {
        for (const F& future : futures_) future.cancel();
        futures_.clear();
    }

  private:
    struct Canceller {
        const F& future;
        ~Canceller() { future.cancel(); }
    };

    std::tuple<std::ranges::iterator_t<Views>...> begins() {
        return std::apply([](auto&... view) { return std::tuple(std::ranges::begin(view)...); },
                          views_);
    }
    template <std::size_t... I>
    bool at_end(std::index_sequence<I...>) {
        return ((std::get<I>(position_) == std::ranges::end(std::get<I>(views_))) || ...);
    }
    bool submit_next() {
        if (at_end(std::index_sequence_for<Views...>())) return false;
        futures_.push_back(
            std::apply([this](auto&... at) { return std::invoke(submit_, *at...); }, position_));
        std::apply([](auto&... at) { (static_cast<void>(++at), ...); }, position_);
        return true;
    }
    [[nodiscard]] Limit time_left() const {
        if (!deadline_) return std::nullopt;
        return *deadline_ - std::chrono::steady_clock::now();
    }

    Deadline deadline_;  // counts from map()
    bool lazy_;
    Submit submit_;
    std::tuple<Views...> views_;
    std::tuple<std::ranges::iterator_t<Views>...> position_;
    std::deque<F> futures_;
};

// What map() returns: an input range to go through once, which waits where an element is
// looked at. Results of type void show as std::monostate. Dropped on the way, it cancels the
// calls that have not started; dropped before begin(), as in Python, it cancels nothing.
template <class Calls>
class MapResults {
    using T = typename Calls::result_type;
    using Held = std::conditional_t<
        std::is_void_v<T>, std::monostate,
        std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>, std::remove_cv_t<T>>>;

  public:
    using iterator = PullIterator<MapResults>;
    using value_type = std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>, Held>;

    template <class... A>
    explicit MapResults(std::in_place_t, A&&... args)
        : calls_(std::make_unique<Calls>(std::forward<A>(args)...)) {}
    MapResults(MapResults&&) = default;
    MapResults& operator=(MapResults&& other) noexcept {
        std::swap(calls_, other.calls_);
        std::swap(started_, other.started_);
        std::swap(current_, other.current_);
        return *this;
    }
    ~MapResults() {
        if (calls_ && started_) calls_->cancel();
    }

    // On a look at an element, throws what its call threw, or TimeoutError; then it is over.
    iterator begin() noexcept {
        started_ = true;
        return iterator(*this);
    }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    friend iterator;
    [[nodiscard]] bool exhausted() const noexcept { return !current_ && calls_->empty(); }
    value_type& current() {
        if constexpr (std::is_reference_v<T>) {
            if (!current_) current_ = std::addressof(calls_->take());
            return **current_;
        } else if constexpr (std::is_void_v<T>) {
            if (!current_) {
                calls_->take();
                current_.emplace();
            }
            return *current_;
        } else {
            if (!current_) current_.emplace(calls_->take());
            return *current_;
        }
    }
    void advance() {
        current();
        current_.reset();
    }

    std::unique_ptr<Calls> calls_;  // at a fixed place: it holds iterators
    bool started_ = false;
    std::optional<Held> current_;
};

template <class Submit, std::ranges::input_range... R>
auto map_over(Submit submit, MapOptions options, R&&... ranges) {
    using Calls = MapCalls<Submit, std::views::all_t<R>...>;
    return MapResults<Calls>(std::in_place, std::move(submit), options,
                             std::views::all(std::forward<R>(ranges))...);
}

}  // namespace detail

// Runs calls in this process. Destroying one is shutdown() with waiting.
// Thread: everything from any thread.
class Executor {
  public:
    Executor() = default;
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;
    virtual ~Executor();

    // Queues `function(args...)`, all of it moved or copied in, and gives its future. Never
    // blocks. The callable and its arguments are gone when the future is done.
    // Throws: RuntimeError after shutdown(), BrokenExecutor when broken.
    template <class F, class... Args>
        requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
    auto submit(F&& function, Args&&... args) {
        using R = detail::call_result_t<F, Args...>;
        auto work = detail::make_work(std::forward<F>(function), std::forward<Args>(args)...);
        work->add_reference();  // the queue's
        try {
            execute(*work);
        } catch (...) {
            work->drop_reference();
            throw;
        }
        return Future<R>(asyncio::detail::Ref<detail::State<R>>(std::move(work)));
    }

    // Calls `function` with one item of each range at a time, until the shortest ends; gives
    // a range of the results in the order of the input:
    //
    //   for (Image& image : pool.map({.timeout = 10s}, load, paths)) show(image);
    //
    // All calls are submitted before this returns, unless `buffersize` says how many; then
    // this executor, and ranges that were passed by name, must outlive the results.
    template <class F, std::ranges::input_range... R>
        requires(sizeof...(R) > 0)
    [[nodiscard]] auto map(MapOptions options, F function, R&&... ranges) {
        return detail::map_over(
            [this, call = detail::shareable<F, std::decay_t<std::ranges::range_reference_t<R>>...>(
                       std::move(function))](auto&&... items) {
                return this->submit(call, std::forward<decltype(items)>(items)...);
            },
            options, std::forward<R>(ranges)...);
    }
    template <class F, std::ranges::input_range... R>
        requires(sizeof...(R) > 0)
    [[nodiscard]] auto map(F function, R&&... ranges) {
        return map(MapOptions{}, std::move(function), std::forward<R>(ranges)...);
    }

    // Refuses new calls from now on; what runs ends, and what waits runs, unless cancelled.
    // May be called again, to wait after all.
    virtual void shutdown(ShutdownOptions options = {}) = 0;

  protected:
    // Queues the work, which gives it one reference to release, or throws.
    virtual void execute(detail::Work& work) = 0;
};

}  // namespace concurrent::futures
