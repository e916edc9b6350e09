// The limit: hand-written C++20 coroutines with nothing a real library would need on top
// (no Python semantics, no debug mode, no I/O).  It shows what the machine allows.
//
// Frames come from free lists by size class; everything that waits is linked through a
// node inside its own frame, so no workload allocates in steady state.  Completing a task
// puts its waiter on the ready list, as asyncio does; it does not run the waiter at once.
//
//   -DRESUME=symmetric    await_suspend returns the next coroutine; the compiler tail-calls it
//   -DRESUME=nested       await_suspend runs the child; if it finished, nothing suspends
//   -DRESUME=trampoline   await_suspend names the next coroutine; the loop resumes it
//   -DFRAMES_FROM_MALLOC  frames from operator new instead of the free lists
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <cassert>
#include <condition_variable>
#include <coroutine>
#include <exception>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <utility>

#include "bench.hpp"

namespace {

enum class Resume { symmetric, nested, trampoline };
#ifndef RESUME
#define RESUME symmetric
#endif
constexpr Resume how = Resume::RESUME;

// ---- frames ---------------------------------------------------------------------------

struct FreeFrame {
    FreeFrame* next;
};
[[maybe_unused]] constexpr std::size_t granule = 16, size_classes = 64;
[[maybe_unused]] constinit thread_local FreeFrame* free_frames[size_classes] = {};

void* allocate_frame(std::size_t bytes) {
#ifndef FRAMES_FROM_MALLOC
    const std::size_t size_class = (bytes + granule - 1) / granule;
    if (size_class < size_classes) {
        if (FreeFrame* f = free_frames[size_class]) {
            free_frames[size_class] = f->next;
            return f;
        }
        return ::operator new(size_class * granule);
    }
#endif
    return ::operator new(bytes);
}

void release_frame(void* frame, std::size_t bytes) {
#ifndef FRAMES_FROM_MALLOC
    const std::size_t size_class = (bytes + granule - 1) / granule;
    if (size_class < size_classes) {
        auto* f = static_cast<FreeFrame*>(frame);
        f->next = free_frames[size_class];
        free_frames[size_class] = f;
        return;
    }
#endif
    ::operator delete(frame, bytes);
}

// ---- the ready list -------------------------------------------------------------------

struct Ready {
    Ready* next = nullptr;
    std::coroutine_handle<> coroutine;
};

// A plain callback as a Ready: the three compilers' frames begin with the resume pointer,
// so a struct that begins with one can be resumed.
struct Callback : Ready {
    void (*resume)(void*);
    void (*destroy)(void*) = nullptr;

    explicit Callback(void (*function)(void*)) : resume(function) {
        coroutine = std::coroutine_handle<>::from_address(&resume);
    }
};

// First in, first out; the last one points back to the end of the list.
class ReadyList {
  public:
    void push(Ready* r) {
        r->next = nullptr;
        *tail_ = r;
        tail_ = &r->next;
    }
    Ready* take_all() {
        Ready* all = head_;
        head_ = nullptr;
        tail_ = &head_;
        return all;
    }
    Ready* pop() {
        Ready* r = head_;
        if (r && !(head_ = r->next)) tail_ = &head_;
        return r;
    }
    bool empty() const { return !head_; }

  private:
    Ready* head_ = nullptr;
    Ready** tail_ = &head_;
};

// ---- timers ---------------------------------------------------------------------------

struct Timer {
    std::int64_t deadline = 0;  // microseconds of the loop's clock
    std::uint32_t place = 0, index = 0;
    Ready ready;
};

// Deadlines in buckets of 65.5 ms, each a contiguous array in no order; a bucket is sorted
// when its time comes.  What is armed into a bucket already sorted goes into a small heap.
// So a million timers cost one append and their share of a sort, and firing walks an array
// and can prefetch; a heap or a wheel of linked timers misses the cache several times each.
class Timers {
  public:
    std::uint64_t armed = 0;

    void arm(Timer* t) {
        ++armed;
        const std::int64_t bucket = t->deadline >> shift;
        if (bucket <= current_)
            push_late(t);
        else if (bucket < current_ + ring)
            append(std::uint32_t(bucket % ring), t);
        else
            append(far, t);
    }

    void cancel(Timer* t) {
        --armed;
        if (t->place == late) {
            remove_late(t->index);
        } else if (t->place == std::uint32_t(current_ % ring)) {  // sorted: find it
            auto at =
                std::lower_bound(run_.begin() + long(cursor_), run_.end(), t->deadline,
                                 [](const Entry& e, std::int64_t d) { return e.deadline < d; });
            while (at->timer != t) ++at;
            at->timer = nullptr;
        } else {
            auto& bucket = buckets_[t->place];
            bucket[t->index] = bucket.back();
            bucket[t->index].timer->index = t->index;
            bucket.pop_back();
        }
    }

