// What is left of children: by thousands, in several threads, when loops close and when others
// wait for them.
#include "subprocess_fixture.hpp"

#include <asyncio/log.hpp>
#include <asyncio/runners.hpp>
#include <atomic>
#include <latch>
#include <thread>

namespace asyncio::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class SubprocessLifetime : public SubprocessTest {};

const std::vector<std::string> blocked = {"sleep", "3600"};

// What is logged while it lives.
class Logged {
  public:
    Logged() {
        set_log_sink([this](LogLevel, std::string_view text) { lines.emplace_back(text); });
    }
    Logged(const Logged&) = delete;
    Logged& operator=(const Logged&) = delete;
    ~Logged() { set_log_sink({}); }
    std::vector<std::string> lines;
};

// Until the kernel has nothing of it any more; an orphan is looked after when the next child
// starts.
void expect_gone(pid_t pid) {
    for (int i = 0; exists(pid) && i < 1000; ++i) {
        std::this_thread::sleep_for(10ms);
        asyncio::run(
            []() -> Coroutine<void> { co_await (co_await create_subprocess_exec("true")).wait(); });
    }
    EXPECT_FALSE(exists(pid));
}

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
constexpr int many = 200;  // under ThreadSanitizer a start costs a fork
#else
constexpr int many = 2000;
#endif

TEST_F(SubprocessLifetime, ThousandsOneAfterAnotherLeaveNothing) {
    run([]() -> Coroutine<void> {
        std::size_t before = 0;
        for (int i = 0; i < many; ++i) {
            if (i == 10) before = open_descriptors();
            const Process process =
                co_await create_subprocess_exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
            EXPECT_EQ((co_await process.communicate("x")).first, "x");
        }
        co_await sleep(0);
        EXPECT_LE(open_descriptors(), before);
        EXPECT_EQ(zombie(), 0);
    });
}

TEST_F(SubprocessLifetime, AHundredAtTheSameTime) {
    run([]() -> Coroutine<void> {
        const auto talk = [](std::string word) -> Coroutine<std::string> {
            const Process process = co_await create_subprocess_exec(
                {"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE});
            co_return (co_await process.communicate(word)).first;
        };
        std::vector<Task<std::string>> tasks;
        for (int i = 0; i < 100; ++i) tasks.push_back(create_task(talk, std::to_string(i)));
        for (int i = 0; i < 100; ++i) {
            EXPECT_EQ(co_await tasks[static_cast<std::size_t>(i)], std::to_string(i));
        }
    });
}

// A dropped Process: the child runs on, and is waited for.
TEST_F(SubprocessLifetime, ADroppedProcessIsReaped) {
    run([]() -> Coroutine<void> {
        pid_t pid = 0;
        {
            const Process process = co_await create_subprocess_shell("sleep 0.05; exit 3");
            pid = process.pid;
        }
        EXPECT_TRUE(exists(pid));
        while (exists(pid)) co_await sleep(1ms);
    });
}

TEST_F(SubprocessLifetime, ADroppedProcessWithPipesIsReaped) {
    run([]() -> Coroutine<void> {
        pid_t pid = 0;
        {
            const Process process = co_await create_subprocess_exec(
                {"echo", "unread"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE});
            pid = process.pid;
        }
        while (exists(pid)) co_await sleep(1ms);
    });
}

TEST_F(SubprocessLifetime, AProcessOutlivesItsLoop) {
    std::optional<Process> process;
    run([&]() -> Coroutine<void> {
        process = co_await create_subprocess_exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
        co_await process->communicate("x");
    });
    close();
    EXPECT_EQ(process->returncode(), 0);
    EXPECT_THAT(thrown_by([&] { process->kill(); }), HasSubstr("ProcessLookupError"));
}

// ---- the loop closes ----------------------------------------------------------------------

TEST_F(SubprocessLifetime, ClosingTheLoopKillsLivingChildren) {
    pid_t plain = 0, with_pipes = 0;
    std::optional<Process> kept;
    run([&]() -> Coroutine<void> {
        plain = (co_await create_subprocess_exec(blocked)).pid;
        kept = co_await create_subprocess_exec(blocked, {.stdin_ = PIPE, .stdout_ = PIPE});
        with_pipes = kept->pid;
        kept->stdin_->write(std::string(1'000'000, 'x'));  // some of it stays in flight
    });
    EXPECT_TRUE(exists(plain));
    close();
    expect_gone(plain);
    expect_gone(with_pipes);
    EXPECT_FALSE(kept->returncode());
    EXPECT_THAT(thrown_by([&] { kept->kill(); }), HasSubstr("ProcessLookupError"));
}

TEST_F(SubprocessLifetime, ClosingTheLoopInTheMiddleOfEverything) {
    std::vector<pid_t> pids;
    const auto use = [&]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec(
            {"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE});
        pids.push_back(process.pid);
        co_await process.stdout_->read();
        ADD_FAILURE() << "cat ended";
    };
    const auto wait = [&]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec(blocked);
        pids.push_back(process.pid);
        co_await process.wait();
        ADD_FAILURE() << "sleep ended";
    };
    const Task<void> first = loop.create_task(use), second = loop.create_task(wait);
    while (pids.size() < 2) iterate();
    close();
    take_reports();  // tasks destroyed pending
    for (const pid_t pid : pids) expect_gone(pid);
}

TEST_F(SubprocessLifetime, RunLeavesNoChildBehind) {
    pid_t pid = 0;
    asyncio::run(
        [&]() -> Coroutine<void> { pid = (co_await create_subprocess_exec(blocked)).pid; });
    expect_gone(pid);
}

// test_fork_asyncio_subprocess
TEST_F(SubprocessLifetime, AForkedProcessHasChildrenOfItsOwn) {
    int status = -1;
    run([&]() -> Coroutine<void> {
        const pid_t child = ::fork();
        if (child == 0) {
            ::_exit(asyncio::run([]() -> Coroutine<int> {
                const Process process = co_await create_subprocess_shell("exit 7");
                co_return co_await process.wait();
            }));
        }
        ::waitpid(child, &status, 0);
        co_return;
    });
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 7);
}

// ---- others wait too ----------------------------------------------------------------------

TEST_F(SubprocessLifetime, SomebodyElseReapsOurChild) {
    const Logged logged;
    run([]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec(blocked);
        process.kill();
        EXPECT_EQ(waitpid(process.pid, nullptr, 0), process.pid);
        EXPECT_EQ(co_await process.wait(), 255);
        EXPECT_EQ(process.returncode(), 255);
    });
    EXPECT_THAT(logged.lines, Contains(HasSubstr("will report returncode 255")));
}

