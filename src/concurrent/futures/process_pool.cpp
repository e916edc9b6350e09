#include "process_pool.hpp"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include <asyncio/exceptions.hpp>
#include <concurrent/futures/process.hpp>

namespace concurrent::futures::detail {
namespace {

// Pools with a manager, to be waited for when the program ends.
class Registry {
  public:
    void add(std::weak_ptr<ProcessPool> pool) {
        const std::lock_guard lock(mutex_);
        if (pools_.empty() && !registered_) {
            registered_ = true;
            std::atexit([] { instance().wait_for_all(); });
        }
        std::erase_if(pools_, [](const auto& known) { return known.expired(); });
        pools_.push_back(std::move(pool));
    }
    [[nodiscard]] bool exiting() {
        const std::lock_guard lock(mutex_);
        return exiting_;
    }

    static Registry& instance() {
        static Registry& all = *new Registry;  // still there when atexit calls
        return all;
    }

  private:
    void wait_for_all() {
        std::vector<std::weak_ptr<ProcessPool>> pools;
        {
            const std::lock_guard lock(mutex_);
            exiting_ = true;
            pools = pools_;
        }
        for (const auto& known : pools) {
            if (const auto pool = known.lock()) pool->shutdown(true, false);
        }
    }

    std::mutex mutex_;
    bool registered_ = false;
    bool exiting_ = false;
    std::vector<std::weak_ptr<ProcessPool>> pools_;
};

}  // namespace

thread_local const ProcessPool* managed_here = nullptr;

ProcessPool::ProcessPool(PoolOptions options) : options_(std::move(options)), owner_(getpid()) {
    if (options_.start_method != multiprocessing::StartMethod::fork && !can_take_over()) {
        throw asyncio::RuntimeError(
            "this program cannot start worker processes, as nothing lets them take over before "
            "main(). Link it with asyncio_cpp::asyncio by CMake (or -Wl,--wrap=main and "
            "libasyncio_process_entry.a), or call multiprocessing::freeze_support() first in "
            "main()");
    }
    epoll_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
    wake_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!epoll_ || !wake_) asyncio::throw_os_error(errno, "creating a process pool");
}

ProcessPool::~ProcessPool() {
    // Only if the last owner was the manager itself, or we are in a copy of the
    // process that made the pool: there is no thread to wait for.
    if (manager_.joinable()) manager_.detach();
}

// --- Submitting -------------------------------------------------------------------------------

void ProcessPool::check_open() const {
    if (!broken_.empty()) {
        throw BrokenProcessPool(
            "A child process terminated abruptly, the process pool is not usable anymore: " +
            broken_ + ". Make a new pool to go on");
    }
    if (shutting_down_) throw asyncio::RuntimeError("cannot schedule new futures after shutdown");
    if (Registry::instance().exiting()) {
        throw asyncio::RuntimeError("cannot schedule new futures after interpreter shutdown");
    }
    if (is_unclaimed_child()) {
        throw asyncio::RuntimeError(
            "an attempt was made to start a worker process from a worker that has not begun yet: "
            "do not submit calls before main(), and call multiprocessing::freeze_support() first "
            "in main() if the program is not linked by CMake");
    }
}