    // Hands each timer that is due at `now` to `fire`.
    template <class Fire>
    void advance(std::int64_t now, Fire fire) {
        for (;;) {
            while (cursor_ < run_.size() || !late_.empty()) {
                if (cursor_ < run_.size() && !run_[cursor_].timer) {
                    ++cursor_;
                    continue;
                }
                const bool from_late =
                    cursor_ == run_.size() ||
                    (!late_.empty() && late_[0].deadline < run_[cursor_].deadline);
                const Entry first = from_late ? late_[0] : run_[cursor_];
                if (first.deadline > now) return;
                if (from_late)
                    remove_late(0);
                else if (++cursor_ + 16 < run_.size())
                    __builtin_prefetch(run_[cursor_ + 16].timer);
                --armed;
                fire(first.timer);
            }
            if (now >> shift <= current_) return;
            ++current_;
            if (current_ % ring == 0) {
                for (Entry& e : std::exchange(buckets_[far], {})) --armed, arm(e.timer);
            }
            run_.clear();
            cursor_ = 0;
            run_.swap(buckets_[current_ % ring]);
            std::sort(run_.begin(), run_.end(),
                      [](const Entry& a, const Entry& b) { return a.deadline < b.deadline; });
        }
    }

    // A time before which nothing is due.
    std::int64_t next() const {
        std::int64_t first = INT64_MAX;
        if (cursor_ < run_.size()) first = run_[cursor_].deadline;
        if (!late_.empty()) first = std::min(first, late_[0].deadline);
        for (auto b = current_ + 1; first == INT64_MAX; ++b)
            if (!buckets_[b % ring].empty() || b % ring == 0) first = b << shift;
        return first;
    }

  private:
    struct Entry {
        std::int64_t deadline;
        Timer* timer;
    };
    static constexpr int shift = 16;
    static constexpr std::uint32_t ring = 1024, far = ring, late = ring + 1;

    void append(std::uint32_t place, Timer* t) {
        t->place = place;
        t->index = std::uint32_t(buckets_[place].size());
        buckets_[place].push_back({t->deadline, t});
    }

    void put(std::size_t i, Entry e) {
        late_[i] = e;
        e.timer->index = std::uint32_t(i);
    }
    void push_late(Timer* t) {
        t->place = late;
        late_.push_back({});
        sift_up(late_.size() - 1, {t->deadline, t});
    }
    void sift_up(std::size_t i, Entry e) {
        for (; i && e.deadline < late_[(i - 1) / 4].deadline; i = (i - 1) / 4)
            put(i, late_[(i - 1) / 4]);
        put(i, e);
    }
    void remove_late(std::size_t i) {
        const Entry last = late_.back();
        late_.pop_back();
        if (i == late_.size()) return;
        for (std::size_t c; (c = 4 * i + 1) < late_.size();) {
            std::size_t least = c;
            for (std::size_t k = c + 1; k < std::min(c + 4, late_.size()); ++k)
                if (late_[k].deadline < late_[least].deadline) least = k;
            if (late_[least].deadline >= last.deadline) break;
            put(i, late_[least]);
            i = least;
        }
        sift_up(i, last);
    }

