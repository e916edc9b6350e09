// The pool's own thread: starts workers, takes their answers and buries them.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <asyncio/exceptions.hpp>
#include <asyncio/log.hpp>
#include <concurrent/futures/process.hpp>

#include "process_errors.hpp"
#include "process_pool.hpp"

namespace concurrent::futures::detail {
namespace {

using namespace std::chrono_literals;

// What epoll gives back: a worker's ticket and which of its descriptors, or one of
// these. Tickets start at 1.
constexpr std::uint64_t wake_key = 0;
constexpr std::uint64_t launcher_key = 1;
std::uint64_t socket_key(const PoolWorker& worker) {
    return worker.ticket * 4;
}
std::uint64_t pidfd_key(const PoolWorker& worker) {
    return worker.ticket * 4 + 1;
}
std::uint64_t answered_key(const PoolWorker& worker) {
    return worker.ticket * 4 + 2;
}

// How long a worker may live on after its socket ended before it counts as lost,
// and after SIGTERM before it gets SIGKILL.
constexpr auto grace = 500ms;

// A worker ends when it has done what it was handed.
void end_input(const PoolWorker& worker) {
    ::shutdown(worker.socket.get(), SHUT_WR);
    if (!worker.shared.is_open()) return;
    worker.shared.desk().closed.store(1);
    worker.shared.desk().ring();
}

std::string name_of(const PoolWorker& worker) {
    return worker.pid != 0 ? "worker " + std::to_string(worker.pid) : std::string("a worker");
}

}  // namespace

void ProcessPool::watch(int descriptor, std::uint64_t key, std::uint32_t events) const {
    epoll_event event{};
    event.events = events;
    event.data.u64 = key;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) {
        asyncio::throw_os_error(errno, "watching a worker process");
    }
}

void ProcessPool::rearm(const PoolWorker& worker, std::uint32_t events) const {
    epoll_event event{};
    event.events = events;
    event.data.u64 = socket_key(worker);
    // Fails for a socket that has ended, which is watched no more.
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, worker.socket.get(), &event);
}

PoolWorkerPtr ProcessPool::find(std::uint64_t ticket) const {
    for (const PoolWorkerPtr& worker : workers_) {
        if (worker->ticket == ticket) return worker;
    }
    return nullptr;
}

void ProcessPool::manage() {
    managed_here = this;
    pthread_setname_np(pthread_self(), "pool-manager");
    try {
        watch(wake_.get(), wake_key, EPOLLIN);
        launcher_ = make_launcher(options_.start_method, [this] { close_in_copy(); });
        if (const int descriptor = launcher_->poll_descriptor(); descriptor >= 0) {
            watch(descriptor, launcher_key, EPOLLIN);
        }
        run_until_over();
    } catch (const std::exception& error) {
        break_pool(error.what());
    }
    end_workers();
    launcher_.reset();
    managed_here = nullptr;
}

void ProcessPool::run_until_over() {
    for (;;) {
        if (wanted_) launch_wanted();
        if (is_broken_here_) return;
        if (shutting_down_) {
            const Lock lock(mutex_);
            if (is_drained()) return;
        }
        wait_for_events();
        check_lost();
    }
}

void ProcessPool::wait_for_events() {
    const int timeout = lost_ == 0 ? -1 : static_cast<int>(grace.count());
    epoll_event events[32];
    const int count = epoll_wait(epoll_.get(), events, std::size(events), timeout);
    // Answers before deaths: what was sent still counts.
    for (int i = 0; i < count; ++i) {
        if (events[i].data.u64 % 2 == 0) handle_event(events[i].data.u64, events[i].events);
    }
    for (int i = 0; i < count; ++i) {
        if (events[i].data.u64 % 2 == 1) handle_event(events[i].data.u64, events[i].events);
    }
}

