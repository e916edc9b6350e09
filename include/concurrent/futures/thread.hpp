// concurrent/futures/thread.hpp - calls on a pool of threads.
//
//   ThreadPoolExecutor pool(4);
//   Future<Image> image = pool.submit(decode, path);
//   for (int size : pool.map(file_size, paths)) total += size;
//
// Threads start on demand, up to max_workers, and idle ones are used before new ones; calls
// start in the order of submission. All calls have ended before the process does: it waits at
// its end for pools that nobody has waited for.
//
// Thread: everything from any thread. Fork: a forked child finds each pool empty and without
// threads, and may use it; what its parent had submitted never ends there.
//
// Source: Python's concurrent.futures.thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <concurrent/futures/executor.hpp>

namespace concurrent::futures {

// An initializer failed: the pool can run nothing.
class BrokenThreadPool : public BrokenExecutor {
  public:
    using BrokenExecutor::BrokenExecutor;
    ~BrokenThreadPool() override;
};

namespace detail {
class ThreadPool;
}

struct ThreadPoolOptions {
    // How many threads at most; by default the CPUs this process may use and 4, at most 32.
    std::optional<int> max_workers = {};
    // Threads are called PREFIX_0, PREFIX_1, ...; of that the system shows the last 15 bytes.
    // Default: ThreadPoolExecutor-0, and so on for each pool.
    std::string thread_name_prefix = {};
    // Called first in each thread; Python's initargs are what it captures. If it throws, that
    // is logged and the pool is broken: what waits and what is submitted later fails with
    // BrokenThreadPool.
    std::function<void()> initializer = {};
};

class ThreadPoolExecutor final : public Executor {
  public:
    using Options = ThreadPoolOptions;

    // Throws: ValueError unless max_workers is positive.
    explicit ThreadPoolExecutor(int max_workers);
    explicit ThreadPoolExecutor(Options options = {});
    // Waits as shutdown() does, unless shutdown() was last told not to.
    ~ThreadPoolExecutor() override;

    // Without `wait` returns at once; the threads end when all calls have, and the end of the
    // process waits for them. One of the pool's own threads, which cannot wait for itself,
    // never waits here.
    void shutdown(ShutdownOptions options = {}) override;

    [[nodiscard]] int max_workers() const noexcept;

  private:
    void execute(detail::Work& work) override;
    std::shared_ptr<detail::ThreadPool> pool_;
};

}  // namespace concurrent::futures