    std::int64_t current_ = 0;  // the bucket in run_
    std::vector<Entry> run_;
    std::size_t cursor_ = 0;
    std::vector<Entry> late_;  // a 4-ary heap
    std::vector<Entry> buckets_[ring + 1];
};

// ---- the loop -------------------------------------------------------------------------

class Loop {
  public:
    Loop() {
        epoll_event e{.events = EPOLLIN, .data = {}};
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &e)) std::abort();
    }

    void push(Ready* r) { ready_.push(r); }

    // From any thread. Writes the eventfd only if the loop sleeps.
    void post(Ready* r) {
        r->next = inbox_.load(std::memory_order_relaxed);
        while (!inbox_.compare_exchange_weak(r->next, r, std::memory_order_seq_cst)) {
        }
        if (asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false)) {
            const std::uint64_t one = 1;
            if (write(wake_, &one, sizeof one) != sizeof one) std::abort();
        }
    }

    void resume(std::coroutine_handle<> coroutine) {
        coroutine.resume();
        if constexpr (how != Resume::symmetric)
            while (next) std::exchange(next, nullptr).resume();
    }

    template <class Done>
    void run_until(Done done) {
        for (;;) {
            take_inbox();
            if (timers.armed) expire();
            Ready* r = ready_.take_all();
            if (!r) {
                if (done()) return;
                wait();
                continue;
            }
            while (r) {
                Ready* following = r->next;  // r may be gone, or queued again, once it ran
                resume(r->coroutine);
                r = following;
            }
            if (done()) return;
        }
    }

    std::int64_t time() const { return (bench::nanoseconds() - origin_) / 1000; }

    void arm(Timer* t, std::int64_t microseconds) {
        t->deadline = time() + microseconds;
        timers.arm(t);
    }

    Timers timers;
    std::coroutine_handle<> next;  // what the trampoline resumes next

  private:
    void expire() {
        timers.advance(time(), [this](Timer* t) { push(&t->ready); });
    }

    void take_inbox() {
        if (!inbox_.load(std::memory_order_relaxed)) return;
        Ready* r = inbox_.exchange(nullptr, std::memory_order_acquire);
        Ready* in_order = nullptr;
        while (r) r = std::exchange(r->next, std::exchange(in_order, r));
        while (in_order) push(std::exchange(in_order, in_order->next));
    }

    void wait() {
        asleep_.store(true, std::memory_order_seq_cst);
        if (!inbox_.load(std::memory_order_seq_cst)) {
            int timeout = -1;
            if (timers.armed) {
                const std::int64_t wait = timers.next() - time();
                timeout = wait <= 0 ? 0 : int((wait + 999) / 1000);
            }
            epoll_event e;
            std::uint64_t count;
            if (epoll_wait(epoll_, &e, 1, timeout) > 0 && read(wake_, &count, sizeof count) < 0) {
            }
        }
        asleep_.store(false, std::memory_order_relaxed);
    }

    ReadyList ready_;
    std::atomic<Ready*> inbox_{nullptr};
    std::atomic<bool> asleep_{false};
    int epoll_ = epoll_create1(0);
    int wake_ = eventfd(0, EFD_NONBLOCK);
    std::int64_t origin_ = bench::nanoseconds();
};

Loop loop;

// ---- tasks ----------------------------------------------------------------------------

struct Cancelled {};

struct Cancellable {
    virtual void cancel() = 0;
};

struct PromiseBase {
    std::coroutine_handle<> parent;  // who awaits this coroutine, null while nested
    Ready self;                      // of a spawned task
    Ready* waiter = nullptr;         // who joins a spawned task
    Cancellable* blocked_on = nullptr;
    std::exception_ptr error;
    bool spawned = false, done = false, cancelled = false;

    static void* operator new(std::size_t n) { return allocate_frame(n); }
    static void operator delete(void* p, std::size_t n) { release_frame(p, n); }

    std::suspend_always initial_suspend() noexcept { return {}; }

    struct Final {
        bool await_ready() noexcept { return false; }
        template <class P>
        auto await_suspend(std::coroutine_handle<P> me) noexcept {
            PromiseBase& p = me.promise();
            if constexpr (how == Resume::symmetric) {
                if (!p.spawned) return p.parent;
                p.finish_task();
                return std::coroutine_handle<>(std::noop_coroutine());
            } else if constexpr (how == Resume::nested) {
                if (p.spawned)
                    p.finish_task();
                else if (p.parent)
                    loop.next = p.parent;
                else
                    p.done = true;
            } else {
                if (p.spawned)
                    p.finish_task();
                else
                    loop.next = p.parent;
            }
        }
        void await_resume() noexcept {}
    };
    Final final_suspend() noexcept { return {}; }

    void unhandled_exception() noexcept {
        try {
            throw;
        } catch (Cancelled&) {
            cancelled = true;
        } catch (...) {
            error = std::current_exception();
        }
    }

    void finish_task() noexcept {
        done = true;
        if (waiter) loop.push(waiter);
    }
};

template <class T>
struct Promise;

// Lazy; awaited once, or spawned once and joined.
template <class T = void>
class [[nodiscard]] Task {
  public:
    using promise_type = Promise<T>;
    using Handle = std::coroutine_handle<promise_type>;

    explicit Task(Handle h) : coroutine_(h) {}
    Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
    ~Task() {
        if (coroutine_) coroutine_.destroy();
    }

    promise_type& promise() const { return coroutine_.promise(); }
    bool done() const { return promise().done; }

    void spawn() {
        promise().spawned = true;
        promise().self.coroutine = coroutine_;
        loop.push(&promise().self);
    }

    void cancel() {
        if (promise().blocked_on) promise().blocked_on->cancel();
    }

    // Awaiting a coroutine runs it at once.
    struct Await {
        Handle child;
        bool await_ready() noexcept { return false; }
        auto await_suspend(std::coroutine_handle<> parent) noexcept {
            auto& p = child.promise();
            if constexpr (how == Resume::symmetric) {
                p.parent = parent;
                return child;
            } else if constexpr (how == Resume::nested) {
                if (depth == 200) {  // the stack is deep enough: go through the loop
                    p.parent = parent;
                    loop.next = child;
                    return true;
                }
                ++depth;
                child.resume();
                --depth;
                if (p.done) return false;
                p.parent = parent;
                return true;
            } else {
                p.parent = parent;
                loop.next = child;
            }
        }
        T await_resume() { return child.promise().result(); }
        static inline int depth = 0;
    };
    Await operator co_await() && noexcept { return {coroutine_}; }