void ProcessPool::handle_event(std::uint64_t key, std::uint32_t events) {
    if (key == wake_key) {
        std::uint64_t count;
        static_cast<void>(::read(wake_.get(), &count, sizeof count));
        return;
    }
    if (key == launcher_key) {
        take_news();
        if (std::string failure = launcher_->failure(); !failure.empty()) break_pool(failure);
        return;
    }
    const PoolWorkerPtr worker = find(key / 4);
    if (!worker) return;
    if (key == pidfd_key(*worker)) return bury(worker);
    if (key == answered_key(*worker)) return take_answers(worker);

    if ((events & EPOLLOUT) != 0) send_rest(*worker);
    if ((events & ~std::uint32_t{EPOLLOUT}) != 0 && !read_answers(worker)) {
        epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, worker->socket.get(), nullptr);
        const Lock lock(mutex_);
        worker->lost = std::chrono::steady_clock::now();
        ++lost_;
    }
}

// --- Starting ---------------------------------------------------------------------------------

void ProcessPool::launch_wanted() {
    while (wanted_ != 0 && !is_broken_here_) {
        if (shutting_down_) {
            const Lock lock(mutex_);
            if (is_drained()) wanted_ = 0;  // nothing is left that a worker could do
        }
        if (wanted_ == 0) return;
        launch_one();
        take_news();
    }
}

void ProcessPool::launch_one() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return break_pool("no socket for a worker: " + std::string(strerror(errno)));
    }
    Descriptor our_end(ends[0]), workers_end(ends[1]);
    fcntl(our_end.get(), F_SETFL, O_NONBLOCK);

    const auto worker = std::make_shared<PoolWorker>(next_ticket_++, std::move(our_end));
    const Descriptor file = SharedFile::create();
    if (file) worker->answered = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (worker->answered) {
        worker->shared.open(file.get());
        watch(worker->answered.get(), answered_key(*worker), EPOLLIN | EPOLLET);
    }
    const int descriptors[] = {file.get(), worker->answered.get()};
    const Frame hello{.kind = FrameKind::hello, .size = options_.initializer.size()};
    send_with(worker->socket.get(), bytes_of(hello),
              std::span(descriptors, worker->answered ? 2 : 0));

    // The first calls wait for the worker; it finds them when it is there.
    std::span<const std::byte> rest = std::as_bytes(std::span(options_.initializer));
    if (!rest.empty()) {
        const std::ptrdiff_t sent = send_some(worker->socket.get(), rest);
        if (sent > 0) rest = rest.subspan(static_cast<std::size_t>(sent));
    }
    watch(worker->socket.get(), socket_key(*worker), EPOLLIN);
    launcher_->launch(worker->ticket, std::move(workers_end));

    Deliveries deliveries;
    {
        const Lock lock(mutex_);
        workers_.push_back(worker);
        --wanted_;  // only now, so that it counts all the time
        end_sending(*worker, rest);
        deliveries = assign();
    }
    deliver(std::move(deliveries));
}

void ProcessPool::take_news() {
    while (auto started = launcher_->news()) {
        if (started->error != 0) {
            break_pool("a worker could not be started: " + std::string(strerror(started->error)));
            const Lock lock(mutex_);
            std::erase(workers_, find(started->ticket));
            continue;
        }
        const Lock lock(mutex_);
        const PoolWorkerPtr worker = find(started->ticket);
        if (!worker) continue;
        worker->pid = started->pid;
        worker->pidfd = std::move(started->pidfd);
        watch(worker->pidfd.get(), pidfd_key(*worker), EPOLLIN);
        started_.notify_all();
        if (kill_signal_ != 0) signal_all(kill_signal_);
    }
}

// --- Talking ----------------------------------------------------------------------------------

void ProcessPool::send_rest(PoolWorker& worker) {
    // `sending` is set as long as there is a rest: it is ours to send.
    std::span<const std::byte> rest;
    {
        const Lock lock(mutex_);
        rest = worker.unsent;
    }
    const std::ptrdiff_t sent = send_some(worker.socket.get(), rest);
    if (sent < 0 && errno == EAGAIN) return;
    rest = sent < 0 ? std::span<const std::byte>() : rest.subspan(static_cast<std::size_t>(sent));

    Deliveries deliveries;
    {
        const Lock lock(mutex_);
        end_sending(worker, rest);
        if (rest.empty()) {
            rearm(worker, EPOLLIN);
            deliveries = assign();
        }
    }
    deliver(std::move(deliveries));
}

