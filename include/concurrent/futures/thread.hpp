// concurrent/futures/thread.hpp - calls on a pool of threads.
//
//   ThreadPoolExecutor pool(4);
//   Future<Image> image = pool.submit(decode, path);
//   for (int size : pool.map(file_size, paths)) total += size;
//
// Threads start on demand, up to max_workers, and idle ones are used before new ones; calls
// start in the order of submission. Workers still running when main() returns are waited for.
//
// Thread: everything from any thread. shutdown() from one of the pool's own workers does not
// wait for that worker. A forked child finds the pool without threads, and may use it.
//
// Source: Python's concurrent.futures.ThreadPoolExecutor.
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
    std::optional<int> max_workers = {};     // default: usable CPUs + 4, at most 32
    std::string thread_name_prefix = {};     // default: "ThreadPoolExecutor-N"; "_M" is added
    std::function<void()> initializer = {};  // runs first in each worker
};

class ThreadPoolExecutor final : public Executor {
  public:
    using Options = ThreadPoolOptions;

    // Throws: ValueError unless max_workers is positive.
    explicit ThreadPoolExecutor(int max_workers);
    explicit ThreadPoolExecutor(Options options = {});
    ~ThreadPoolExecutor() override;

    void shutdown(ShutdownOptions options = {}) override;

  private:
    void execute(detail::Work& work) override;
    std::shared_ptr<detail::ThreadPool> pool_;
};

}  // namespace concurrent::futures