    // Joining a spawned task waits for it.
    struct Join {
        promise_type& task;
        Ready me;
        bool await_ready() noexcept { return task.done; }
        void await_suspend(std::coroutine_handle<> h) noexcept {
            me.coroutine = h;
            task.waiter = &me;
        }
        T await_resume() { return task.result(); }
    };
    Join join() { return {promise(), {}}; }

    // As join(), but a cancelled task is reported by `false`, not by an exception.
    struct Outcome : Join {
        bool await_resume() { return !this->task.cancelled; }
    };
    Outcome outcome() { return {{promise(), {}}}; }

  private:
    Handle coroutine_;
};

template <class T>
struct Promise : PromiseBase {
    std::optional<T> value;
    Task<T> get_return_object() { return Task<T>(Task<T>::Handle::from_promise(*this)); }
    void return_value(T v) { value.emplace(std::move(v)); }
    T result() {
        if (error) std::rethrow_exception(error);
        if (cancelled) throw Cancelled{};
        return std::move(*value);
    }
};

template <>
struct Promise<void> : PromiseBase {
    Task<> get_return_object() { return Task<>(Task<>::Handle::from_promise(*this)); }
    void return_void() {}
    void result() {
        if (error) std::rethrow_exception(error);
        if (cancelled) throw Cancelled{};
    }
};

void run_main(Task<> task) {
    task.spawn();
    loop.run_until([&] { return task.done(); });
    task.promise().result();
}

struct Yield : Ready {
    bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) noexcept {
        coroutine = h;
        loop.push(this);
    }
    void await_resume() noexcept {}
};

struct Sleep : Cancellable {
    std::int64_t microseconds;
    Timer timer{};
    PromiseBase* sleeper = nullptr;
    bool cancelled = false;

    explicit Sleep(std::int64_t us) : microseconds(us) {}
    bool await_ready() noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> h) {
        timer.ready.coroutine = h;
        sleeper = &h.promise();
        sleeper->blocked_on = this;
        loop.arm(&timer, microseconds);
    }
    void await_resume() {
        sleeper->blocked_on = nullptr;
        if (cancelled) throw Cancelled{};
    }
    void cancel() override {
        loop.timers.cancel(&timer);
        cancelled = true;
        loop.push(&timer.ready);
    }
};

// ---- queue, lock, event ---------------------------------------------------------------

template <class T>
class Queue {
  public:
    explicit Queue(std::size_t capacity) : items_(capacity) {}

    struct Put : Ready {
        Queue& q;
        T item;
        Put(Queue& queue, T value) : q(queue), item(value) {}
        bool await_ready() noexcept { return q.size_ < q.items_.size(); }
        void await_suspend(std::coroutine_handle<> h) noexcept {
            coroutine = h;
            q.putters_.push(this);
        }
        void await_resume() noexcept {
            // A woken putter finds room: the getter that woke it took an item, and nobody
            // else puts in this workload.
            q.items_[q.tail_] = item;
            if (++q.tail_ == q.items_.size()) q.tail_ = 0;
            ++q.size_;
            if (Ready* g = q.getters_.pop()) loop.push(g);
        }
    };
    struct Get : Ready {
        Queue& q;
        explicit Get(Queue& queue) : q(queue) {}
        bool await_ready() noexcept { return q.size_ > 0; }
        void await_suspend(std::coroutine_handle<> h) noexcept {
            coroutine = h;
            q.getters_.push(this);
        }
        T await_resume() noexcept {
            T item = q.items_[q.head_];
            if (++q.head_ == q.items_.size()) q.head_ = 0;
            --q.size_;
            if (Ready* p = q.putters_.pop()) loop.push(p);
            return item;
        }
    };
    Put put(T item) { return {*this, item}; }
    Get get() { return Get(*this); }

  private:
    std::vector<T> items_;
    std::size_t head_ = 0, tail_ = 0, size_ = 0;
    ReadyList putters_, getters_;
};

class Lock {
  public:
    struct Acquire : Ready {
        Lock& lock;
        explicit Acquire(Lock& l) : lock(l) {}
        bool await_ready() noexcept { return !std::exchange(lock.locked_, true); }
        void await_suspend(std::coroutine_handle<> h) noexcept {
            coroutine = h;
            lock.waiters_.push(this);
        }
        void await_resume() noexcept {}
    };
    Acquire acquire() { return Acquire(*this); }
    void release() {
        if (Ready* next = waiters_.pop())
            loop.push(next);  // still locked: now it is theirs
        else
            locked_ = false;
    }

