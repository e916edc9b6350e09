// Which proactor one gets, and what is said when io_uring is refused.
#include <asyncio.hpp>

#include <gmock/gmock.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <iostream>
#include <optional>

#include "proactor_fixture.hpp"

namespace asyncio::detail::testing {

// ASYNCIO_PROACTOR as given, until the end of the scope.
class Variable {
  public:
    explicit Variable(const char* value) {
        if (const char* const before = std::getenv(name)) before_ = before;
        set(value);
    }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;
    ~Variable() { set(before_ ? before_->c_str() : nullptr); }

  private:
    static constexpr const char* name = "ASYNCIO_PROACTOR";
    static void set(const char* value) {
        value != nullptr ? ::setenv(name, value, 1) : ::unsetenv(name);
    }
    std::optional<std::string> before_;
};

TEST(ProactorChoice, TheVariableDecides) {
    const Variable variable("epoll");
    EXPECT_EQ(make_proactor(ProactorKind::automatic)->name(), "epoll");
    if (!probe_io_uring().usable) GTEST_SKIP() << probe_io_uring().why_not;
    const Variable other("io_uring");
    EXPECT_EQ(make_proactor(ProactorKind::automatic)->name(), "io_uring");
}

TEST(ProactorChoice, AnArgumentIsStrongerThanTheVariable) {
    const Variable variable("io_uring");
    EXPECT_EQ(make_proactor(ProactorKind::epoll)->name(), "epoll");
}

TEST(ProactorChoice, AnUnknownNameIsRefusedWithWhatIsKnown) {
    const Variable variable("kqueue");
    try {
        (void)make_proactor(ProactorKind::automatic);
        FAIL();
    } catch (const ValueError& error) {
        EXPECT_NE(std::string_view(error.what()).find("kqueue"), std::string_view::npos);
        EXPECT_NE(std::string_view(error.what()).find("epoll"), std::string_view::npos);
    }
}

TEST(ProactorChoice, WithoutTheVariableItFollowsTheProbe) {
    const IoUringProbe probe = probe_io_uring();
    for (const char* const value : {static_cast<const char*>(nullptr), ""}) {
        const Variable variable(value);
        EXPECT_EQ(make_proactor(ProactorKind::automatic)->name(),
                  probe.usable && probe.mode == IoUringMode::deferred ? "io_uring" : "epoll");
    }
}

// What new_event_loop() logs.
std::vector<std::string> lines_of_loop(const LoopOptions& options) {
    std::vector<std::string> lines;
    const LogLevel level = get_log_level();
    set_log_level(LogLevel::info);
    const LogSink sink =
        set_log_sink([&](LogLevel, std::string_view text) { lines.emplace_back(text); });
    new_event_loop(options).reset();
    set_log_sink(sink);
    set_log_level(level);
    return lines;
}

TEST(ProactorChoice, DebugModeTellsWhichAndWhy) {
    using ::testing::ElementsAre;
    using ::testing::StartsWith;
    {
        const Variable variable("epoll");
        EXPECT_THAT(lines_of_loop({.debug = true}),
                    ElementsAre("Using proactor epoll: ASYNCIO_PROACTOR asks for it"));
        EXPECT_THAT(lines_of_loop({.debug = false}), ElementsAre());
    }
    EXPECT_THAT(lines_of_loop({.proactor = asyncio::Proactor::epoll, .debug = true}),
                ElementsAre("Using proactor epoll: the program asks for it"));
    const Variable none(nullptr);
    EXPECT_THAT(lines_of_loop({.debug = true}), ElementsAre(StartsWith("Using proactor ")));
}

TEST(ProactorChoice, TooManyOpenFilesIsAnOSError) {
#if defined(__has_feature)
#if __has_feature(undefined_behavior_sanitizer)
    GTEST_SKIP() << "this sanitizer needs a descriptor to look at an exception";
#endif
#endif
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    rlimit none = before;
    none.rlim_cur = 0;
    for (const Backend& backend : backends()) {
        if (backend.io_uring && !probe_io_uring().usable) continue;
        ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
        EXPECT_THROW((void)backend.make(), OSError) << backend;
        ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
        // And where the ring comes late: the wait fails, and works once there is room.
        const auto proactor = backend.make();
        Recorder recorder{nop()};
        proactor->submit(recorder.operation);
        if (backend.io_uring) {
            ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
            EXPECT_THROW(proactor->wait(0ns), OSError) << backend;
            ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
        }
        proactor->wait(0ns);
        EXPECT_EQ(recorder.result(), 0) << backend;
    }
}

// -- A sandbox that refuses io_uring. It stays for the life of a process, so a child runs
//    the test below, in a program of its own because the probe remembers its answer.

void refuse_io_uring(unsigned error) {
    std::array filter{
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{filter.size(), filter.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        ::_exit(77);
    }
}

TEST(ProactorSandboxed, DISABLED_Child) {
    const Variable variable(nullptr);
    std::cerr << "probe: " << probe_io_uring().why_not << '\n';
    EXPECT_FALSE(probe_io_uring().usable);
    EXPECT_EQ(make_proactor(ProactorKind::automatic)->name(), "epoll");
    try {
        (void)make_proactor(ProactorKind::io_uring);
        FAIL();
    } catch (const NotImplementedError& error) {
        EXPECT_NE(std::string_view(error.what()).find(probe_io_uring().why_not),
                  std::string_view::npos);
    }
    // And all goes on, as if the program had asked for epoll.
    set_log_level(LogLevel::info);
    run({.debug = true}, []() -> Coroutine<void> {
        auto [ours, theirs] = socketpair();
        co_await get_running_loop().sock_sendall(ours, "hello");
        EXPECT_EQ(co_await get_running_loop().sock_recv(theirs, 10), "hello");
    });
}

std::string run_sandboxed(unsigned error) {
    std::array<int, 2> output{};
    EXPECT_EQ(::pipe(output.data()), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(output[1], STDERR_FILENO);
        ::dup2(output[1], STDOUT_FILENO);
        refuse_io_uring(error);
        ::execl("/proc/self/exe", "test", "--gtest_filter=ProactorSandboxed.DISABLED_Child",
                "--gtest_also_run_disabled_tests", nullptr);
        ::_exit(78);
    }
    ::close(output[1]);
    std::string text;
    std::array<char, 4096> block{};
    for (ssize_t count = 0; (count = ::read(output[0], block.data(), block.size())) > 0;) {
        text.append(block.data(), static_cast<std::size_t>(count));
    }
    ::close(output[0]);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << text;
    return text;
}

TEST(ProactorSandboxed, ARefusedIoUringIsExplainedAndEpollTaken) {
    if (!probe_io_uring().usable) GTEST_SKIP() << probe_io_uring().why_not;
    using ::testing::HasSubstr;
    EXPECT_THAT(run_sandboxed(EPERM),
                HasSubstr("Using proactor epoll: io_uring_setup is not permitted (a seccomp"));
    EXPECT_THAT(run_sandboxed(ENOSYS),
                HasSubstr("Using proactor epoll: this kernel has no io_uring"));
}

}  // namespace asyncio::detail::testing
