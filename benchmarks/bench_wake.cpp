// Ways to wake a thread that sleeps in the kernel waiting for I/O, by the round trip: one
// thread wakes, the sleeper answers through a futex. How the proactors do it was chosen from
// these figures: docs/decisions/0003-proactors.md.
#include <benchmark/benchmark.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#if __has_include(<liburing.h>)
#include <liburing.h>
#endif

namespace {

class Way {
  public:
    virtual ~Way() = default;
    virtual void sleep() = 0;  // on the sleeper's thread, which makes the object too
    virtual void wake() = 0;
};

class WithEventfd : public Way {
  public:
    ~WithEventfd() override { ::close(event_); }
    void wake() override {
        const std::uint64_t one = 1;
        if (::write(event_, &one, sizeof one) < 0) std::abort();
    }

  protected:
    int event_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
};

// The floor: nothing but sleeping and waking.
class Futex final : public Way {
  public:
    void sleep() override {
        word_.wait(seen_);
        seen_ = word_;
    }
    void wake() override {
        ++word_;
        word_.notify_one();
    }

  private:
    std::atomic<int> word_ = 0;
    int seen_ = 0;
};

template <bool edge>
class Epoll final : public WithEventfd {
  public:
    Epoll() {
        epoll_event event{.events = EPOLLIN | (edge ? EPOLLET : 0U), .data = {}};
        if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &event) != 0) std::abort();
    }
    ~Epoll() override { ::close(epoll_); }
    void sleep() override {
        epoll_event event;
        if (::epoll_wait(epoll_, &event, 1, -1) == 1 && !edge) {
            std::uint64_t count = 0;
            if (::read(event_, &count, sizeof count) < 0) std::abort();
        }
    }

  private:
    int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
};

#if __has_include(<liburing.h>)

constexpr unsigned deferred = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
constexpr unsigned cooperative = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN;

template <unsigned flags>
class Ring : public WithEventfd {
  public:
    Ring() {
        if (io_uring_queue_init(16, &ring_, flags) != 0) std::abort();
    }
    ~Ring() override { io_uring_queue_exit(&ring_); }

  protected:
    // Whether a multishot request is still there.
    bool wait() {
        io_uring_submit_and_wait(&ring_, 1);
        bool more = true;
        io_uring_cqe* entry = nullptr;
        while (io_uring_peek_cqe(&ring_, &entry) == 0) {
            more = (entry->flags & IORING_CQE_F_MORE) != 0;
            io_uring_cqe_seen(&ring_, entry);
        }
        return more;
    }
    io_uring ring_{};
};

template <unsigned flags>
class RingReads final : public Ring<flags> {
  public:
    RingReads() { ask(); }
    void sleep() override {
        this->wait();
        ask();
    }

  private:
    void ask() {
        io_uring_prep_read(io_uring_get_sqe(&this->ring_), this->event_, &count_, sizeof count_, 0);
    }
    std::uint64_t count_ = 0;
};

template <unsigned flags>
class RingPolls final : public Ring<flags> {
  public:
    RingPolls() { ask(); }
    void sleep() override {
        if (!this->wait()) ask();
    }

  private:
    void ask() {
        io_uring_prep_poll_multishot(io_uring_get_sqe(&this->ring_), this->event_, POLLIN);
    }
};

template <unsigned flags>
class RingMessage final : public Ring<flags> {
  public:
    RingMessage() {
        if (io_uring_queue_init(4, &sender_, 0) != 0) std::abort();
    }
    ~RingMessage() override { io_uring_queue_exit(&sender_); }
    void sleep() override { this->wait(); }
    void wake() override {
        io_uring_sqe* const entry = io_uring_get_sqe(&sender_);
        io_uring_prep_msg_ring(entry, this->ring_.ring_fd, 0, 1, 0);
        entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
        io_uring_submit(&sender_);
    }

  private:
    io_uring sender_{};
};

// Sleeping in epoll over the ring and the eventfd, then entering the ring.
template <unsigned flags>
class RingInEpoll final : public Ring<flags> {
  public:
    RingInEpoll() {
        epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
        if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, this->event_, &event) != 0) std::abort();
        event.events = EPOLLIN;
        if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, this->ring_.ring_fd, &event) != 0) std::abort();
    }
    ~RingInEpoll() override { ::close(epoll_); }
    void sleep() override {
        epoll_event event;
        if (::epoll_wait(epoll_, &event, 1, -1) > 0) io_uring_submit_and_get_events(&this->ring_);
    }

  private:
    int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
};

#endif

template <class Mechanism>
void round_trip(benchmark::State& state) {
    std::atomic<Way*> shared = nullptr;
    std::atomic<int> question = 0;
    std::atomic<int> answer = 0;
    std::thread sleeper([&] {
        Mechanism way;
        shared = &way;
        shared.notify_one();
        for (int seen = 0; seen >= 0;) {
            way.sleep();
            if (const int now = question; now != seen) {
                answer = seen = now;
                answer.notify_one();
            }
        }
        shared = nullptr;
    });
    shared.wait(nullptr);
    Way& way = *shared.load();
    int asked = 0;
    const auto pause = std::chrono::microseconds(state.range(0));
    using Clock = std::chrono::steady_clock;
    for (auto _ : state) {
        const auto until = Clock::now() + pause;  // it falls asleep
        while (Clock::now() < until) {
        }
        const auto start = Clock::now();
        question = ++asked;
        way.wake();
        answer.wait(asked - 1);
        state.SetIterationTime(std::chrono::duration<double>(Clock::now() - start).count());
    }
    question = -1;
    way.wake();
    sleeper.join();
}

// The least of the repetitions is what to compare on a machine that does other things too.
double least(const std::vector<double>& times) {
    return *std::min_element(times.begin(), times.end());
}

#define WAY(...)                                \
    BENCHMARK_TEMPLATE(round_trip, __VA_ARGS__) \
        ->Arg(5)                                \
        ->Arg(50)                               \
        ->UseManualTime()                       \
        ->MinTime(0.03)                         \
        ->Repetitions(30)                       \
        ->ReportAggregatesOnly()                \
        ->ComputeStatistics("least", least)

WAY(Futex);
WAY(Epoll<false>);
WAY(Epoll<true>);
#if __has_include(<liburing.h>)
WAY(RingReads<deferred>);
WAY(RingReads<cooperative>);
WAY(RingPolls<deferred>);
WAY(RingPolls<cooperative>);
WAY(RingMessage<deferred>);
WAY(RingMessage<cooperative>);
WAY(RingInEpoll<deferred>);
#endif

}  // namespace