  private:
    bool locked_ = false;
    ReadyList waiters_;
};

class Event {
  public:
    struct Wait : Ready {
        Event& event;
        explicit Wait(Event& e) : event(e) {}
        bool await_ready() noexcept { return event.set_; }
        void await_suspend(std::coroutine_handle<> h) noexcept {
            coroutine = h;
            event.waiters_.push(this);
        }
        void await_resume() noexcept {}
    };
    Wait wait() { return Wait(*this); }
    void set() {
        set_ = true;
        while (Ready* r = waiters_.pop()) loop.push(r);
    }
    void clear() { set_ = false; }

  private:
    bool set_ = false;
    ReadyList waiters_;
};

// ---- async generator ------------------------------------------------------------------

template <class T>
class Generator {
  public:
    struct promise_type {
        T* item = nullptr;
        std::coroutine_handle<> consumer;  // null while it runs nested in next()
        bool yielded = false;
        std::exception_ptr error;

        static void* operator new(std::size_t n) { return allocate_frame(n); }
        static void operator delete(void* p, std::size_t n) { release_frame(p, n); }

        Generator get_return_object() {
            return Generator(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() noexcept { return {}; }

        struct Give {
            bool await_ready() noexcept { return false; }
            auto await_suspend(std::coroutine_handle<promise_type> me) noexcept {
                auto& p = me.promise();
                if constexpr (how == Resume::symmetric)
                    return p.consumer;
                else if constexpr (how == Resume::nested) {
                    if (p.consumer)
                        loop.next = p.consumer;
                    else
                        p.yielded = true;
                } else
                    loop.next = p.consumer;
            }
            void await_resume() noexcept {}
        };
        Give yield_value(T& value) noexcept {
            item = &value;
            return {};
        }
        Give yield_value(T&& value) noexcept {
            item = &value;
            return {};
        }
        Give final_suspend() noexcept {
            item = nullptr;
            return {};
        }
        void return_void() {}
        void unhandled_exception() { error = std::current_exception(); }
    };

    explicit Generator(std::coroutine_handle<promise_type> h) : coroutine_(h) {}
    Generator(Generator&& o) noexcept : coroutine_(std::exchange(o.coroutine_, nullptr)) {}
    ~Generator() {
        if (coroutine_) coroutine_.destroy();
    }

    // The next item, or null at the end.
    struct Next {
        std::coroutine_handle<promise_type> generator;
        bool await_ready() noexcept { return false; }
        auto await_suspend(std::coroutine_handle<> consumer) noexcept {
            auto& p = generator.promise();
            if constexpr (how == Resume::symmetric) {
                p.consumer = consumer;
                return generator;
            } else if constexpr (how == Resume::nested) {
                p.consumer = nullptr;
                p.yielded = false;
                generator.resume();
                if (p.yielded) return false;
                p.consumer = consumer;
                return true;
            } else {
                p.consumer = consumer;
                loop.next = generator;
            }
        }
        T* await_resume() {
            auto& p = generator.promise();
            if (p.error) std::rethrow_exception(p.error);
            return p.item;
        }
    };
    Next next() { return {coroutine_}; }

  private:
    std::coroutine_handle<promise_type> coroutine_;
};

// ---- threads --------------------------------------------------------------------------

class ThreadPool {
  public:
    explicit ThreadPool(int threads) {
        for (int i = 0; i < threads; ++i) std::thread([this] { work(); }).detach();
    }

    // Runs f() on a thread of the pool and resumes the awaiting coroutine on the loop.
    template <class F>
    struct Submit : Callback {
        ThreadPool& pool;
        F f;
        int result = 0;
        std::coroutine_handle<> waiting;

        Submit(ThreadPool& p, F function) : Callback(execute), pool(p), f(function) {}
        static void execute(void* frame) {
            auto* me = static_cast<Submit*>(reinterpret_cast<Callback*>(
                static_cast<char*>(frame) - offsetof(Callback, resume)));
            me->result = me->f();
            me->coroutine = me->waiting;
            loop.post(me);
        }
        bool await_ready() noexcept { return false; }
        void await_suspend(std::coroutine_handle<> h) {
            waiting = h;
            pool.push(this);
        }
        int await_resume() noexcept { return result; }
    };
    template <class F>
    Submit<F> submit(F f) {
        return {*this, f};
    }

    void push(Ready* job) {
        bool wake;
        {
            std::lock_guard hold(mutex_);
            jobs_.push(job);
            wake = idle_ > 0;
        }
        if (wake) available_.notify_one();
    }

