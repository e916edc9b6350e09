#include <concurrent/futures/thread.hpp>

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <new>
#include <system_error>

#include <asyncio/log.hpp>

#include "thread_pool.hpp"

namespace concurrent::futures {

BrokenThreadPool::~BrokenThreadPool() = default;

namespace detail {

namespace {

// The pool whose thread this is.
constinit thread_local ThreadPool* pool_of_this_thread = nullptr;

constexpr const char* broken_text =
    "a thread initializer failed, the thread pool is not usable any more; make another";

int checked_workers(std::optional<int> asked) {
    const int workers = asked ? *asked : std::min(32, usable_cpus() + 4);
    if (workers <= 0) throw asyncio::ValueError("max_workers must be greater than 0");
    return workers;
}

std::string default_prefix() {
    static std::atomic<unsigned> next{0};
    return "ThreadPoolExecutor-" + std::to_string(next.fetch_add(1));
}

void name_this_thread(std::string name) {
    // The kernel keeps 15 bytes; the number at the end tells threads apart.
    constexpr std::size_t kept = 15;
    if (name.size() > kept) name.erase(0, name.size() - kept);
    pthread_setname_np(pthread_self(), name.c_str());
}

void join_each(std::vector<std::thread> threads) {
    for (std::thread& thread : threads) thread.join();
}

}  // namespace

// ---- handing work over --------------------------------------------------------------------

void ThreadPool::Worker::call(Work* work) noexcept {
    given = work;
    if (signal.exchange(called, std::memory_order_release) == asleep) futex_wake(signal, 1);
}

// Who hands work over does it again soon: a little later, or when the loop that waited for the
// result has been woken. To sleep in between would cost both sides a call of the kernel each time.
void ThreadPool::Worker::look_out() const noexcept {
    using Clock = std::chrono::steady_clock;
    constexpr auto longest = std::chrono::microseconds(6);
    constexpr int looks_per_glance_at_the_clock = 16;
    const auto end = Clock::now() + longest;
    do {
        for (int i = 0; i < looks_per_glance_at_the_clock; ++i) {
            if (signal.load(std::memory_order_relaxed) != quiet) return;
            pause_cpu();
        }
    } while (Clock::now() < end);
}

Work* ThreadPool::Worker::wait_for_call(bool look_out_first) noexcept {
    if (look_out_first) look_out();
    std::uint32_t seen = quiet;
    if (signal.compare_exchange_strong(seen, asleep, std::memory_order_acquire)) {
        do {
            futex_wait(signal, asleep);
        } while (signal.load(std::memory_order_acquire) != called);
    }
    // Before this worker is idle again, nobody else looks here.
    signal.store(quiet, std::memory_order_relaxed);
    return std::exchange(given, nullptr);
}

void ThreadPool::call_all(Worker* idle) noexcept {
    while (idle != nullptr) {
        Worker* const worker = idle;
        idle = worker->next_idle;  // now: once called, it may become idle again
        worker->call(nullptr);
    }
}

void ThreadPool::submit(Work& work) {
    Worker* worker;
    {
        const std::lock_guard lock(lock_);
        refuse_if_closed();
        worker = idle_;
        if (worker != nullptr) {
            idle_ = worker->next_idle;
        } else {
            // Before the work is queued: where no thread can be started, this throws.
            if (static_cast<int>(workers_.size()) < most_) start_thread();
            work.next = nullptr;
            *last_ = &work;
            last_ = &work.next;
        }
    }
    if (worker != nullptr) worker->call(&work);
}

Work* ThreadPool::pop() noexcept {
    Work* const work = first_;
    if (work != nullptr && (first_ = work->next) == nullptr) last_ = &first_;
    return work;
}

Work* ThreadPool::take_all() noexcept {
    last_ = &first_;
    return std::exchange(first_, nullptr);
}

void ThreadPool::refuse_if_closed() const {
    if (broken_) throw BrokenThreadPool(broken_text);
    if (shut_down_) {
        throw asyncio::RuntimeError("cannot schedule new futures after shutdown");
    }
    if (ThreadPoolRegistry::instance().process_ends()) {
        throw asyncio::RuntimeError("cannot schedule new futures after the end of the program");
    }
}

// ---- the threads --------------------------------------------------------------------------

ThreadPool::ThreadPool(ThreadPoolOptions options)
    : most_(checked_workers(options.max_workers)),
      prefix_(options.thread_name_prefix.empty() ? default_prefix()
                                                 : std::move(options.thread_name_prefix)),
      looks_out_(usable_cpus() > 1),
      initializer_(std::move(options.initializer)) {}

void ThreadPool::start_thread() {
    Worker& worker = *workers_.emplace_back(std::make_unique<Worker>());
    try {
        worker.thread =
            std::thread([self = shared_from_this(), &worker,
                         name = prefix_ + '_' + std::to_string(workers_.size() - 1)]() mutable {
                name_this_thread(std::move(name));
                self->run_worker(worker);
            });
        ++living_;
    } catch (const std::system_error& error) {
        workers_.pop_back();
        // The threads there are will do, if there are any.
        if (living_ == 0) asyncio::throw_os_error(error.code().value(), "cannot start a thread");
    }
}

bool ThreadPool::initialize() noexcept {
    if (!initializer_) return true;
    try {
        initializer_();
        return true;
    } catch (...) {
        asyncio::log(asyncio::LogLevel::critical,
                     "exception in the initializer of a ThreadPoolExecutor: " +
                         asyncio::describe_exception(std::current_exception()));
        return false;
    }
}

void ThreadPool::break_pool() noexcept {
    Work* work;
    Worker* idle;
    {
        const std::lock_guard lock(lock_);
        broken_ = true;
        work = take_all();
        idle = std::exchange(idle_, nullptr);
    }
    call_all(idle);
    const auto error = std::make_exception_ptr(BrokenThreadPool(broken_text));
    while (work != nullptr) {
        Work* const failed = std::exchange(work, work->next);
        failed->fail(error);
        failed->release();
    }
}

void ThreadPool::run_worker(Worker& self) noexcept {
    pool_of_this_thread = this;
    if (initialize()) {
        std::unique_lock lock(lock_);
        for (;;) {
            Work* work = pop();
            if (work == nullptr) {
                if (shut_down_ || broken_) break;
                self.next_idle = idle_;
                idle_ = &self;
            }
            lock.unlock();
            if (work == nullptr) work = self.wait_for_call(looks_out_);
            if (work != nullptr) {
                work->run();
                work->release();
            }
            lock.lock();
        }
    } else {
        break_pool();
    }
    leave();
}

void ThreadPool::leave() noexcept {
    bool last;
    {
        const std::lock_guard lock(lock_);
        --living_;
        last = retires();
    }
    // Must be the last thing this thread does: another may be joining it already.
    if (last) ThreadPoolRegistry::instance().retire(*this);
}

bool ThreadPool::retires() noexcept {
    if (living_ != 0 || !unattended_ || retired_) return false;
    retired_ = true;
    return true;
}

std::vector<std::thread> ThreadPool::take_threads() {
    std::vector<std::thread> threads;
    const std::lock_guard lock(lock_);
    for (const auto& worker : workers_) {
        if (worker->thread.joinable()) threads.push_back(std::move(worker->thread));
    }
    return threads;
}

// ---- the end ------------------------------------------------------------------------------

void ThreadPool::shut_down(ShutdownOptions options) {
    ThreadPoolRegistry& registry = ThreadPoolRegistry::instance();
    const bool waits = options.wait && pool_of_this_thread != this;
    // First: the last thread that leaves takes the pool out again.
    if (!waits) registry.keep(shared_from_this());
    Work* dropped = nullptr;
    Worker* idle;
    bool retiring;
    bool over;
    {
        const std::lock_guard lock(lock_);
        shut_down_ = true;
        unattended_ = !waits;
        wait_at_end_ = options.wait;
        if (options.cancel_futures) dropped = take_all();
        idle = std::exchange(idle_, nullptr);
        over = living_ == 0;
        retiring = retires();
    }
    call_all(idle);
    while (dropped != nullptr) {
        Work* const work = std::exchange(dropped, dropped->next);
        work->cancel();
        work->release();
    }
    if (waits) join();
    if (retiring) {
        registry.retire(*this);
    } else if (waits || over) {
        registry.forget(*this);
    }
}

void ThreadPool::finish() {
    bool wait;
    {
        const std::lock_guard lock(lock_);
        wait = wait_at_end_;
    }
    shut_down({.wait = wait});
}

void ThreadPool::join() {
    // Whoever comes second finds no handles, but waits all the same.
    const std::lock_guard one(joining_);
    join_each(take_threads());
}

void ThreadPool::forget_threads_in_child() {
    // They do not exist here: their handles can be neither joined nor destroyed, and what
    // they were doing with the futures of the queue may be half done.
    static_cast<void>(new std::vector<std::unique_ptr<Worker>>(std::move(workers_)));
    workers_.clear();
    living_ = 0;
    idle_ = nullptr;
    static_cast<void>(take_all());
    new (&joining_) std::mutex;
}

// ---- the end of the process, and fork() ---------------------------------------------------

ThreadPoolRegistry::ThreadPoolRegistry() {
    std::atexit([] { instance().join_all(); });
    pthread_atfork([] { instance().before_fork(); }, [] { instance().after_fork(false); },
                   [] { instance().after_fork(true); });
}

ThreadPoolRegistry& ThreadPoolRegistry::instance() {
    static ThreadPoolRegistry& registry = *new ThreadPoolRegistry;
    return registry;
}

void ThreadPoolRegistry::add(const std::shared_ptr<ThreadPool>& pool) {
    const std::lock_guard lock(mutex_);
    std::erase_if(pools_, [](const auto& weak) { return weak.expired(); });
    pools_.push_back(pool);
}

void ThreadPoolRegistry::keep(std::shared_ptr<ThreadPool> pool) {
    const std::lock_guard lock(mutex_);
    if (std::ranges::find(unattended_, pool) == unattended_.end()) {
        unattended_.push_back(std::move(pool));
    }
}

std::shared_ptr<ThreadPool> ThreadPoolRegistry::taken_out(ThreadPool& pool) {
    const auto found = std::ranges::find(unattended_, &pool, &std::shared_ptr<ThreadPool>::get);
    if (found == unattended_.end()) return nullptr;
    auto taken = std::move(*found);
    unattended_.erase(found);
    return taken;
}

void ThreadPoolRegistry::forget(ThreadPool& pool) {
    std::shared_ptr<ThreadPool> taken;  // let go of after the lock
    const std::lock_guard lock(mutex_);
    taken = taken_out(pool);
}

void ThreadPoolRegistry::retire(ThreadPool& pool) {
    std::shared_ptr<ThreadPool> taken;
    std::vector<std::thread> earlier;
    {
        const std::lock_guard lock(mutex_);
        taken = taken_out(pool);
        earlier = std::exchange(leaving_, pool.take_threads());
    }
    // Each of them was here before, and so is not waiting for this thread.
    join_each(std::move(earlier));
}

std::vector<std::shared_ptr<ThreadPool>> ThreadPoolRegistry::living() {
    std::vector<std::shared_ptr<ThreadPool>> found;
    for (const auto& weak : pools_) {
        if (auto pool = weak.lock()) found.push_back(std::move(pool));
    }
    return found;
}

void ThreadPoolRegistry::join_all() {
    process_ends_.store(true, std::memory_order_relaxed);
    std::vector<std::shared_ptr<ThreadPool>> pools;
    {
        const std::lock_guard lock(mutex_);
        pools = living();
    }
    for (const auto& pool : pools) pool->shut_down({.wait = true});
    std::vector<std::thread> leaving;
    {
        const std::lock_guard lock(mutex_);
        leaving = std::exchange(leaving_, {});
    }
    join_each(std::move(leaving));
}

void ThreadPoolRegistry::before_fork() {
    mutex_.lock();
    forking_ = living();
    for (const auto& pool : forking_) pool->lock_for_fork();
}

void ThreadPoolRegistry::after_fork(bool child) {
    for (const auto& pool : forking_) {
        if (child) pool->forget_threads_in_child();
        pool->unlock_after_fork();
    }
    if (child) {
        static_cast<void>(new std::vector<std::thread>(std::exchange(leaving_, {})));
    }
    // Let go of outside of our lock: the last reference may be among them.
    const auto released = std::exchange(forking_, {});
    const auto unattended =
        child ? std::exchange(unattended_, {}) : std::vector<std::shared_ptr<ThreadPool>>();
    mutex_.unlock();
}

}  // namespace detail

ThreadPoolExecutor::ThreadPoolExecutor(int max_workers)
    : ThreadPoolExecutor(Options{.max_workers = max_workers}) {}

ThreadPoolExecutor::ThreadPoolExecutor(Options options)
    : pool_(std::make_shared<detail::ThreadPool>(std::move(options))) {
    detail::ThreadPoolRegistry::instance().add(pool_);
}

ThreadPoolExecutor::~ThreadPoolExecutor() {
    pool_->finish();
}

void ThreadPoolExecutor::shutdown(ShutdownOptions options) {
    pool_->shut_down(options);
}
int ThreadPoolExecutor::max_workers() const noexcept {
    return pool_->max_workers();
}
void ThreadPoolExecutor::execute(detail::Work& work) {
    pool_->submit(work);
}

}  // namespace concurrent::futures
