// The pool behind ProcessPoolExecutor.
//
//   submit  ->  pending  ->  call queue  ->  a worker's slot  ->  result
//              cancellable   running: workers + 1 calls beyond those that run
//
// A call for which a worker is idle goes to it at once, from the thread that
// submits. Everything else, results above all, is the work of one thread, the
// manager, which waits for all workers. A busy worker holds one call to go on
// with; if another has nothing to do meanwhile, the pool takes that call back.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <concurrent/futures/process_detail.hpp>

#include "process_start.hpp"
#include "process_wire.hpp"

namespace concurrent::futures::detail {

// A call on its way through the pool.
struct PooledCall {
    std::unique_ptr<RemoteWork> work;
    std::uint64_t number = 0;                  // in the order of submission
    std::unique_ptr<MessageWriter> message{};  // until it moves to a worker's slot
};
using PooledCallPtr = std::unique_ptr<PooledCall>;

// A worker process. All but the constants belongs to the pool's mutex, but whoever set
// `sending` owns the writing side: the socket, and the slots' messages.
struct PoolWorker {
    struct Slot {
        explicit Slot(Region& region) : message(&region) {}
        MessageWriter message;
        PooledCallPtr call;  // null while the slot is free
        std::uint64_t sequence = 0;
        std::uint64_t handed_at = 0;  // in calls that had ended
    };

    PoolWorker(std::uint64_t number, Descriptor our_end)
        : ticket(number), socket(std::move(our_end)) {}

    const std::uint64_t ticket;
    const Descriptor socket;
    SharedFile shared;
    Descriptor answered{};  // an eventfd, which the worker writes; never read
    std::array<Slot, call_slots> slots{Slot(shared.calls(0)), Slot(shared.calls(1))};
    MessageReader answers;                                  // the manager's
    std::array<std::uint64_t, call_slots> last_answered{};  // the manager's, as on the desk

    pid_t pid = 0;  // once the launcher has said
    Descriptor pidfd;

    unsigned handed = 0;              // slots in use
    unsigned total = 0;               // calls it was ever handed
    std::uint64_t next_sequence = 1;  // of its calls
    std::atomic<bool> sending = false;
    bool stale = false;     // a call was taken back from it since it ended one
    bool retiring = false;  // gets no more calls, and ends by itself
    std::optional<std::chrono::steady_clock::time_point> lost{};  // when its socket ended
    std::span<const std::byte> unsent{};  // what its socket did not take yet
};
using PoolWorkerPtr = std::shared_ptr<PoolWorker>;

struct PoolOptions {
    unsigned max_workers = 1;
    multiprocessing::StartMethod start_method = multiprocessing::StartMethod::forkserver;
    std::optional<unsigned> max_tasks_per_child{};
    std::string initializer{};  // a written call, empty for none
};

// The pool whose manager the current thread is.
class ProcessPool;
extern thread_local const ProcessPool* managed_here;

class ProcessPool : public std::enable_shared_from_this<ProcessPool> {
  public:
    // Throws RuntimeError where no worker could take over (freeze_support()).
    explicit ProcessPool(PoolOptions options);
    ~ProcessPool();

    void submit(std::unique_ptr<RemoteWork> work, const CallWriter& writer);
    // Several threads may wait; each returns when all is over.
    void shutdown(bool wait, bool cancel_futures);
    // Shuts down without waiting and sends `signal` to all workers.
    void kill_workers(int signal);
    [[nodiscard]] std::vector<pid_t> worker_pids();

  private:
    // A call assigned to a worker's slot, to be sent without the mutex.
    struct Delivery {
        PoolWorkerPtr worker;
        unsigned slot = 0;
        std::unique_ptr<MessageWriter> message{};  // or else it comes from
        PoolWorkerPtr taken_from{};                // the worker that had it before
        unsigned taken_slot = 0;
    };
    using Deliveries = std::vector<Delivery>;
    using Lock = std::unique_lock<std::mutex>;

    // --- With the mutex -----------------------------------------------------------
    void check_open() const;
    void start_manager();
    [[nodiscard]] bool can_take(const PoolWorker& worker) const;
    [[nodiscard]] PoolWorkerPtr idle_worker() const;
    unsigned reserve(PoolWorker& worker, PooledCallPtr call);
    PooledCallPtr release(PoolWorker& worker, unsigned slot);
    void want_worker();
    void refill_queue();
    Deliveries assign();
    Deliveries assign_backlog();
    std::optional<Delivery> take_back_for(const PoolWorkerPtr& target, std::uint64_t number,
                                          unsigned patience);
    [[nodiscard]] bool is_older_on_its_way(std::uint64_t number) const;
    void end_sending(PoolWorker& worker, std::span<const std::byte> unsent);
    [[nodiscard]] bool is_drained() const;

    // --- Without --------------------------------------------------------------------
    void submit_to(const PoolWorkerPtr& worker, unsigned slot, const CallWriter& writer);
    void submit_to_queue(PooledCallPtr call, const CallWriter& writer);
    // Sends the call in a slot; what the worker's socket, if it is used, did not take.
    std::span<const std::byte> transmit(PoolWorker& worker, unsigned slot);
    void deliver(Deliveries deliveries);
    void wake_manager() const noexcept;

    // --- On the manager's thread, which alone adds and removes workers -----------------
    [[nodiscard]] PoolWorkerPtr find(std::uint64_t ticket) const;
    void manage();
    void run_until_over();
    void wait_for_events();
    void handle_event(std::uint64_t key, std::uint32_t events);
    void launch_wanted();
    void launch_one();
    void take_news();
    void close_in_copy() const noexcept;
    void send_rest(PoolWorker& worker);
    void take_answers(const PoolWorkerPtr& worker);
    // False once the socket has nothing more to give.
    bool read_answers(const PoolWorkerPtr& worker);
    void finish_call(const PoolWorkerPtr& worker, const Frame& frame,
                     std::span<const std::byte> payload);
    void bury(const PoolWorkerPtr& worker);
    void check_lost();
    void break_pool(const std::string& reason);
    void end_workers();
    // Reaps workers until all are gone, or the time is up.
    bool reap_all(std::optional<std::chrono::milliseconds> limit);
    void signal_all(int signal);
    void watch(int descriptor, std::uint64_t key, std::uint32_t events) const;
    void rearm(const PoolWorker& worker, std::uint32_t events) const;

    const PoolOptions options_;
    const pid_t owner_;
    Descriptor epoll_;
    Descriptor wake_;
    std::unique_ptr<Launcher> launcher_;
    bool is_broken_here_ = false;  // the manager's view of broken_
    unsigned lost_ = 0;            // workers whose socket ended

    std::mutex mutex_;
    std::condition_variable started_;  // a worker got its pid, or the pool broke
    std::vector<PoolWorkerPtr> workers_;
    std::deque<PooledCallPtr> pending_;
    std::deque<PooledCallPtr> queue_;
    std::uint64_t next_number_ = 0;
    std::uint64_t ended_calls_ = 0;
    std::uint64_t next_ticket_ = 1;
    std::atomic<unsigned> wanted_ = 0;  // workers to be launched
    unsigned encoding_ = 0;             // calls that are being written for the queue
    std::atomic<bool> shutting_down_ = false;
    std::atomic<bool> backlog_ = false;  // whether calls wait in pending_ or queue_
    int kill_signal_ = 0;
    std::string broken_;  // why; empty while it is not

    std::mutex join_mutex_;
    std::thread manager_;
};

}  // namespace concurrent::futures::detail
