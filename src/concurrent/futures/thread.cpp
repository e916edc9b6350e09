#include <concurrent/futures/thread.hpp>

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <thread>

#include <asyncio/log.hpp>

namespace concurrent::futures {

BrokenThreadPool::~BrokenThreadPool() = default;

namespace {

int usable_cpus() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

std::string default_prefix() {
    static std::atomic<int> next{0};
    return "ThreadPoolExecutor-" + std::to_string(next.fetch_add(1));
}

}  // namespace

namespace detail {

// Shared by the executor and its threads, so that threads may outlive the executor.
class ThreadPool : public std::enable_shared_from_this<ThreadPool> {
  public:
    explicit ThreadPool(ThreadPoolExecutor::Options options)
        : most_(options.max_workers.value_or(std::min(32, usable_cpus() + 4))),
          prefix_(options.thread_name_prefix.empty() ? default_prefix()
                                                     : std::move(options.thread_name_prefix)),
          initializer_(std::move(options.initializer)) {
        if (most_ <= 0) throw asyncio::ValueError("max_workers must be greater than 0");
    }

    void submit(Work& work);
    void shut_down(ShutdownOptions options);
    void join();

    // Around fork(): nothing is half done in the child, which has no threads.
    void lock_for_fork() { mutex_.lock(); }
    void unlock_after_fork() { mutex_.unlock(); }
    void forget_threads_in_child();

  private:
    void start_thread();
    void run_worker();
    bool initialize();
    void break_pool();
    [[nodiscard]] Work* take_all();
    [[nodiscard]] Work* pop();

    std::mutex mutex_;
    std::condition_variable has_work_;
    Work* first_ = nullptr;
    Work** last_ = &first_;
    int idle_ = 0;  // threads that wait and have not been called yet
    const int most_;
    const std::string prefix_;
    const std::function<void()> initializer_;
    std::vector<std::thread> threads_;
    bool shut_down_ = false;
    bool broken_ = false;
};

namespace {

// The pools of the process, joined when it ends.
struct Registry {
    std::mutex mutex;
    std::vector<std::weak_ptr<ThreadPool>> pools;
    // Strong only between the two halves of a fork().
    std::vector<std::shared_ptr<ThreadPool>> forking;
    std::atomic<bool> process_ends{false};

    Registry() {
        std::atexit([] { registry().join_all(); });
        pthread_atfork([] { registry().before_fork(); }, [] { registry().after_fork(false); },
                       [] { registry().after_fork(true); });
    }

    // Never destroyed, since threads may look at it to the end.
    static Registry& registry() {
        static Registry& instance = *new Registry;
        return instance;
    }