void ProcessPool::take_answers(const PoolWorkerPtr& worker) {
    if (!worker->shared.is_open()) return;
    const Desk& desk = worker->shared.desk();
    for (;;) {
        unsigned oldest = call_slots;
        std::uint64_t sequence = UINT64_MAX;
        for (unsigned i = 0; i < call_slots; ++i) {
            const std::uint64_t answered = desk.slots[i].answered.load(std::memory_order_acquire);
            if (answered == worker->last_answered[i] || answered >= sequence) continue;
            oldest = i;
            sequence = answered;
        }
        if (oldest == call_slots) return;
        worker->last_answered[oldest] = sequence;
        Frame frame = desk.slots[oldest].answer;
        frame.slot = oldest;
        const auto size = static_cast<std::size_t>(frame.size);
        finish_call(worker, frame, {worker->shared.results(oldest).reserve(size), size});
    }
}

bool ProcessPool::read_answers(const PoolWorkerPtr& worker) {
    const MessageReader::Status status = worker->answers.fill(worker->socket.get());
    std::span<const std::byte> payload;
    while (const Frame* frame = worker->answers.next(payload)) finish_call(worker, *frame, payload);
    return status != MessageReader::Status::closed;
}

void ProcessPool::finish_call(const PoolWorkerPtr& worker, const Frame& frame,
                              std::span<const std::byte> payload) {
    Reader reader(payload.data(), payload.size());
    if (frame.kind == FrameKind::broken) {
        const std::string error = read_description(reader);
        asyncio::log(asyncio::LogLevel::critical, "Exception in initializer: " + error);
        return break_pool("the initializer of " + name_of(*worker) + " failed: " + error);
    }

    PooledCall* call = nullptr;
    {
        const Lock lock(mutex_);
        PoolWorker::Slot& slot = worker->slots[frame.slot];
        if (slot.sequence == frame.sequence) call = slot.call.get();
    }
    if (call == nullptr) return;  // the pool broke meanwhile

    std::exception_ptr error;
    try {
        if (frame.kind == FrameKind::error) {
            error = read_exception(reader);
        } else {
            call->work->decode(reader);
        }
    } catch (...) {
        return break_pool("the result of a call could not be read: " +
                          asyncio::describe_exception(std::current_exception()));
    }
    if (worker->shared.is_open()) worker->shared.results(frame.slot).trim(payload.size());

    // The worker counts as idle before anybody hears of the result, so that
    // whoever then submits finds it.
    PooledCallPtr done;
    Deliveries deliveries;
    {
        const Lock lock(mutex_);
        PoolWorker::Slot& slot = worker->slots[frame.slot];
        if (!worker->sending && worker->shared.is_open()) {
            worker->shared.calls(frame.slot).trim(slot.message.size());
        }
        done = release(*worker, frame.slot);
        worker->stale = false;
        ++ended_calls_;
        if (worker->handed == 0 && worker->total == options_.max_tasks_per_child) {
            worker->retiring = true;
            end_input(*worker);
            if (!queue_.empty() || !pending_.empty()) want_worker();
        }
        deliveries = assign();
    }
    deliver(std::move(deliveries));
    if (error) {
        done->work->fail(std::move(error));
    } else {
        done->work->publish();
    }
}

// In a forked worker, which needs nothing of ours. Only this thread came along, and
// it alone changes the list of workers: no lock, another thread may hold it forever.
void ProcessPool::close_in_copy() const noexcept {
    ::close(epoll_.get());
    ::close(wake_.get());
    for (const PoolWorkerPtr& worker : workers_) {
        ::close(worker->socket.get());
        ::close(worker->answered.get());
        ::close(worker->pidfd.get());
    }
}

// --- Dying ------------------------------------------------------------------------------------

