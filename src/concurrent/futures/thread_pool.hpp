// The pool behind a ThreadPoolExecutor.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <concurrent/futures/thread.hpp>

#include "futex.hpp"

namespace concurrent::futures::detail {

// Shared by the executor and its threads, so that these may outlive it.
//
// Work is handed to an idle thread directly, through that thread's own word of memory; only
// when nobody is idle it is queued. So the queue is empty while anybody is idle, nobody is
// woken in vain, and the thread that was busy last, whose caches are warm, is used first.
class ThreadPool : public std::enable_shared_from_this<ThreadPool> {
  public:
    explicit ThreadPool(ThreadPoolOptions options);

    void submit(Work& work);
    void shut_down(ShutdownOptions options);
    // What the end of the executor does.
    void finish();

    [[nodiscard]] int max_workers() const noexcept { return most_; }
    // The handles of all threads, to be joined by the caller.
    [[nodiscard]] std::vector<std::thread> take_threads();

    // Around fork().
    void lock_for_fork() { lock_.lock(); }
    void unlock_after_fork() { lock_.unlock(); }
    void forget_threads_in_child();

  private:
    // Each on its own line of the cache: it is how a submitter and a sleeper meet.
    struct alignas(64) Worker {
        // Called by whoever took this from the idle ones, once.
        void call(Work* work) noexcept;
        // In the worker's thread: the work it is called for; null to look around again.
        Work* wait_for_call(bool look_out_first) noexcept;
        void look_out() const noexcept;

        std::atomic<std::uint32_t> signal{quiet};
        Work* given = nullptr;
        Worker* next_idle = nullptr;
        std::thread thread;
    };
    static constexpr std::uint32_t quiet = 0;
    static constexpr std::uint32_t asleep = 1;
    static constexpr std::uint32_t called = 2;

    void refuse_if_closed() const;
    void start_thread();
    void run_worker(Worker& self) noexcept;
    bool initialize() noexcept;
    void break_pool() noexcept;
    void leave() noexcept;
    // Under the lock: whether the caller has to retire this pool. True once.
    bool retires() noexcept;
    void join();
    [[nodiscard]] Work* take_all() noexcept;
    [[nodiscard]] Work* pop() noexcept;
    static void call_all(Worker* idle) noexcept;

    FutexLock lock_;
    bool shut_down_ = false;
    bool broken_ = false;
    bool unattended_ = false;  // nobody is going to join the threads, ...
    bool retired_ = false;     // ... or somebody has seen to it
    bool wait_at_end_ = true;
    int living_ = 0;          // threads that have not left
    Worker* idle_ = nullptr;  // the last one to become idle first
    Work* first_ = nullptr;
    Work** last_ = &first_;
    std::vector<std::unique_ptr<Worker>> workers_;

    std::mutex joining_;
    const int most_;
    const std::string prefix_;
    const bool looks_out_;  // for more work before it sleeps: useless on a single CPU
    const std::function<void()> initializer_;
};

// Joins at the end of the process what nobody else has joined, and looks after fork().
// Never destroyed, since threads may look at it to the end.
class ThreadPoolRegistry {
  public:
    static ThreadPoolRegistry& instance();

    [[nodiscard]] bool process_ends() const noexcept {
        return process_ends_.load(std::memory_order_relaxed);
    }
    void add(const std::shared_ptr<ThreadPool>& pool);
    // Keeps a pool until its last thread has left, ...
    void keep(std::shared_ptr<ThreadPool> pool);
    // ... after which this is called, once; the next one joins the threads.
    void retire(ThreadPool& pool);
    void forget(ThreadPool& pool);

  private:
    ThreadPoolRegistry();
    [[nodiscard]] std::vector<std::shared_ptr<ThreadPool>> living();
    [[nodiscard]] std::shared_ptr<ThreadPool> taken_out(ThreadPool& pool);
    void join_all();
    void before_fork();
    void after_fork(bool child);

    std::mutex mutex_;
    std::vector<std::weak_ptr<ThreadPool>> pools_;
    std::vector<std::shared_ptr<ThreadPool>> unattended_;
    std::vector<std::thread> leaving_;
    std::vector<std::shared_ptr<ThreadPool>> forking_;  // between the two halves of a fork()
    std::atomic<bool> process_ends_{false};
};

}  // namespace concurrent::futures::detail