  private:
    void work() {
        std::unique_lock hold(mutex_);
        for (;;) {
            if (Ready* job = jobs_.pop()) {
                hold.unlock();
                job->coroutine.resume();
                hold.lock();
            } else {
                ++idle_;
                available_.wait(hold);
                --idle_;
            }
        }
    }

    std::mutex mutex_;
    std::condition_variable available_;
    ReadyList jobs_;
    int idle_ = 0;
};

// ---- workloads ------------------------------------------------------------------------

[[gnu::noinline]] Task<int> child() {
    co_return 1;
}
inline Task<int> visible_child() {
    co_return 1;
}

void await_chain(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        std::uint64_t sum = 0;
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) sum += co_await child();
        run.stop();
        bench::keep(sum);
    }(run));
}

void await_chain_visible(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        std::uint64_t sum = 0;
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) sum += co_await visible_child();
        run.stop();
        bench::keep(sum);
    }(run));
}

Task<int> descend(int depth) {
    if (depth == 0) co_return 0;
    co_return 1 + co_await descend(depth - 1);
}

void await_depth(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        std::uint64_t sum = 0;
        run.start();
        for (std::uint64_t i = 0; i < run.n / 1000; ++i) sum += co_await descend(1000);
        run.stop(run.n / 1000 * 1000);
        bench::keep(sum);
    }(run));
}

void spawn_join(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        std::uint64_t sum = 0;
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) {
            auto task = child();
            task.spawn();
            sum += co_await task.join();
        }
        run.stop();
        bench::keep(sum);
    }(run));
}

void gather(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        const std::uint64_t at_once = std::min<std::uint64_t>(run.n, 100'000);
        std::uint64_t sum = 0;
        run.start();
        for (std::uint64_t round = 0; round < run.n / at_once; ++round) {
            std::vector<Task<int>> tasks;
            tasks.reserve(at_once);
            for (std::uint64_t i = 0; i < at_once; ++i)
                tasks.push_back(child()), tasks.back().spawn();
            for (auto& t : tasks) sum += co_await t.join();
        }
        run.stop(run.n / at_once * at_once);
        bench::keep(sum);
    }(run));
}

Task<> yield_often(std::uint64_t times) {
    for (std::uint64_t i = 0; i < times; ++i) co_await Yield{};
}

void yield_tasks(bench::Run& run, std::uint64_t count) {
    run_main([](bench::Run& run, std::uint64_t count) -> Task<> {
        std::vector<Task<>> tasks;
        tasks.reserve(count);
        run.start();
        for (std::uint64_t i = 0; i < count; ++i) {
            tasks.push_back(yield_often(run.n / count));
            tasks.back().spawn();
        }
        for (auto& t : tasks) co_await t.join();
        run.stop(run.n / count * count);
    }(run, count));
}
void yield_2(bench::Run& run) {
    yield_tasks(run, 2);
}
void yield_1000(bench::Run& run) {
    yield_tasks(run, 1000);
}

Task<> sleep_for(std::int64_t microseconds) {
    co_await Sleep(microseconds);
}

void timers(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        bench::Delays delays;
        std::vector<Task<>> tasks;
        tasks.reserve(run.n);
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) {
            tasks.push_back(sleep_for(delays.next()));
            tasks.back().spawn();
        }
        for (auto& t : tasks) co_await t.join();
        run.stop();
    }(run));
}

void sleepers(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        std::vector<Task<>> tasks;
        const auto before = bench::resident();
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) {
            tasks.push_back(sleep_for(3600'000'000));
            tasks.back().spawn();
        }
        co_await Yield{};
        run.stop();
        run.figure("bytes_per_task", double(bench::resident() - before) / double(run.n));
        for (auto& t : tasks) t.cancel();
        for (auto& t : tasks) co_await t.outcome();
    }(run));
}

void timer_cancel(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        Timer timer;
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) {
            loop.arm(&timer, 10'000'000 + std::int64_t(i % 1000));
            loop.timers.cancel(&timer);
            if (i % 1000 == 999) co_await Yield{};
        }
        run.stop();
    }(run));
}

Task<> yield_once() {
    co_await Yield{};
}

void wait_for(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) {
            Timer timer;  // would cancel us when it fires
            loop.arm(&timer, 10'000'000);
            co_await yield_once();
            loop.timers.cancel(&timer);
        }
        run.stop();
    }(run));
}