void ProcessPool::bury(const PoolWorkerPtr& worker) {
    take_answers(worker);
    while (worker->answers.fill(worker->socket.get()) == MessageReader::Status::more) {
    }
    std::span<const std::byte> payload;
    while (const Frame* frame = worker->answers.next(payload)) finish_call(worker, *frame, payload);

    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, worker->pidfd.get(), nullptr);
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, worker->socket.get(), nullptr);
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, worker->answered.get(), nullptr);
    const ExitStatus status = launcher_->reap(worker->ticket, worker->pidfd.get());
    bool expected;
    {
        const Lock lock(mutex_);
        expected = worker->retiring && worker->handed == 0;
    }
    if (!expected) break_pool(name_of(*worker) + " " + status.describe());
    {
        const Lock lock(mutex_);
        std::erase(workers_, worker);
    }
    take_news();  // which may have come while we waited for the end of this one
}

void ProcessPool::check_lost() {
    if (lost_ == 0) return;
    lost_ = 0;
    for (const PoolWorkerPtr& worker : workers_) {
        if (!worker->lost || worker->retiring) continue;
        ++lost_;
        if (std::chrono::steady_clock::now() - *worker->lost < grace) continue;
        return break_pool(name_of(*worker) + " closed its connection to the pool");
    }
}

void ProcessPool::break_pool(const std::string& reason) {
    std::vector<PooledCallPtr> calls;
    {
        const Lock lock(mutex_);
        if (is_broken_here_) return;
        is_broken_here_ = true;
        broken_ = reason;
        shutting_down_ = true;
        for (const PoolWorkerPtr& worker : workers_) {
            for (unsigned i = 0; i < call_slots; ++i) {
                if (auto call = release(*worker, i)) calls.push_back(std::move(call));
            }
        }
        for (auto* list : {&queue_, &pending_}) {
            std::move(list->begin(), list->end(), std::back_inserter(calls));
            list->clear();
        }
        backlog_ = false;
        started_.notify_all();
    }
    std::sort(calls.begin(), calls.end(),
              [](const auto& a, const auto& b) { return a->number < b->number; });
    for (const PooledCallPtr& call : calls) {
        call->work->fail(std::make_exception_ptr(BrokenProcessPool(
            "A process in the process pool was terminated abruptly while the future was running "
            "or pending: " +
            reason)));
    }
}

void ProcessPool::end_workers() {
    bool broken;
    {
        const Lock lock(mutex_);
        broken = !broken_.empty();
        for (const PoolWorkerPtr& worker : workers_) end_input(*worker);
        if (broken) signal_all(SIGTERM);
    }
    if (!launcher_) return;
    if (!reap_all(broken ? std::optional<std::chrono::milliseconds>(grace) : std::nullopt)) {
        {
            const Lock lock(mutex_);
            signal_all(SIGKILL);
        }
        reap_all(std::nullopt);
    }
}

bool ProcessPool::reap_all(std::optional<std::chrono::milliseconds> limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit.value_or(0ms);
    for (;;) {
        take_news();
        std::vector<pollfd> waiting;
        {
            const Lock lock(mutex_);
            // Where the fork server is gone, so are the workers that it did not report.
            const bool no_more_news = !launcher_->failure().empty();
            std::erase_if(workers_, [&](const PoolWorkerPtr& worker) {
                return !worker->pidfd && no_more_news;
            });
            if (workers_.empty()) return true;
            for (const PoolWorkerPtr& worker : workers_) {
                waiting.push_back({worker->pidfd.get(), POLLIN, 0});
            }
        }
        waiting.push_back({launcher_->poll_descriptor(), POLLIN, 0});

        int timeout = -1;
        if (limit) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(
                deadline - std::chrono::steady_clock::now());
            if (left <= 0ms) return false;
            timeout = static_cast<int>(left.count());
        }
        if (poll(waiting.data(), waiting.size(), timeout) <= 0) continue;

        std::vector<PoolWorkerPtr> ended;
        {
            const Lock lock(mutex_);
            std::erase_if(workers_, [&](const PoolWorkerPtr& worker) {
                const bool dead =
                    std::any_of(waiting.begin(), waiting.end(), [&](const pollfd& one) {
                        return one.fd >= 0 && one.fd == worker->pidfd.get() && one.revents != 0;
                    });
                if (dead) ended.push_back(worker);
                return dead;
            });
        }
        for (const PoolWorkerPtr& worker : ended) {
            launcher_->reap(worker->ticket, worker->pidfd.get());
        }
    }
}

}  // namespace concurrent::futures::detail