TEST_F(SubprocessLifetime, IgnoredSigchldIsReturncode255) {
    const Logged logged;
    const auto before = std::signal(SIGCHLD, SIG_IGN);
    run([]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec({"echo", "hi"}, {.stdout_ = PIPE});
        EXPECT_EQ((co_await process.communicate()).first, "hi\n");
        EXPECT_EQ(process.returncode(), 255);
    });
    EXPECT_THAT(error_of({"there-is-no-such-program"}), HasSubstr("FileNotFoundError"));
    std::signal(SIGCHLD, before);
    EXPECT_THAT(logged.lines, Contains(HasSubstr("will report returncode 255")));
}

volatile std::sig_atomic_t children_seen = 0;

// The program's handler stays, and its own children are its own.
TEST_F(SubprocessLifetime, HandlersAndChildrenOfTheProgramAreUntouched) {
    children_seen = 0;
    struct sigaction action{}, before{}, after{};
    action.sa_handler = [](int) { children_seen = children_seen + 1; };
    action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
    ASSERT_EQ(sigaction(SIGCHLD, &action, &before), 0);
    const pid_t own = fork();
    if (own == 0) _exit(42);
    EXPECT_EQ(output_of({"true"}).second, 0);
    sigaction(SIGCHLD, &before, &after);
    EXPECT_EQ(after.sa_handler, action.sa_handler);
    EXPECT_GE(children_seen, 1);
    int status = 0;
    EXPECT_EQ(waitpid(own, &status, 0), own);
    EXPECT_EQ(WEXITSTATUS(status), 42);
}

// ---- threads ------------------------------------------------------------------------------

TEST_F(SubprocessLifetime, LoopsInSeveralThreadsHaveChildrenAtTheSameTime) {
    constexpr int threads = 4;
    std::latch together(threads);
    std::atomic<int> right = 0;
    std::vector<std::thread> workers;
    for (int id = 0; id < threads; ++id) {
        workers.emplace_back([&, id] {
            together.arrive_and_wait();
            asyncio::run([&, id]() -> Coroutine<void> {
                for (int i = 0; i < 25; ++i) {
                    const std::string word = std::to_string(id * 1000 + i);
                    const Process process = co_await create_subprocess_exec(
                        {"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE, .close_fds = i % 2 == 0});
                    right += (co_await process.communicate(word)).first == word;
                }
            });
        });
    }
    for (std::thread& worker : workers) worker.join();
    EXPECT_EQ(right, threads * 25);
}

// The thread that started a child ends; the child does not, and its loop goes on elsewhere.
TEST_F(SubprocessLifetime, AChildOutlivesTheThreadThatStartedIt) {
    std::optional<Process> process;
    const auto start = [&]() -> Coroutine<void> {
        process = co_await create_subprocess_exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
    };
    std::thread([&] { run(start); }).join();
    run([&]() -> Coroutine<void> {
        EXPECT_EQ((co_await process->communicate("still there")).first, "still there");
        EXPECT_EQ(process->returncode(), 0);
    });
}

TEST_F(SubprocessLifetime, ALoopIsClosedByAnotherThreadThanRanIt) {
    pid_t pid = 0;
    const auto start = [&]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec(blocked, {.stdout_ = PIPE});
        pid = process.pid;
        co_await sleep(1ms);  // so that everything is in flight
    };
    std::thread([&] { run(start); }).join();
    close();
    expect_gone(pid);
}

// Other threads fork all the time; a stray copy of a pipe's end would make cat wait for it.
TEST_F(SubprocessLifetime, ForksInOtherThreadsDoNotHoldPipes) {
    std::atomic<bool> stop = false;
    std::thread forker([&] {
        while (!stop) {
            const pid_t pid = fork();
            if (pid == 0) {
                execl("/bin/true", "true", nullptr);
                _exit(1);
            }
            waitpid(pid, nullptr, 0);
        }
    });
    run([]() -> Coroutine<void> {
        for (int i = 0; i < 30; ++i) {
            const Process process =
                co_await create_subprocess_exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
            EXPECT_EQ((co_await process.communicate("x")).first, "x");
        }
    });
    stop = true;
    forker.join();
}

}  // namespace
}  // namespace asyncio::testing