void ProcessPool::start_manager() {
    if (manager_.joinable()) return;
    if (options_.start_method == multiprocessing::StartMethod::fork) {
        wanted_ = options_.max_workers;
    }
    Registry::instance().add(weak_from_this());
    // Signals are for the threads of the program.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        manager_ = std::thread([self = shared_from_this()] { self->manage(); });
    } catch (...) {
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void ProcessPool::submit(std::unique_ptr<RemoteWork> work, const CallWriter& writer) {
    auto call = std::make_unique<PooledCall>();
    call->work = std::move(work);

    Lock lock(mutex_);
    check_open();
    start_manager();
    call->number = next_number_++;
    if (queue_.empty() && pending_.empty()) {
        if (const PoolWorkerPtr worker = idle_worker()) {
            call->work->start();  // nobody has its future yet to cancel it
            const unsigned slot = reserve(*worker, std::move(call));
            lock.unlock();
            return submit_to(worker, slot, writer);
        }
    }
    ++encoding_;  // the pool does not end before it has this call
    lock.unlock();
    submit_to_queue(std::move(call), writer);
}

void ProcessPool::submit_to(const PoolWorkerPtr& worker, unsigned slot, const CallWriter& writer) {
    MessageWriter& message = worker->slots[slot].message;
    std::exception_ptr error;
    std::span<const std::byte> unsent;
    try {
        message.clear();
        writer.write(message);
        unsent = transmit(*worker, slot);
    } catch (...) {
        error = std::current_exception();
    }

    if (!error && unsent.empty()) {
        worker->sending = false;
        // Who came meanwhile could not use this worker. Either they see it free now,
        // or we see what they left.
        if (!backlog_) return;
    }

    Lock lock(mutex_);
    PooledCallPtr failed;
    if (error) {
        failed = release(*worker, slot);
        --worker->total;
    }
    if (error || !unsent.empty()) end_sending(*worker, unsent);
    Deliveries next = assign();
    if (error && shutting_down_) wake_manager();
    lock.unlock();

    deliver(std::move(next));
    if (failed) failed->work->fail(error);
}

void ProcessPool::submit_to_queue(PooledCallPtr call, const CallWriter& writer) {
    std::exception_ptr error;
    try {
        call->message = std::make_unique<MessageWriter>();
        writer.write(*call->message);
    } catch (...) {
        error = std::current_exception();
    }

    Lock lock(mutex_);
    --encoding_;
    if (!error && !broken_.empty()) {
        error = std::make_exception_ptr(BrokenProcessPool(broken_));
    }
    if (error) {
        if (shutting_down_) wake_manager();
        lock.unlock();
        if (call->work->start()) call->work->fail(error);
        return;
    }
    const bool nobody_idle = !idle_worker();
    pending_.push_back(std::move(call));
    backlog_ = true;
    Deliveries deliveries = assign();
    if (nobody_idle) want_worker();
    lock.unlock();
    deliver(std::move(deliveries));
}

// --- Distribution -------------------------------------------------------------------------------

bool ProcessPool::can_take(const PoolWorker& worker) const {
    if (worker.sending || worker.retiring || worker.lost) return false;
    if (worker.handed == call_slots) return false;
    if (worker.handed != 0 && worker.stale) return false;
    return !options_.max_tasks_per_child || worker.total < *options_.max_tasks_per_child;
}

PoolWorkerPtr ProcessPool::idle_worker() const {
    for (const PoolWorkerPtr& worker : workers_) {
        if (worker->handed == 0 && can_take(*worker)) return worker;
    }
    return nullptr;
}

// The caller owns the worker's writing side from here to end_sending().
unsigned ProcessPool::reserve(PoolWorker& worker, PooledCallPtr call) {
    unsigned index = 0;
    while (worker.slots[index].call) ++index;
    PoolWorker::Slot& slot = worker.slots[index];
    slot.call = std::move(call);
    slot.sequence = worker.next_sequence++;
    slot.handed_at = ended_calls_;
    ++worker.handed;
    ++worker.total;
    worker.sending = true;
    return index;
}

PooledCallPtr ProcessPool::release(PoolWorker& worker, unsigned index) {
    PooledCallPtr call = std::move(worker.slots[index].call);
    if (call) --worker.handed;
    return call;
}

void ProcessPool::end_sending(PoolWorker& worker, std::span<const std::byte> unsent) {
    worker.unsent = unsent;
    worker.sending = !unsent.empty();
    // The manager sends the rest once the socket takes it.
    if (worker.sending) rearm(worker, EPOLLIN | EPOLLOUT);
}

void ProcessPool::want_worker() {
    const auto alive = std::count_if(workers_.begin(), workers_.end(),
                                     [](const auto& worker) { return !worker->retiring; });
    if (static_cast<std::size_t>(alive) + wanted_ >= options_.max_workers) return;
    ++wanted_;
    wake_manager();
}

// Calls that are running, as Python counts: those that run, and up to workers + 1 more.
void ProcessPool::refill_queue() {
    std::size_t waiting = queue_.size();
    for (const PoolWorkerPtr& worker : workers_) {
        if (worker->handed > 1) waiting += worker->handed - 1;
    }
    while (!pending_.empty() && waiting < options_.max_workers + extra_queued_calls) {
        PooledCallPtr call = std::move(pending_.front());
        pending_.pop_front();
        if (!call->work->start()) continue;  // cancelled
        queue_.push_back(std::move(call));
        ++waiting;
    }
}

ProcessPool::Deliveries ProcessPool::assign() {
    Deliveries deliveries = assign_backlog();
    backlog_ = !queue_.empty() || !pending_.empty();
    return deliveries;
}

ProcessPool::Deliveries ProcessPool::assign_backlog() {
    Deliveries deliveries;
    for (;;) {
        refill_queue();
        if (queue_.empty()) break;
        PoolWorkerPtr target = idle_worker();
        // An idle worker takes what is oldest, though it waits behind another's call.
        unsigned patience = 0;
        if (!target) {
            const auto free = std::find_if(workers_.begin(), workers_.end(),
                                           [&](const auto& worker) { return can_take(*worker); });
            if (free == workers_.end()) return deliveries;
            target = *free;
            // Among busy workers only what is stuck moves, or calls would wander about.
            patience = 2 * options_.max_workers;
        }
        if (auto delivery = take_back_for(target, queue_.front()->number, patience)) {
            deliveries.push_back(*std::move(delivery));
            continue;
        }
        // One that is older is just being handed over: whoever does that comes back here.
        if (patience == 0 && is_older_on_its_way(queue_.front()->number)) return deliveries;
        PooledCallPtr call = std::move(queue_.front());
        queue_.pop_front();
        auto message = std::move(call->message);
        const unsigned slot = reserve(*target, std::move(call));
        deliveries.push_back({target, slot, std::move(message)});
    }
    while (const PoolWorkerPtr idle = idle_worker()) {
        auto delivery = take_back_for(idle, UINT64_MAX, 0);
        if (!delivery) break;
        deliveries.push_back(*std::move(delivery));
    }
    return deliveries;
}

// Whether somebody is sending a call older than `number` to a busy worker.
bool ProcessPool::is_older_on_its_way(std::uint64_t number) const {
    return std::any_of(workers_.begin(), workers_.end(), [&](const PoolWorkerPtr& worker) {
        if (!worker->sending || !worker->unsent.empty() || worker->handed < 2) return false;
        return std::any_of(worker->slots.begin(), worker->slots.end(), [&](const auto& slot) {
            return slot.call && slot.call->number < number &&
                   slot.sequence + 1 == worker->next_sequence;
        });
    });
}

// The oldest call that another worker holds but has not begun, if it is older than
// `number` and `patience` calls have ended since it was handed over.
std::optional<ProcessPool::Delivery> ProcessPool::take_back_for(const PoolWorkerPtr& target,
                                                                std::uint64_t number,
                                                                unsigned patience) {
    PoolWorkerPtr holder;
    unsigned index = 0;
    for (const PoolWorkerPtr& worker : workers_) {
        // Its only call it is about to begin: two idle workers would hand it to and fro.
        if (worker == target || worker->handed < 2 || worker->sending) continue;
        if (!worker->shared.is_open()) continue;
        for (unsigned i = 0; i < call_slots; ++i) {
            const PoolWorker::Slot& slot = worker->slots[i];
            if (!slot.call || slot.call->number >= number) continue;
            if (ended_calls_ - slot.handed_at < patience) continue;
            if (!worker->shared.offer(i).stands(slot.sequence)) continue;
            holder = worker;
            index = i;
            number = slot.call->number;
        }
    }
    if (!holder || !holder->shared.offer(index).claim(holder->slots[index].sequence)) {
        return std::nullopt;
    }
    PooledCallPtr call = release(*holder, index);
    --holder->total;
    holder->stale = true;
    holder->sending = true;  // until the message has been read out of its slot
    const unsigned slot = reserve(*target, std::move(call));
    return Delivery{.worker = target, .slot = slot, .taken_from = holder, .taken_slot = index};
}

std::span<const std::byte> ProcessPool::transmit(PoolWorker& worker, unsigned index) {
    PoolWorker::Slot& slot = worker.slots[index];
    const Frame frame{.kind = FrameKind::call, .slot = index, .sequence = slot.sequence};
    if (worker.shared.is_open()) {
        Desk& desk = worker.shared.desk();
        desk.slots[index].call = slot.message.complete(frame);
        desk.slots[index].offer.make(slot.sequence);
        desk.ring();
        return {};
    }
    const auto bytes = slot.message.finish(frame);
    const std::ptrdiff_t sent = send_some(worker.socket.get(), bytes);
    if (sent >= 0) return bytes.subspan(static_cast<std::size_t>(sent));
    // Any other error means that the worker is gone, which its pidfd will say.
    return errno == EAGAIN ? bytes : std::span<const std::byte>();
}

void ProcessPool::deliver(Deliveries deliveries) {
    while (!deliveries.empty()) {
        struct Outcome {
            std::span<const std::byte> unsent;
            std::exception_ptr error;
        };
        std::vector<Outcome> outcomes(deliveries.size());
        for (std::size_t i = 0; i < deliveries.size(); ++i) {
            Delivery& delivery = deliveries[i];
            try {
                MessageWriter& message = delivery.worker->slots[delivery.slot].message;
                message.take(delivery.taken_from
                                 ? delivery.taken_from->slots[delivery.taken_slot].message
                                 : *delivery.message);
                outcomes[i].unsent = transmit(*delivery.worker, delivery.slot);
            } catch (...) {  // no memory for a large message
                outcomes[i].error = std::current_exception();
            }
        }

        std::vector<std::pair<PooledCallPtr, std::exception_ptr>> failed;
        Lock lock(mutex_);
        for (std::size_t i = 0; i < deliveries.size(); ++i) {
            Delivery& delivery = deliveries[i];
            if (outcomes[i].error) {
                --delivery.worker->total;
                auto call = release(*delivery.worker, delivery.slot);
                if (call) failed.emplace_back(std::move(call), outcomes[i].error);
            }
            end_sending(*delivery.worker, outcomes[i].unsent);
            if (delivery.taken_from) delivery.taken_from->sending = false;
        }
        deliveries = assign();
        if (shutting_down_ && !failed.empty()) wake_manager();
        lock.unlock();
        for (auto& [call, error] : failed) call->work->fail(error);
    }
}

// --- The end -----------------------------------------------------------------------------------

bool ProcessPool::is_drained() const {
    if (encoding_ != 0 || !queue_.empty() || !pending_.empty()) return false;
    return std::all_of(workers_.begin(), workers_.end(),
                       [](const auto& worker) { return worker->handed == 0 && !worker->sending; });
}

void ProcessPool::shutdown(bool wait, bool cancel_futures) {
    if (getpid() != owner_) return;  // a copy of the process that made the pool
    std::deque<PooledCallPtr> cancelled;
    {
        const Lock lock(mutex_);
        shutting_down_ = true;
        if (cancel_futures) cancelled.swap(pending_);
        wake_manager();
    }
    for (const PooledCallPtr& call : cancelled) {
        call->work->cancel();
        call->work->start();  // tells those who wait
    }
    cancelled.clear();
    if (!wait) return;

    if (managed_here == this) {
        throw asyncio::RuntimeError(
            "cannot wait for a process pool from a done callback of one of its futures, which "
            "runs on the pool's own thread; shut it down with {.wait = false}");
    }
    const std::lock_guard joining(join_mutex_);
    if (manager_.joinable()) manager_.join();
}

void ProcessPool::kill_workers(int signal) {
    shutdown(false, true);
    const Lock lock(mutex_);
    kill_signal_ = signal;  // also for those that are being started
    signal_all(signal);
}

void ProcessPool::signal_all(int signal) {
    for (const PoolWorkerPtr& worker : workers_) {
        if (worker->pidfd) syscall(SYS_pidfd_send_signal, worker->pidfd.get(), signal, nullptr, 0);
    }
}

std::vector<pid_t> ProcessPool::worker_pids() {
    Lock lock(mutex_);
    // The launcher names each within a moment, or the pool breaks.
    started_.wait(lock, [this] {
        return !broken_.empty() || std::all_of(workers_.begin(), workers_.end(),
                                               [](const auto& worker) { return worker->pid != 0; });
    });
    std::vector<pid_t> pids;
    for (const PoolWorkerPtr& worker : workers_) {
        if (worker->pid != 0 && !worker->retiring) pids.push_back(worker->pid);
    }
    return pids;
}

void ProcessPool::wake_manager() const noexcept {
    const std::uint64_t one = 1;
    static_cast<void>(::write(wake_.get(), &one, sizeof one));
}

}  // namespace concurrent::futures::detail