void queue(bench::Run& run, std::size_t capacity) {
    run_main([](bench::Run& run, std::size_t capacity) -> Task<> {
        Queue<std::uint64_t> q(capacity);
        auto produce = [](Queue<std::uint64_t>& q, std::uint64_t n) -> Task<> {
            for (std::uint64_t i = 0; i < n; ++i) co_await q.put(i);
        };
        auto consume = [](Queue<std::uint64_t>& q, std::uint64_t n) -> Task<> {
            std::uint64_t sum = 0;
            for (std::uint64_t i = 0; i < n; ++i) sum += co_await q.get();
            bench::keep(sum);
        };
        run.start();
        auto producer = produce(q, run.n);
        auto consumer = consume(q, run.n);
        producer.spawn();
        consumer.spawn();
        co_await producer.join();
        co_await consumer.join();
        run.stop();
    }(run, capacity));
}
void queue_1(bench::Run& run) {
    queue(run, 1);
}
void queue_1024(bench::Run& run) {
    queue(run, 1024);
}

void lock(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        Lock lock;
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) {
            co_await lock.acquire();
            bench::keep(i);
            lock.release();
        }
        run.stop();
    }(run));
}

void lock_handoff(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        Lock lock;
        auto work = [](Lock& lock, std::uint64_t n) -> Task<> {
            for (std::uint64_t i = 0; i < n; ++i) {
                co_await lock.acquire();
                co_await Yield{};
                lock.release();
            }
        };
        run.start();
        auto a = work(lock, run.n / 2), b = work(lock, run.n / 2);
        a.spawn();
        b.spawn();
        co_await a.join();
        co_await b.join();
        run.stop(run.n / 2 * 2);
    }(run));
}

void event_pingpong(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        Event ping, pong;
        auto work = [](Event& mine, Event& other, std::uint64_t n) -> Task<> {
            for (std::uint64_t i = 0; i < n; ++i) {
                co_await mine.wait();
                mine.clear();
                other.set();
            }
        };
        run.start();
        auto a = work(ping, pong, run.n / 2), b = work(pong, ping, run.n / 2);
        a.spawn();
        b.spawn();
        ping.set();
        co_await a.join();
        co_await b.join();
        run.stop(run.n / 2 * 2);
    }(run));
}

// A future that a callback of the loop completes: two turns, as asyncio's.
struct OneFuture {
    int value = 0;
    Ready* waiter = nullptr;
    Ready me;
    bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) noexcept {
        me.coroutine = h;
        waiter = &me;
    }
    int await_resume() noexcept { return value; }
};

struct SetResult : Callback {
    OneFuture& future;
    explicit SetResult(OneFuture& f) : Callback(set), future(f) {}
    static void set(void* frame) {
        auto* me = static_cast<SetResult*>(
            reinterpret_cast<Callback*>(static_cast<char*>(frame) - offsetof(Callback, resume)));
        me->future.value = 1;
        if (me->future.waiter) loop.push(me->future.waiter);
    }
};

void hand_over(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) {
            OneFuture future;
            SetResult set(future);
            loop.push(&set);
            bench::keep(co_await future);
        }
        run.stop();
    }(run));
}

std::uint64_t calls_left;

struct CallSoon : Callback {
    CallSoon() : Callback(again) {}
    static void again(void* frame) {
        auto* me =
            reinterpret_cast<Callback*>(static_cast<char*>(frame) - offsetof(Callback, resume));
        if (calls_left > 1) {
            --calls_left;
            loop.push(me);
        } else
            calls_left = 0;
    }
};

void call_soon_chains(bench::Run& run, std::size_t chains) {
    std::vector<CallSoon> calls(chains);
    for (auto& c : calls) c.coroutine = std::coroutine_handle<>::from_address(&c.resume);
    calls_left = run.n;
    run.start();
    for (auto& c : calls) loop.push(&c);
    loop.run_until([] { return calls_left == 0; });
    run.stop();
}
void call_soon(bench::Run& run) {
    call_soon_chains(run, 1);
}
void call_soon_1000(bench::Run& run) {
    call_soon_chains(run, 1000);
}

struct Posted : Callback {
    std::int64_t at = 0;
    static inline std::uint64_t received = 0;
    static inline std::vector<std::int64_t> latencies;
    explicit Posted(void (*f)(void*)) : Callback(f) {}
    static Posted* from(void* frame) {
        return static_cast<Posted*>(
            reinterpret_cast<Callback*>(static_cast<char*>(frame) - offsetof(Callback, resume)));
    }
};

void call_soon_threadsafe(bench::Run& run) {
    run.start();
    std::thread poster([n = run.n] {
        for (std::uint64_t i = 0; i < n; ++i)
            loop.post(new Posted([](void* frame) {
                delete Posted::from(frame);
                ++Posted::received;
            }));
    });
    loop.run_until([&] { return Posted::received == run.n; });
    run.stop();
    poster.join();
}

