// What the tests of the proactors share: every case runs on each of them.
#pragma once

#include <asyncio/proactors/proactor.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace asyncio::detail::testing {

using namespace std::chrono_literals;
using Kind = Operation::Kind;

struct Backend {
    std::string_view name;
    bool io_uring;
    bool owned;  // whether operations say that their descriptor is
    std::function<std::unique_ptr<Proactor>()> make;
    friend std::ostream& operator<<(std::ostream& out, const Backend& self) {
        return out << self.name;
    }
};

// All, or those of the kind that ASYNCIO_PROACTOR names.
inline std::vector<Backend> backends() {
    const char* const variable = std::getenv("ASYNCIO_PROACTOR");
    const std::string_view only = variable != nullptr ? variable : "";
    std::vector<Backend> all;
    if (only != "io_uring") {
        all.push_back({"epoll", false, false, make_epoll_proactor});
        all.push_back({"epoll_owned", false, true, make_epoll_proactor});
    }
    if (only != "epoll") {
        const auto with = [](IoUringMode mode) {
            return [=] { return make_io_uring_proactor(mode); };
        };
        all.push_back({"io_uring", true, true, with(IoUringMode::deferred)});
        all.push_back({"io_uring_cooperative", true, false, with(IoUringMode::cooperative)});
        all.push_back({"io_uring_shared", true, false, with(IoUringMode::shared)});
    }
    return all;
}

struct Completion {
    int result;
    bool more;
    friend bool operator==(const Completion&, const Completion&) = default;
    friend std::ostream& operator<<(std::ostream& out, const Completion& self) {
        return out << '{' << self.result << (self.more ? ", more}" : "}");
    }
};

// An operation that writes down its completions. `then` runs inside each of them.
class Recorder {
  public:
    explicit Recorder(Operation what) : operation(what) {
        operation.owner = this;
        operation.complete = [](Operation& self, int result, bool more) {
            auto& recorder = *static_cast<Recorder*>(self.owner);
            recorder.seen.push_back({result, more});
            if (recorder.then) recorder.then();
        };
    }
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;
    ~Recorder() { EXPECT_EQ(operation.state, Operation::State::idle) << "destroyed in flight"; }

    [[nodiscard]] bool done() const {
        return !seen.empty() && !seen.back().more && operation.state == Operation::State::idle;
    }
    // The result of an operation that completes once.
    [[nodiscard]] int result() const {
        EXPECT_EQ(seen.size(), 1U);
        EXPECT_TRUE(done());
        return done() ? seen.back().result : INT32_MIN;
    }

    Operation operation;
    std::vector<Completion> seen;
    std::function<void()> then;
};

// Closes a descriptor, and tells the proactor first if that is what was agreed.
inline Proactor* told_of_closing = nullptr;
inline void close_descriptor(int fd) {
    if (told_of_closing != nullptr) told_of_closing->forget(fd);
    ::close(fd);
}

struct Pair {  // of a pipe: [0] reads, [1] writes; of sockets: alike
    int fds[2] = {-1, -1};
    Pair() = default;
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;
    ~Pair() {
        close(0);
        close(1);
    }
    int operator[](int which) const { return fds[which]; }
    void close(int which) {
        if (fds[which] >= 0) close_descriptor(std::exchange(fds[which], -1));
    }
};
struct Pipe : Pair {
    explicit Pipe(int flags = O_NONBLOCK) { EXPECT_EQ(::pipe2(fds, flags | O_CLOEXEC), 0); }
};
struct SocketPair : Pair {
    explicit SocketPair(int type = SOCK_STREAM) {
        EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    }
};

struct TemporaryFile {
    int fd = -1;
    TemporaryFile() {
        std::string path = std::filesystem::temp_directory_path() / "proactor_XXXXXX";
        fd = ::mkostemp(path.data(), O_CLOEXEC);
        EXPECT_GE(fd, 0);
        ::unlink(path.c_str());
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() { close_descriptor(fd); }
};

inline void put(int fd, std::string_view text) {
    ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

inline std::size_t open_descriptors() {
    namespace fs = std::filesystem;
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

// Operations without the fields a test does not care about.
inline Operation nop() {
    return {.kind = Kind::nop};
}
inline Operation poll(int fd, std::uint32_t events, bool multishot = false) {
    return {.kind = Kind::poll, .multishot = multishot, .fd = fd, .events = events};
}
template <class Buffer>
Operation transfer(Kind kind, int fd, Buffer& buffer, std::int64_t offset = -1) {
    return {.kind = kind,
            .fd = fd,
            .buffer = std::data(buffer),
            .size = std::size(buffer),
            .offset = offset};
}

class ProactorTest : public ::testing::TestWithParam<Backend> {
  protected:
    void SetUp() override {
        if (GetParam().io_uring && !probe_io_uring().usable) {
            GTEST_SKIP() << "no io_uring here: " << probe_io_uring().why_not;
        }
        std::signal(SIGPIPE, SIG_IGN);
        descriptors_ = open_descriptors();
        proactor = GetParam().make();
        told_of_closing = GetParam().owned ? proactor.get() : nullptr;
    }

    void TearDown() override {
        if (!proactor) return;
        EXPECT_EQ(proactor->in_flight(), 0U);
        told_of_closing = nullptr;
        proactor.reset();
        EXPECT_EQ(open_descriptors(), descriptors_) << "descriptors leaked";
    }

    void submit(Recorder& recorder) {
        recorder.operation.owned = GetParam().owned;
        proactor->submit(recorder.operation);
    }
    void cancel(Recorder& recorder) { proactor->cancel(recorder.operation); }
    void wait_now() { proactor->wait(0ns); }

    // Until the operation ended, for at most some seconds.
    void run(const Recorder& recorder) {
        run_until([&] { return recorder.done(); });
    }
    void run_until(const std::function<bool()>& condition) {
        const auto limit = Clock::now() + 20s;
        while (!condition() && Clock::now() < limit) proactor->wait(100ms);
        EXPECT_TRUE(condition()) << "nothing came in 20 s";
    }
    // Gives what could wrongly come the time to come.
    void settle() {
        for (int i = 0; i < 3; ++i) proactor->wait(1ms);
    }
    // Whether a wait with nothing to deliver lasts. A few may end early: closing an io_uring
    // leaves work for our thread that interrupts as a signal does.
    bool lasts(Nanoseconds timeout) {
        for (int i = 0; i < 50; ++i) {
            const auto start = Clock::now();
            proactor->wait(timeout);
            if (Clock::now() - start >= timeout) return true;
        }
        return false;
    }
    void end(Recorder& recorder) {
        cancel(recorder);
        run(recorder);
    }

    std::unique_ptr<Proactor> proactor;

  private:
    std::size_t descriptors_ = 0;
};

#define ASYNCIO_FOR_EACH_PROACTOR(suite)                                                           \
    INSTANTIATE_TEST_SUITE_P(, suite, ::testing::ValuesIn(backends()), [](const auto& parameter) { \
        return std::string(parameter.param.name);                                                  \
    })

}  // namespace asyncio::detail::testing