    void add(const std::shared_ptr<ThreadPool>& pool) {
        const std::lock_guard lock(mutex);
        std::erase_if(pools, [](const auto& weak) { return weak.expired(); });
        pools.push_back(pool);
    }
    std::vector<std::shared_ptr<ThreadPool>> alive() {
        std::vector<std::shared_ptr<ThreadPool>> found;
        for (const auto& weak : pools) {
            if (auto pool = weak.lock()) found.push_back(std::move(pool));
        }
        return found;
    }
    void join_all() {
        process_ends = true;
        std::vector<std::shared_ptr<ThreadPool>> found;
        {
            const std::lock_guard lock(mutex);
            found = alive();
        }
        for (const auto& pool : found) pool->shut_down({.wait = true});
    }
    void before_fork() {
        mutex.lock();
        forking = alive();
        for (const auto& pool : forking) pool->lock_for_fork();
    }
    void after_fork(bool child) {
        for (const auto& pool : forking) {
            if (child) pool->forget_threads_in_child();
            pool->unlock_after_fork();
        }
        // Outside of our mutex: the last reference may be ours.
        const auto released = std::move(forking);
        forking.clear();
        mutex.unlock();
    }
};

}  // namespace

void ThreadPool::submit(Work& work) {
    {
        const std::lock_guard lock(mutex_);
        if (broken_) {
            throw BrokenThreadPool(
                "a thread initializer failed, the thread pool is not usable "
                "any more");
        }
        if (shut_down_) {
            throw asyncio::RuntimeError("cannot schedule new futures after shutdown");
        }
        if (Registry::registry().process_ends) {
            throw asyncio::RuntimeError("cannot schedule new futures while the process ends");
        }
        // Before the work is queued: a thread that cannot be started is reported by throwing.
        if (idle_ > 0) {
            --idle_;
        } else if (static_cast<int>(threads_.size()) < most_) {
            start_thread();
        }
        work.next = nullptr;
        *last_ = &work;
        last_ = &work.next;
    }
    has_work_.notify_one();
}

Work* ThreadPool::pop() {
    Work* work = first_;
    if (work != nullptr && (first_ = work->next) == nullptr) last_ = &first_;
    return work;
}

Work* ThreadPool::take_all() {
    last_ = &first_;
    return std::exchange(first_, nullptr);
}

void ThreadPool::start_thread() {
    const std::string name = prefix_ + "_" + std::to_string(threads_.size());
    try {
        threads_.emplace_back([self = shared_from_this(), name] {
            // The kernel keeps 15 characters; the number at the end tells threads apart.
            std::string shown = name;
            if (shown.size() > 15) shown.erase(0, shown.size() - 15);
            pthread_setname_np(pthread_self(), shown.c_str());
            self->run_worker();
        });
    } catch (const std::system_error& error) {
        // The threads there are will do, if there are any.
        if (threads_.empty())
            asyncio::throw_os_error(error.code().value(), "cannot start a thread");
    }
}

bool ThreadPool::initialize() {
    if (!initializer_) return true;
    try {
        initializer_();
        return true;
    } catch (...) {
        asyncio::log(asyncio::LogLevel::critical,
                     "exception in initializer of a ThreadPoolExecutor: " +
                         asyncio::describe_exception(std::current_exception()));
        return false;
    }
}

void ThreadPool::break_pool() {
    Work* work;
    {
        const std::lock_guard lock(mutex_);
        broken_ = true;
        work = take_all();
    }
    const auto error = std::make_exception_ptr(
        BrokenThreadPool("a thread initializer failed, the thread pool is not usable any more"));
    while (work != nullptr) {
        Work* next = work->next;
        work->fail(error);
        work->release();
        work = next;
    }
    has_work_.notify_all();
}

void ThreadPool::run_worker() {
    if (!initialize()) {
        break_pool();
        return;
    }
    std::unique_lock lock(mutex_);
    for (;;) {
        if (Work* work = pop()) {
            lock.unlock();
            work->run();
            work->release();
            lock.lock();
            continue;
        }
        if (shut_down_ || broken_) return;
        ++idle_;
        has_work_.wait(lock, [this] { return first_ != nullptr || shut_down_ || broken_; });
    }
}

void ThreadPool::shut_down(ShutdownOptions options) {
    Work* dropped = nullptr;
    {
        const std::lock_guard lock(mutex_);
        shut_down_ = true;
        if (options.cancel_futures) dropped = take_all();
    }
    has_work_.notify_all();
    while (dropped != nullptr) {
        Work* next = dropped->next;
        dropped->cancel();
        dropped->release();
        dropped = next;
    }
    if (options.wait) join();
}

void ThreadPool::join() {
    for (;;) {
        std::thread thread;
        {
            const std::lock_guard lock(mutex_);
            if (threads_.empty()) return;
            thread = std::move(threads_.back());
            threads_.pop_back();
        }
        if (thread.get_id() == std::this_thread::get_id()) {
            thread.detach();  // this very worker shuts its pool down
        } else if (thread.joinable()) {
            thread.join();
        }
    }
}

void ThreadPool::forget_threads_in_child() {
    // They do not exist here; their handles can be neither joined nor destroyed.
    static_cast<void>(new std::vector<std::thread>(std::move(threads_)));
    threads_.clear();
    idle_ = 0;
    new (&has_work_) std::condition_variable;
}

}  // namespace detail

ThreadPoolExecutor::ThreadPoolExecutor(int max_workers)
    : ThreadPoolExecutor(Options{.max_workers = max_workers}) {}

ThreadPoolExecutor::ThreadPoolExecutor(Options options)
    : pool_(std::make_shared<detail::ThreadPool>(std::move(options))) {
    detail::Registry::registry().add(pool_);
}

ThreadPoolExecutor::~ThreadPoolExecutor() {
    pool_->shut_down({.wait = true});
}

void ThreadPoolExecutor::shutdown(ShutdownOptions options) {
    pool_->shut_down(options);
}
void ThreadPoolExecutor::execute(detail::Work& work) {
    pool_->submit(work);
}

}  // namespace concurrent::futures
