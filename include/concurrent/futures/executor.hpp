// concurrent/futures/executor.hpp - what every executor can do, and how one is written.
//
// Code that takes any executor takes it as a template argument that is an AnyExecutor, as
// loop.run_in_executor() does: submit() depends on the callable's type, because an executor
// on another process or machine has to send it there. Executor& is for those that run calls
// in this process.
//
// Source: Python's concurrent.futures.Executor.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <iterator>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <concurrent/futures/base.hpp>

namespace concurrent::futures {

struct ShutdownOptions {
    bool wait = true;             // join the workers
    bool cancel_futures = false;  // cancel what has not started
};

struct MapOptions {
    std::optional<std::chrono::nanoseconds> timeout = {};  // for the whole iteration, from map()
    std::size_t chunksize = 1;                             // process pools: items per message
    // At most this many submitted and not yet given out; the input is then pulled lazily.
    std::optional<std::size_t> buffersize = {};
};

template <class E>
concept AnyExecutor = requires(E& executor) {
    executor.shutdown(ShutdownOptions{});
    executor.submit([] {});
};

namespace detail {

// A call waiting for a worker of this process. Counted by the queue that holds it.
class Work {
  public:
    virtual void run() noexcept = 0;
    virtual bool cancel() = 0;
    virtual void fail(std::exception_ptr error) = 0;
    // Gives the queue's reference up.
    virtual void release() noexcept = 0;
    Work* next = nullptr;

  protected:
    ~Work() = default;
};

// The call, its arguments and its future in one block.
template <class R, class F, class... Args>
class WorkState final : public State<R>, public Work {
  public:
    template <class G, class... A>
    explicit WorkState(G&& function, A&&... args)
        : call_(std::in_place, std::forward<G>(function), std::forward<A>(args)...) {}

    void run() noexcept override {
        if (!this->set_running_or_notify_cancel()) {
            call_.reset();
            return;
        }
        try {
            if constexpr (std::is_void_v<R>) {
                invoke();
                call_.reset();
                this->set_result();
            } else {
                // What the call holds goes before anybody is told, as a frame's locals do.
                asyncio::detail::Slot<R> result;
                if constexpr (std::is_reference_v<R>) {
                    result.emplace(invoke());
                } else {
                    emplace_from_call(result);
                }
                call_.reset();
                this->set_result(result.take());
            }
        } catch (...) {
            call_.reset();
            this->set_exception(std::current_exception());
        }
    }
    bool cancel() override { return StateBase::cancel(); }
    void fail(std::exception_ptr error) override {
        if (this->set_running_or_notify_cancel()) this->set_exception(std::move(error));
    }
    void release() noexcept override { this->drop_reference(); }

  private:
    void emplace_from_call(asyncio::detail::Slot<R>& result) { result.emplace(invoke()); }
    R invoke() {
        return std::apply(
            [](F& function, Args&... args) -> R {
                return std::invoke(std::move(function), std::move(args)...);
            },
            *call_);
    }
    std::optional<std::tuple<F, Args...>> call_;
};

template <class F, class... Args>
using call_result_t = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;

template <class F, class... Args>
auto make_work(F&& function, Args&&... args) {
    using State = WorkState<call_result_t<F, Args...>, std::decay_t<F>, std::decay_t<Args>...>;
    return asyncio::detail::Ref<State>(
        new State(std::forward<F>(function), std::forward<Args>(args)...));
}

// The results of map(): an input range in the order of the input. `Submit` takes one item of
// each range and gives its future. Destroying it cancels what has not started.
template <class Submit, class... Views>
class MapResults {
    using F = std::invoke_result_t<Submit&, std::ranges::range_reference_t<Views>...>;
    using T = typename F::value_type;

  public:
    using value_type = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

    MapResults(Submit submit, MapOptions options, Views... views)
        : submit_(std::move(submit)),
          deadline_(deadline_after(options.timeout)),
          views_(std::move(views)...),
          position_(begins()) {
        if (options.buffersize == 0) {
            throw asyncio::ValueError("map(): buffersize must be at least 1");
        }
        const std::size_t most = options.buffersize.value_or(SIZE_MAX);
        while (futures_.size() < most && submit_next()) {
        }
        lazy_ = options.buffersize.has_value();
    }
    MapResults(const MapResults&) = delete;
    MapResults& operator=(const MapResults&) = delete;
    ~MapResults() {
        for (const F& future : futures_) future.cancel();
    }