void wake_latency(bench::Run& run) {
    run.start();
    std::thread poster([n = run.n] {
        for (std::uint64_t i = 0; i < n; ++i) {
            usleep(200);
            auto* p = new Posted([](void* frame) {
                auto* me = Posted::from(frame);
                Posted::latencies.push_back(bench::nanoseconds() - me->at);
                delete me;
                ++Posted::received;
            });
            p->at = bench::nanoseconds();
            loop.post(p);
        }
    });
    loop.run_until([&] { return Posted::received == run.n; });
    run.stop();
    poster.join();
    run.latencies(Posted::latencies);
}

void to_thread(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        static ThreadPool pool(2);
        std::uint64_t sum = 0;
        co_await pool.submit([] { return 1; });
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) sum += co_await pool.submit([] { return 1; });
        run.stop();
        bench::keep(sum);
    }(run));
}

void to_thread_10k(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        static ThreadPool pool(2);
        const std::uint64_t at_once = std::min<std::uint64_t>(run.n, 10'000);
        auto one = [](ThreadPool& pool) -> Task<int> {
            co_return co_await pool.submit([] { return 1; });
        };
        std::uint64_t sum = 0;
        run.start();
        for (std::uint64_t round = 0; round < run.n / at_once; ++round) {
            std::vector<Task<int>> tasks;
            tasks.reserve(at_once);
            for (std::uint64_t i = 0; i < at_once; ++i)
                tasks.push_back(one(pool)), tasks.back().spawn();
            for (auto& t : tasks) sum += co_await t.join();
        }
        run.stop(run.n / at_once * at_once);
        bench::keep(sum);
    }(run));
}

[[gnu::noinline]] Generator<std::uint64_t> count(std::uint64_t n) {
    for (std::uint64_t i = 0; i < n; ++i) co_yield i;
}

[[gnu::noinline]] Generator<std::uint64_t> count_yielding(std::uint64_t n) {
    for (std::uint64_t i = 0; i < n; ++i) {
        co_await Yield{};
        co_yield i;
    }
}

void consume(bench::Run& run, Generator<std::uint64_t> (*make)(std::uint64_t)) {
    run_main([](bench::Run& run, Generator<std::uint64_t> (*make)(std::uint64_t)) -> Task<> {
        std::uint64_t sum = 0;
        run.start();
        auto items = make(run.n);
        while (auto* item = co_await items.next()) sum += *item;
        run.stop();
        bench::keep(sum);
    }(run, make));
}
void async_gen(bench::Run& run) {
    consume(run, count);
}
void async_gen_yield(bench::Run& run) {
    consume(run, count_yielding);
}

// The sleeper throws; the joiner throws again.
void cancel(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        std::uint64_t caught = 0;
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) {
            auto task = sleep_for(3600'000'000);
            task.spawn();
            co_await Yield{};
            task.cancel();
            try {
                co_await task.join();
            } catch (Cancelled&) {
                ++caught;
            }
        }
        run.stop();
        if (caught != run.n) std::abort();
    }(run));
}

// The sleeper throws; the joiner reads the outcome.
void cancel_outcome(bench::Run& run) {
    run_main([](bench::Run& run) -> Task<> {
        std::uint64_t caught = 0;
        run.start();
        for (std::uint64_t i = 0; i < run.n; ++i) {
            auto task = sleep_for(3600'000'000);
            task.spawn();
            co_await Yield{};
            task.cancel();
            caught += !co_await task.outcome();
        }
        run.stop();
        if (caught != run.n) std::abort();
    }(run));
}

}  // namespace

#ifndef PEER
#define PEER "limit"
#endif

int main(int argc, char** argv) {
    return bench::run(PEER, argc, argv,
                      {{"await_chain", await_chain},
                       {"await_chain_visible", await_chain_visible},
                       {"await_depth", await_depth},
                       {"spawn_join", spawn_join},
                       {"gather", gather},
                       {"yield_2", yield_2},
                       {"yield_1000", yield_1000},
                       {"timers", timers},
                       {"sleepers", sleepers},
                       {"timer_cancel", timer_cancel},
                       {"wait_for", wait_for},
                       {"queue_1", queue_1},
                       {"queue_1024", queue_1024},
                       {"lock", lock},
                       {"lock_handoff", lock_handoff},
                       {"event_pingpong", event_pingpong},
                       {"hand_over", hand_over},
                       {"call_soon", call_soon},
                       {"call_soon_1000", call_soon_1000},
                       {"call_soon_threadsafe", call_soon_threadsafe},
                       {"wake_latency", wake_latency},
                       {"to_thread", to_thread},
                       {"to_thread_10k", to_thread_10k},
                       {"async_gen", async_gen},
                       {"async_gen_yield", async_gen_yield},
                       {"cancel", cancel},
                       {"cancel_outcome", cancel_outcome}});
}
