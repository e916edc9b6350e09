#include <concurrent/futures/process.hpp>

#include <sched.h>
#include <signal.h>

#include <utility>

#include "process_pool.hpp"

namespace concurrent::futures {
namespace {

unsigned usable_cpus() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

detail::PoolOptions checked(ProcessPoolExecutor::Options options) {
    using multiprocessing::StartMethod;
    if (options.max_workers && *options.max_workers <= 0) {
        throw asyncio::ValueError("max_workers must be greater than 0");
    }
    if (options.max_tasks_per_child) {
        if (*options.max_tasks_per_child <= 0) {
            throw asyncio::ValueError("max_tasks_per_child must be >= 1");
        }
        if (options.mp_context == StartMethod::fork) {
            throw asyncio::ValueError(
                "max_tasks_per_child is incompatible with the 'fork' multiprocessing start method; "
                "supply a different mp_context.");
        }
    }
    detail::PoolOptions checked;
    checked.max_workers =
        options.max_workers ? static_cast<unsigned>(*options.max_workers) : usable_cpus();
    checked.start_method = options.mp_context.value_or(
        options.max_tasks_per_child ? StartMethod::spawn : StartMethod::forkserver);
    if (options.max_tasks_per_child) {
        checked.max_tasks_per_child = static_cast<unsigned>(*options.max_tasks_per_child);
    }
    checked.initializer = options.initializer.call();
    return checked;
}

}  // namespace

BrokenProcessPool::~BrokenProcessPool() = default;

std::string detail::write_to_string(const CallWriter& writer) {
    MessageWriter message;
    writer.write(message);
    const auto bytes = message.finish({.kind = FrameKind::initialize});
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

ProcessPoolExecutor::ProcessPoolExecutor() : ProcessPoolExecutor(Options{}) {}
ProcessPoolExecutor::ProcessPoolExecutor(int max_workers)
    : ProcessPoolExecutor(Options{.max_workers = max_workers}) {}
ProcessPoolExecutor::ProcessPoolExecutor(Options options)
    : pool_(std::make_shared<detail::ProcessPool>(checked(std::move(options)))) {}

ProcessPoolExecutor::~ProcessPoolExecutor() {
    // On the pool's own thread, in a done callback, there is nothing to wait for.
    pool_->shutdown(detail::managed_here != pool_.get(), false);
}

void ProcessPoolExecutor::submit_call(std::unique_ptr<detail::RemoteWork> work,
                                      const detail::CallWriter& writer) {
    pool_->submit(std::move(work), writer);
}

void ProcessPoolExecutor::shutdown(ShutdownOptions options) {
    pool_->shutdown(options.wait, options.cancel_futures);
}

void ProcessPoolExecutor::terminate_workers() {
    pool_->kill_workers(SIGTERM);
}
void ProcessPoolExecutor::kill_workers() {
    pool_->kill_workers(SIGKILL);
}

std::vector<pid_t> ProcessPoolExecutor::worker_pids() const {
    return pool_->worker_pids();
}

}  // namespace concurrent::futures
