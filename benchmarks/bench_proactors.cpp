// The proactors beneath the event loop, compared: what an operation, a wake-up from another
// thread and a timeout cost on each. docs/decisions/0003-proactors.md quotes the figures.
#include "../src/asyncio/proactors/proactor.hpp"

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace asyncio::detail;
using Kind = Operation::Kind;
using Make = std::function<std::unique_ptr<Proactor>()>;

struct Sockets {
    int fds[2] = {-1, -1};
    Sockets() {
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
            std::abort();
        }
    }
    Sockets(const Sockets&) = delete;
    Sockets& operator=(const Sockets&) = delete;
    ~Sockets() {
        ::close(fds[0]);
        ::close(fds[1]);
    }
};

void put(int fd) {
    char byte = 0;
    if (::write(fd, &byte, 1) != 1) std::abort();
}
void take(int fd) {
    char byte = 0;
    if (::read(fd, &byte, 1) != 1) std::abort();
}
void ignore(Operation&, int, bool) {}

void drain(Proactor& proactor) {
    while (proactor.in_flight() > 0) proactor.wait(std::nullopt);
}

void nop(benchmark::State& state, const Make& make) {
    const auto proactor = make();
    std::vector<Operation> operations(static_cast<std::size_t>(state.range(0)));
    for (Operation& operation : operations) operation.complete = ignore;
    for (auto _ : state) {
        for (Operation& operation : operations) proactor->submit(operation);
        drain(*proactor);
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}

// A loop that only finds nothing new, with one descriptor watched.
void look(benchmark::State& state, const Make& make) {
    const auto proactor = make();
    const Sockets sockets;
    Operation poll{.kind = Kind::poll, .fd = sockets.fds[0], .events = POLLIN, .complete = ignore};
    proactor->submit(poll);
    for (auto _ : state) {
        if (proactor->may_have_completions()) proactor->wait(Nanoseconds(0));
    }
    proactor->close();
}

// `range` sockets become readable one after the other; each is polled anew, as add_reader
// with one-shot polls does.
void poll_once(benchmark::State& state, const Make& make) {
    const auto proactor = make();
    std::vector<Sockets> sockets(static_cast<std::size_t>(state.range(0)));
    std::vector<Operation> polls;
    for (const Sockets& pair : sockets) {
        polls.push_back(
            {.kind = Kind::poll, .fd = pair.fds[0], .events = POLLIN, .complete = ignore});
    }
    for (Operation& poll : polls) proactor->submit(poll);
    std::size_t next = 0;
    for (auto _ : state) {
        put(sockets[next].fds[1]);
        while (polls[next].state != Operation::State::idle) proactor->wait(std::nullopt);
        take(sockets[next].fds[0]);
        proactor->submit(polls[next]);
        next = (next + 1) % polls.size();
    }
    proactor->close();
}

// The same with one multishot poll for each.
void poll_multishot(benchmark::State& state, const Make& make) {
    const auto proactor = make();
    std::vector<Sockets> sockets(static_cast<std::size_t>(state.range(0)));
    std::vector<Operation> polls;
    std::size_t seen = 0;
    for (const Sockets& pair : sockets) {
        polls.push_back({.kind = Kind::poll,
                         .multishot = true,
                         .fd = pair.fds[0],
                         .events = POLLIN,
                         .owner = &seen,
                         .complete = [](Operation& self, int, bool more) {
                             if (!more) return;
                             ++*static_cast<std::size_t*>(self.owner);
                             take(self.fd);
                         }});
    }
    for (Operation& poll : polls) proactor->submit(poll);
    std::size_t next = 0;
    std::size_t expected = 0;
    for (auto _ : state) {
        put(sockets[next].fds[1]);
        ++expected;
        const std::size_t* const count = &seen;
        while (*count < expected) proactor->wait(std::nullopt);
        next = (next + 1) % polls.size();
    }
    proactor->close();
}

struct Connection {
    Sockets sockets;
    std::array<char, 64> buffer{};
    Operation operation;
    Proactor* proactor = nullptr;

    // Receives, sends back what came, and so on.
    void start(Proactor& where, bool owned) {
        proactor = &where;
        operation = {.kind = Kind::recv,
                     .owned = owned,
                     .fd = sockets.fds[0],
                     .buffer = buffer.data(),
                     .size = buffer.size(),
                     .owner = this,
                     .complete = [](Operation& self, int result, bool) {
                         if (result <= 0) return;
                         auto& connection = *static_cast<Connection*>(self.owner);
                         const bool received = self.kind == Kind::recv;
                         self.kind = received ? Kind::send : Kind::recv;
                         self.size =
                             received ? static_cast<std::size_t>(result) : connection.buffer.size();
                         connection.proactor->submit(self);
                     }};
        proactor->submit(operation);
    }
};

// This thread sends a byte to each of `range` sockets and awaits them all, in turn with a
// thread that runs the proactor and sends them back.
void echo_on(benchmark::State& state, const Make& make, bool owned) {
    std::vector<Connection> connections(static_cast<std::size_t>(state.range(0)));
    for (Connection& connection : connections) ::fcntl(connection.sockets.fds[1], F_SETFL, 0);
    std::atomic<Proactor*> shared = nullptr;
    std::atomic<bool> stop = false;
    std::thread server([&] {
        const auto proactor = make();
        for (Connection& connection : connections) connection.start(*proactor, owned);
        shared = proactor.get();
        shared.notify_one();
        while (!stop) proactor->wait(std::nullopt);
        proactor->close();
    });
    shared.wait(nullptr);
    for (auto _ : state) {
        for (Connection& connection : connections) put(connection.sockets.fds[1]);
        for (Connection& connection : connections) take(connection.sockets.fds[1]);
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
    stop = true;
    shared.load()->wake();
    server.join();
}

void echo(benchmark::State& state, const Make& make) {
    echo_on(state, make, false);
}
void echo_owned(benchmark::State& state, const Make& make) {
    echo_on(state, make, true);
}

// Round trip: this thread wakes one that sleeps in wait(), which answers.
void wake(benchmark::State& state, const Make& make) {
    std::atomic<Proactor*> shared = nullptr;
    std::atomic<int> question = 0;
    std::atomic<int> answer = 0;
    std::thread sleeper([&] {
        const auto proactor = make();
        Sockets sockets;  // something in flight, as there always is
        Operation poll{
            .kind = Kind::poll, .fd = sockets.fds[0], .events = POLLIN, .complete = ignore};
        proactor->submit(poll);
        proactor->wait(Nanoseconds(0));
        shared = proactor.get();
        shared.notify_one();
        for (int seen = 0; seen >= 0;) {
            proactor->wait(std::nullopt);
            if (const int now = question; now != seen) {
                answer = seen = now;
                answer.notify_one();
            }
        }
        proactor->close();
    });
    shared.wait(nullptr);
    Proactor& proactor = *shared.load();
    int asked = 0;
    const auto pause = std::chrono::microseconds(state.range(0));
    for (auto _ : state) {
        // Time to fall asleep, which is not measured.
        const auto until = Clock::now() + pause;
        while (Clock::now() < until) {
        }
        const auto start = Clock::now();
        question = ++asked;
        proactor.wake();
        answer.wait(asked - 1);
        state.SetIterationTime(std::chrono::duration<double>(Clock::now() - start).count());
    }
    question = -1;
    proactor.wake();
    sleeper.join();
}

void timeout(benchmark::State& state, const Make& make) {
    const auto proactor = make();
    for (auto _ : state) proactor->wait(std::chrono::microseconds(state.range(0)));
}

void open_and_close(benchmark::State& state, const Make& make) {
    for (auto _ : state) {
        const auto proactor = make();
        proactor->wait(Nanoseconds(1));
    }
}

void add(const std::string& name, const Make& make) {
    using benchmark::RegisterBenchmark;
    const auto with = [&](const char* what, auto function) {
        return RegisterBenchmark((std::string(what) + '/' + name).c_str(),
                                 [=](benchmark::State& state) { function(state, make); });
    };
    with("nop", nop)->Arg(1)->Arg(32);
    with("look", look);
    with("poll_once", poll_once)->Arg(1)->Arg(500);
    with("poll_multishot", poll_multishot)->Arg(1)->Arg(500);
    with("echo", echo)->Arg(1)->Arg(64)->Arg(500)->UseRealTime();
    with("echo_owned", echo_owned)->Arg(1)->Arg(64)->Arg(500)->UseRealTime();
    with("wake", wake)->Arg(5)->Arg(50)->UseManualTime()->MinTime(0.2);
    with("timeout", timeout)->Arg(200)->UseRealTime();
    with("open_and_close", open_and_close);
}

const bool registered = [] {
    add("epoll", make_epoll_proactor);
    if (probe_io_uring().usable) {
        const auto ring = [](IoUringMode mode) {
            return [=] { return make_io_uring_proactor(mode); };
        };
        add("io_uring", ring(IoUringMode::deferred));
        add("io_uring_cooperative", ring(IoUringMode::cooperative));
    }
    return true;
}();

}  // namespace