    class iterator {
      public:
        using value_type = MapResults::value_type;
        using difference_type = std::ptrdiff_t;
        explicit iterator(MapResults& from) noexcept : from_(&from) {}
        // Waits. Throws: what the call threw; TimeoutError.
        value_type operator*() const { return from_->take(); }
        iterator& operator++() noexcept { return *this; }
        void operator++(int) noexcept {}
        friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept {
            return it.from_->futures_.empty();
        }

      private:
        MapResults* from_;
    };
    iterator begin() noexcept { return iterator(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    std::tuple<std::ranges::iterator_t<Views>...> begins() {
        return std::apply([](auto&... view) { return std::tuple(std::ranges::begin(view)...); },
                          views_);
    }
    bool at_end() {
        return [this]<std::size_t... I>(std::index_sequence<I...>) {
            return ((std::get<I>(position_) == std::ranges::end(std::get<I>(views_))) || ...);
        }(std::index_sequence_for<Views...>());
    }
    bool submit_next() {
        if (at_end()) return false;
        futures_.push_back(
            std::apply([this](auto&... at) { return std::invoke(submit_, *at...); }, position_));
        std::apply([](auto&... at) { (++at, ...); }, position_);
        return true;
    }
    value_type take() {
        const F front = std::move(futures_.front());
        futures_.pop_front();
        if (lazy_) submit_next();
        Limit left;
        if (deadline_) {
            left = std::max(*deadline_ - std::chrono::steady_clock::now(),
                            std::chrono::steady_clock::duration::zero());
        }
        try {
            if constexpr (std::is_void_v<T>) {
                front.result(left);
                return {};
            } else {
                return F(front).result(left);
            }
        } catch (...) {
            front.cancel();
            for (const F& future : futures_) future.cancel();
            futures_.clear();
            throw;
        }
    }

    Submit submit_;
    Deadline deadline_;
    std::tuple<Views...> views_;
    std::tuple<std::ranges::iterator_t<Views>...> position_;
    std::deque<F> futures_;
    bool lazy_ = false;
};

template <class Submit, std::ranges::input_range... R>
auto map_over(Submit submit, MapOptions options, R&&... ranges) {
    return MapResults<Submit, std::views::all_t<R>...>(std::move(submit), options,
                                                       std::views::all(std::forward<R>(ranges))...);
}

}  // namespace detail

// Runs calls of this process. Destroying one is shutdown() with waiting.
class Executor {
  public:
    Executor() = default;
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;
    virtual ~Executor();

    // Queues `function(args...)`, both stored by value, and gives its future. Never blocks.
    // Throws: RuntimeError after shutdown(), BrokenExecutor when broken.
    template <class F, class... Args>
        requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
    auto submit(F&& function, Args&&... args) {
        auto work = detail::make_work(std::forward<F>(function), std::forward<Args>(args)...);
        using R = detail::call_result_t<F, Args...>;
        Future<R> future{asyncio::detail::Ref<detail::State<R>>(work)};
        work->add_reference();  // the queue's
        try {
            execute(*work);
        } catch (...) {
            work->drop_reference();
            throw;
        }
        return future;
    }

    // Calls `function` with one item of each range at a time, until the shortest ends; gives
    // a range of the results in the order of the input.
    template <class F, std::ranges::input_range... R>
        requires(sizeof...(R) > 0)
    [[nodiscard]] auto map(F function, R&&... ranges) {
        return map(MapOptions{}, std::move(function), std::forward<R>(ranges)...);
    }
    template <class F, std::ranges::input_range... R>
        requires(sizeof...(R) > 0)
    [[nodiscard]] auto map(MapOptions options, F function, R&&... ranges) {
        return detail::map_over(
            [executor = this, function = std::move(function)](auto&&... items) {
                return executor->submit(function, std::forward<decltype(items)>(items)...);
            },
            options, std::forward<R>(ranges)...);
    }

    // Refuses new calls from now on; what runs ends. A second call may still wait.
    virtual void shutdown(ShutdownOptions options = {}) = 0;

  protected:
    // Queues the work, which gives it one reference to release, or throws.
    virtual void execute(detail::Work& work) = 0;
};

}  // namespace concurrent::futures
