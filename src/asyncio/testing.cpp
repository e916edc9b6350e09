#include <asyncio/testing.hpp>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include <asyncio/outcome.hpp>
#include <asyncio/waiting.hpp>

#include "loop_state.hpp"
#include "proactors/simulated.hpp"

namespace asyncio::testing {

DeadlockError::~DeadlockError() = default;

namespace {

std::optional<std::uint64_t> seed_by_environment() {
    const char* text = std::getenv("ASYNCIO_SEED");
    if (text == nullptr || *text == '\0') return std::nullopt;
    std::uint64_t seed = 0;
    const char* end = text + std::strlen(text);
    if (std::from_chars(text, end, seed).ptr != end) {
        throw ValueError(std::string("ASYNCIO_SEED must be a number, not '") + text + "'");
    }
    return seed;
}

std::string describe_waiting(EventLoop& loop) {
    std::string text;
    for (const AnyTask& task : all_tasks(loop)) {
        text += "\n  " + task.repr();
        for (const StackFrame& frame : task.get_stack()) {
            text += "\n      in " + frame.function + ", " + frame.file + ":" +
                    std::to_string(frame.line);
        }
        const auto* suspension = static_cast<detail::TaskBase&>(task.state()).waiting_on();
        if (suspension != nullptr && suspension->awaited() != nullptr) {
            text += "\n      waits for " + suspension->awaited()->repr();
        }
    }
    return text;
}

}  // namespace

// What is ready at one instant, in an order drawn from the seed.
struct SimLoop::Order {
    explicit Order(std::uint64_t seed) : random(seed) {}
    void operator()(detail::ReadyQueue& batch) {
        std::vector<detail::ReadyNode*> nodes;
        while (detail::ReadyNode* node = batch.pop()) nodes.push_back(node);
        std::shuffle(nodes.begin(), nodes.end(), random);
        for (detail::ReadyNode* node : nodes) batch.push(node);
    }
    std::mt19937_64 random;
};

SimLoop::SimLoop() : SimLoop(seed_by_environment().value_or(0)) {}

SimLoop::SimLoop(std::uint64_t seed) : seed_(seed) {
    auto proactor = std::make_unique<detail::SimulatedProactor>();
    proactor->on_deadlock = [this] {
        throw DeadlockError("deadlock: nothing is ready, no timer is armed, and these wait (" +
                            rerun_hint() + "):" + describe_waiting(*loop_));
    };
    loop_ = EventLoop::Internals::make_on(std::move(proactor));
    if (seed != 0) {
        order_ = std::make_unique<Order>(seed);
        EventLoop::Internals::state(*loop_).reorder = [this](detail::ReadyQueue& batch) {
            (*order_)(batch);
        };
    }
    start_ = loop_->time();
    loop_->set_exception_handler(
        [this](EventLoop&, const ExceptionContext& context) { reports_.push_back(context); });
}

SimLoop::~SimLoop() {
    try {
        for (const AnyTask& task : all_tasks(*loop_)) task.cancel();
        advance(std::chrono::nanoseconds(0));
    } catch (...) {
        // What does not end is destroyed by close().
    }
    reports_.clear();  // they hold futures of the loop
    loop_->set_exception_handler({});
    loop_.reset();
}

std::string SimLoop::rerun_hint() const {
    return "rerun with ASYNCIO_SEED=" + std::to_string(seed_);
}

std::chrono::nanoseconds SimLoop::elapsed() const {
    return loop_->time() - start_;
}

void SimLoop::step() {
    loop_->stop();
    loop_->run_forever();
}

void SimLoop::run_until_idle(std::size_t limit) {
    for (std::size_t i = 0; EventLoop::Internals::has_work_now(*loop_); ++i) {
        if (i == limit) {
            throw RuntimeError(
                "something reschedules itself without time passing: still ready "
                "after " +
                std::to_string(limit) + " iterations (" + rerun_hint() + ")");
        }
        step();
    }
}

void SimLoop::advance(std::chrono::nanoseconds duration) {
    const EventLoop::time_point end = loop_->time() + duration;
    run_until_idle();
    // Armed last, so it fires after every other timer of that instant.
    if (end > loop_->time()) {
        loop_->call_at(end, [this] { loop_->stop(); });
        loop_->run_forever();
    }
    run_until_idle();
}

bool SimLoop::advance_to_next_timer() {
    run_until_idle();
    const std::int64_t next = EventLoop::Internals::state(*loop_).timers.next_deadline();
    if (next == detail::TimerQueue::never) return false;
    const EventLoop::time_point when{std::chrono::nanoseconds(next)};
    advance(std::max(when - loop_->time(), EventLoop::clock::duration::zero()));
    return true;
}

void for_each_seed(std::size_t count, const std::function<void(SimLoop&)>& body,
                   const std::function<bool()>& failed) {
    const std::optional<std::uint64_t> only = seed_by_environment();
    const std::uint64_t first = only.value_or(0);
    const std::uint64_t last = only ? first + 1 : count;
    for (std::uint64_t seed = first; seed < last; ++seed) {
        SimLoop sim(seed);
        try {
            body(sim);
        } catch (...) {
            std::fprintf(stderr, "seed %llu failed; %s\n", static_cast<unsigned long long>(seed),
                         sim.rerun_hint().c_str());
            throw;
        }
        if (failed && failed()) {
            std::fprintf(stderr, "seed %llu failed; %s\n", static_cast<unsigned long long>(seed),
                         sim.rerun_hint().c_str());
            return;
        }
    }
}

namespace {

// Lets everything end, with time passing as needed.
void run_to_the_end(SimLoop& sim) {
    while (!all_tasks(sim.loop()).empty()) {
        sim.run_until_idle();
        if (all_tasks(sim.loop()).empty()) return;
        if (sim.advance_to_next_timer() || all_tasks(sim.loop()).empty()) continue;
        try {
            // Only a thread could still wake it.
            if (EventLoop::Internals::state(sim.loop()).default_executor) {
                EventLoop::Internals::run_one(sim.loop());
                continue;
            }
        } catch (const DeadlockError&) {
            // As below.
        }
        throw DeadlockError("after the cancellation somebody waits for ever:" +
                            describe_waiting(sim.loop()));
    }
}

// Runs `task` for `steps` iterations: time passes when nothing is ready. False if it ended before.
bool run_some(EventLoop& loop, const AnyTask& task, std::size_t steps) {
    for (std::size_t i = 0; i < steps; ++i) {
        if (task.done()) return false;
        EventLoop::Internals::run_one(loop);
    }
    return !task.done();
}

// Cancels `task` after `point` iterations, unless it has ended before: then false.
bool cancel_at(EventLoop& loop, const AnyTask& task, std::size_t point, CancelReport& report) {
    const bool cancels = run_some(loop, task, point);
    if (cancels) {
        task.cancel();
        ++report.points;
    }
    return cancels;
}

void count(const Task<void>& ended, CancelReport& report) {
    ++(ended.cancelled() ? report.cancelled : report.completed);
    if (ended.cancelled()) return;
    if (const std::exception_ptr error = ended.exception()) std::rethrow_exception(error);
}

bool run_point(std::size_t point, const std::function<Coroutine<void>()>& factory,
               const std::function<void()>& check, const std::function<void(SimLoop&)>& around,
               CancelReport& report) {
    SimLoop sim(0);
    if (around) around(sim);
    const Task<void> task = sim.create_task(factory());
    const bool more = cancel_at(sim.loop(), task, point, report);
    run_to_the_end(sim);
    count(task, report);
    sim.run_until_idle();
    if (!sim.reports().empty()) {
        const ExceptionContext& first = sim.reports().front();
        throw RuntimeError(first.message + ": " + describe_exception(first.exception));
    }
    if (check) check();
    return more;
}

bool run_point(EventLoop& loop, std::size_t point, const std::function<Coroutine<void>()>& factory,
               const std::function<void()>& check, CancelReport& report) {
    const Task<void> task = loop.create_task(factory());
    const bool more = cancel_at(loop, task, point, report);
    loop.run_until_complete(loop.create_task(
        [](Task<void> last) -> Coroutine<void> { static_cast<void>(co_await try_(last)); }, task));
    count(task, report);
    if (check) check();
    return more;
}

// Every point, from none on, until run(point, report) says that there are no more.
template <class Run>
CancelReport at_every_point(Run run) {
    CancelReport report;
    bool more = true;
    for (std::size_t point = 0; more; ++point) {
        try {
            more = run(point, report);
        } catch (...) {
            std::fprintf(stderr, "cancel_everywhere: failed when cancelled after %zu iterations\n",
                         point);
            throw;
        }
    }
    return report;
}

}  // namespace

CancelReport cancel_everywhere(const std::function<Coroutine<void>()>& factory,
                               const std::function<void()>& check,
                               const std::function<void(SimLoop&)>& around) {
    return at_every_point([&](std::size_t point, CancelReport& report) {
        return run_point(point, factory, check, around, report);
    });
}

CancelReport cancel_everywhere(EventLoop& loop, const std::function<Coroutine<void>()>& factory,
                               const std::function<void()>& check) {
    return at_every_point([&](std::size_t point, CancelReport& report) {
        return run_point(loop, point, factory, check, report);
    });
}

}  // namespace asyncio::testing
