// How children are started: every option, and every way in which starting fails.
#include "subprocess_fixture.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <cstdlib>
#include <fstream>

namespace asyncio::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class SubprocessOptionsTest : public SubprocessTest {
  protected:
    SubprocessOptionsTest() {
        std::string name = fs::temp_directory_path() / "subprocess_XXXXXX";
        folder = ::mkdtemp(name.data());
    }
    ~SubprocessOptionsTest() override { fs::remove_all(folder); }

    fs::path script(const std::string& name, const std::string& text, bool executable = true) {
        const fs::path path = folder / name;
        std::ofstream(path) << text;
        fs::permissions(path, executable ? fs::perms::owner_all
                                         : fs::perms::owner_read | fs::perms::owner_write);
        return path;
    }
    std::string shell_output(const std::string& text, SubprocessOptions options = {}) {
        return output_of({"/bin/sh", "-c", text}, std::move(options)).first;
    }

    fs::path folder;
};

struct File {
    int fd;
    explicit File(const fs::path& path, int flags = O_RDWR | O_CREAT)
        : fd(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {
        EXPECT_GE(fd, 0);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() { ::close(fd); }
    [[nodiscard]] int fileno() const { return fd; }
    [[nodiscard]] std::string text() const {
        std::string text(4096, '\0');
        const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
        text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
        return text;
    }
};

// ---- errors -------------------------------------------------------------------------------

TEST_F(SubprocessOptionsTest, AProgramThatIsNotThere) {
    EXPECT_EQ(error_of({"there-is-no-such-program"}),
              "FileNotFoundError: [Errno 2] No such file or directory: 'there-is-no-such-program'");
    EXPECT_EQ(error_of({"/no/such/program", "argument"}),
              "FileNotFoundError: [Errno 2] No such file or directory: '/no/such/program'");
    EXPECT_THAT(error_of({"/dev/null/program"}), StartsWith("NotADirectoryError: [Errno 20]"));
    EXPECT_THAT(error_of({std::string(5000, 'x')}), StartsWith("OSError: [Errno 36]"));
}

TEST_F(SubprocessOptionsTest, AProgramThatCannotBeExecuted) {
    const std::string plain = script("plain", "#!/bin/sh\n", false);
    EXPECT_EQ(error_of({plain}), "PermissionError: [Errno 13] Permission denied: '" + plain + "'");
    EXPECT_THAT(error_of({"/"}), StartsWith("PermissionError: [Errno 13]"));
    EXPECT_THAT(error_of({""}), StartsWith("PermissionError: [Errno 13]"));
    EXPECT_THAT(error_of({script("text", "neither a script nor a program\n")}),
                StartsWith("OSError: [Errno 8]"));
    EXPECT_THAT(error_of({script("bad", "#!/no/such/interpreter\n")}),
                StartsWith("FileNotFoundError: [Errno 2]"));
    EXPECT_THAT(error_of({"true", std::string(10'000'000, 'x')}), StartsWith("OSError: [Errno 7]"));
}

TEST_F(SubprocessOptionsTest, ADirectoryThatCannotBeEntered) {
    EXPECT_EQ(error_of({"true"}, {.cwd = "/no/such/directory"}),
              "FileNotFoundError: [Errno 2] No such file or directory: '/no/such/directory'");
    EXPECT_EQ(error_of({"true"}, {.cwd = "/dev/null"}),
              "NotADirectoryError: [Errno 20] Not a directory: '/dev/null'");
    EXPECT_THAT(error_of({"true"}, {.cwd = ""}), StartsWith("FileNotFoundError: [Errno 2]"));
}

TEST_F(SubprocessOptionsTest, ArgumentsThatNoProgramCanGet) {
    const std::string null("a\0b", 3);
    for (const std::string& error :
         {error_of({"true", null}), error_of({null}), error_of({"true"}, {.cwd = null}),
          error_of({"true"}, {.executable = null}),
          error_of({"true"}, {.env = Environment{{"NAME", null}}}),
          error_of({"true"}, {.env = Environment{{null, "value"}}})}) {
        EXPECT_THAT(error, StartsWith("ValueError: embedded null byte"));
    }
    EXPECT_THAT(error_of({"true"}, {.env = Environment{{"A=B", "1"}}}),
                StartsWith("ValueError: illegal environment variable name 'A=B'"));
    EXPECT_THAT(error_of({}), StartsWith("ValueError: a program to start is needed"));
}

TEST_F(SubprocessOptionsTest, DescriptorsThatAreNotOpen) {
    const int closed = 777;
    EXPECT_EQ(error_of({"true"}, {.stdin_ = closed}),
              "OSError: [Errno 9] Bad file descriptor: descriptor 777 for stdin_");
    EXPECT_EQ(error_of({"true"}, {.stderr_ = -4}),
              "OSError: [Errno 9] Bad file descriptor: descriptor -4 for stderr_");
    EXPECT_EQ(error_of({"true"}, {.pass_fds = {closed}}),
              "OSError: [Errno 9] Bad file descriptor: descriptor 777 in pass_fds");
    EXPECT_THAT(error_of({"true"}, {.pass_fds = {-1}}),
                StartsWith("ValueError: bad value in pass_fds: -1"));
    std::FILE* const none = nullptr;
    EXPECT_THAT(error_of({"true"}, {.stdout_ = none}), StartsWith("OSError: [Errno 9]"));
}

TEST_F(SubprocessOptionsTest, StdoutIsForStderrOnly) {
    EXPECT_EQ(error_of({"true"}, {.stdin_ = STDOUT}),
              "ValueError: STDOUT can only be used for stderr_");
    EXPECT_EQ(error_of({"true"}, {.stdout_ = STDOUT}),
              "ValueError: STDOUT can only be used for stderr_");
}

TEST_F(SubprocessOptionsTest, APermissionThatIsMissing) {
    EXPECT_EQ(error_of({"true"}, {.process_group = 1}),
              "PermissionError: [Errno 1] Operation not permitted: process_group 1");
    EXPECT_THAT(error_of({"true"}, {.process_group = -5}), StartsWith("OSError: [Errno 22]"));
}

// No pipe, no child, nothing stays of those.
TEST_F(SubprocessOptionsTest, ManyFailuresLeaveNothing) {
    const SubprocessOptions pipes{.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE};
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 50; ++i) {
        EXPECT_NE(error_of({"there-is-no-such-program"}, pipes), "");
        EXPECT_EQ(zombie(), 0);
    }
    EXPECT_LE(open_descriptors(), before + 3);  // the loop's own
}

TEST_F(SubprocessOptionsTest, NoDescriptorIsLeftToGive) {
    EXPECT_EQ(output_of({"true"}).second, 0);  // what the loop opens late is open
    rlimit limit{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlimit tight = limit;
    tight.rlim_cur = 100;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
    // With 0 to 8 descriptors left, each of which is the one that is missing.
    std::vector<int> fill;
    for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) fill.push_back(fd);
    for (int left = 0; left < 9; ++left) {
        if (left > 0) {
            ::close(fill.back());
            fill.pop_back();
        }
        const std::string error =
            error_of({"true"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE});
        EXPECT_THAT(error, StartsWith("OSError: [Errno 24]")) << left;
        EXPECT_EQ(zombie(), 0);
    }
    for (const int fd : fill) ::close(fd);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

// ---- where and what -----------------------------------------------------------------------

TEST_F(SubprocessOptionsTest, CwdIsWhereTheChildStarts) {
    EXPECT_EQ(shell_output("pwd -P", {.cwd = folder}), fs::canonical(folder).string() + "\n");
    script("here", "#!/bin/sh\necho found\n");
    // Looked for from there, not from here.
    EXPECT_EQ(output_of({"./here"}, {.cwd = folder}).first, "found\n");
    EXPECT_THAT(error_of({"./here"}), StartsWith("FileNotFoundError"));
}

TEST_F(SubprocessOptionsTest, EnvIsAllTheEnvironment) {
    EXPECT_EQ(output_of({"/usr/bin/env"}, {.env = Environment{{"A", "1"}, {"B", "x=y"}}}).first,
              "A=1\nB=x=y\n");
    EXPECT_EQ(output_of({"/usr/bin/env"}, {.env = Environment{}}).first, "");
    ::setenv("SUBPROCESS_TEST", "inherited", 1);
    EXPECT_EQ(shell_output("echo $SUBPROCESS_TEST"), "inherited\n");
    SubprocessOptions options{.env = environment()};
    EXPECT_EQ(options.env->at("SUBPROCESS_TEST"), "inherited");
    options.env->insert_or_assign("SUBPROCESS_TEST", "changed");
    EXPECT_EQ(shell_output("echo $SUBPROCESS_TEST", options), "changed\n");
    ::unsetenv("SUBPROCESS_TEST");
}

TEST_F(SubprocessOptionsTest, PathIsThatOfTheChild) {
    fs::create_directory(folder / "other");
    script("tool", "#!/bin/sh\necho $1 $0\n");
    const std::string path = "/nowhere:" + (folder / "other").string() + ":" + folder.string();
    EXPECT_EQ(output_of({"tool", "argument"}, {.env = Environment{{"PATH", path}}}).first,
              "argument " + (folder / "tool").string() + "\n");
    EXPECT_THAT(error_of({"tool"}), StartsWith("FileNotFoundError"));
    // Without one, the usual places. An empty entry is the directory of the child.
    EXPECT_EQ(output_of({"true"}, {.env = Environment{}}).second, 0);
    EXPECT_EQ(output_of({"tool", "x"}, {.cwd = folder, .env = Environment{{"PATH", ""}}}).first,
              "x tool\n");
    // One that is not executable is passed over, and remembered for the error.
    script("tool2", "", false);
    EXPECT_THAT(error_of({"tool2"}, {.env = Environment{{"PATH", path + ":/nowhere"}}}),
                StartsWith("PermissionError: [Errno 13]"));
}

TEST_F(SubprocessOptionsTest, ExecutableReplacesTheProgramButNotItsName) {
    EXPECT_EQ(output_of({"pretender", "-c", "echo $0"}, {.executable = "/bin/sh"}).first,
              "pretender\n");
    const fs::path other = script("shell", "#!/bin/sh\necho \"$@\"\n");
    run([&]() -> Coroutine<void> {
        const Process process =
            co_await create_subprocess_shell("ls | wc", {.stdout_ = PIPE, .executable = other});
        EXPECT_EQ((co_await process.communicate()).first, "-c ls | wc\n");
    });
}

// ---- descriptors --------------------------------------------------------------------------

TEST_F(SubprocessOptionsTest, FilesAndDescriptorsAreStandardStreams) {
    const File input(script("input", "from a file\n"));
    const File output(folder / "output");
    const File errors(folder / "errors");
    EXPECT_EQ(run([&]() -> Coroutine<int> {
                  const Process process = co_await create_subprocess_shell(
                      "cat; echo oops >&2",
                      {.stdin_ = input.fd, .stdout_ = output, .stderr_ = errors});
                  co_return co_await process.wait();
              }),
              0);
    EXPECT_EQ(output.text(), "from a file\n");
    EXPECT_EQ(errors.text(), "oops\n");
    std::FILE* const file = std::fopen((folder / "output").c_str(), "r");
    EXPECT_EQ(output_of({"cat"}, {.stdin_ = file}).first, "from a file\n");
    std::fclose(file);
}

TEST_F(SubprocessOptionsTest, ASocketIsAStandardStream) {
    auto [ours, theirs] = socketpair();
    EXPECT_EQ(run([&]() -> Coroutine<int> {
                  const Process process =
                      co_await create_subprocess_exec({"echo", "hello"}, {.stdout_ = theirs});
                  co_return co_await process.wait();
              }),
              0);
    char text[16];
    EXPECT_EQ(::recv(ours.fileno(), text, sizeof text, MSG_DONTWAIT), 6);
}

TEST_F(SubprocessOptionsTest, OneDescriptorMayServeTwice) {
    const File both(folder / "both");
    run([&]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_shell(
            "echo out; echo err >&2", {.stdout_ = both, .stderr_ = both});
        co_await process.wait();
        const Process again =
            co_await create_subprocess_shell("echo more >&2", {.stdout_ = both, .stderr_ = STDOUT});
        co_await again.wait();
    });
    EXPECT_EQ(both.text(), "out\nerr\nmore\n");
}

// Each of ours goes where another one comes from.
TEST_F(SubprocessOptionsTest, StandardStreamsMayBeExchanged) {
    const File one(folder / "one");
    const File two(folder / "two");
    const int saved[] = {::fcntl(1, F_DUPFD_CLOEXEC, 3), ::fcntl(2, F_DUPFD_CLOEXEC, 3)};
    ::dup2(one.fd, 1);
    ::dup2(two.fd, 2);
    run([]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_shell("echo to one >&2; echo to two",
                                                                 {.stdout_ = 2, .stderr_ = 1});
        co_await process.wait();
    });
    ::dup2(saved[0], 1);
    ::dup2(saved[1], 2);
    ::close(saved[0]);
    ::close(saved[1]);
    EXPECT_EQ(one.text(), "to one\n");
    EXPECT_EQ(two.text(), "to two\n");
}

// A daemon may have closed all of them: our pipes are then 0, 1 and 2 themselves.
TEST_F(SubprocessOptionsTest, WorksWhereOurStandardStreamsAreClosed) {
    EXPECT_EQ(output_of({"true"}).second, 0);  // what the loop opens late is open
    int saved[3];
    for (int fd = 0; fd < 3; ++fd) saved[fd] = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    for (int fd = 0; fd < 3; ++fd) ::close(fd);
    std::pair<std::string, std::string> said;
    const std::string error = thrown_by([&] {
        said = run([]() -> Coroutine<std::pair<std::string, std::string>> {
            const Process process = co_await create_subprocess_shell(
                "cat; echo err >&2", {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE});
            co_return co_await process.communicate("through\n");
        });
    });
    for (int fd = 0; fd < 3; ++fd) {
        ::dup2(saved[fd], fd);
        ::close(saved[fd]);
    }
    EXPECT_EQ(error, "");
    EXPECT_EQ(said, std::make_pair(std::string("through\n"), std::string("err\n")));
}

TEST_F(SubprocessOptionsTest, NothingIsInheritedThatWasNotAskedFor) {
    const int plain = ::open("/dev/null", O_RDONLY);  // NOLINT: not close-on-exec, on purpose
    const File marked("/dev/null", O_RDONLY);
    // What ls has beside them is the directory it reads.
    const auto inherited = [&](SubprocessOptions options) {
        const std::string list = output_of({"ls", "/proc/self/fd"}, std::move(options)).first;
        return std::make_pair(list.find(std::to_string(plain) + "\n") != list.npos,
                              std::count(list.begin(), list.end(), '\n'));
    };
    EXPECT_EQ(inherited({}), std::make_pair(false, 4L));
    EXPECT_EQ(inherited({.pass_fds = {plain, marked.fd}}), std::make_pair(true, 6L));
    EXPECT_EQ(inherited({.close_fds = false}).first, true);
    EXPECT_EQ(inherited({.close_fds = false, .pass_fds = {marked.fd}}).first, true);
    ::close(plain);
}

TEST_F(SubprocessOptionsTest, APassedDescriptorHasItsNumber) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    EXPECT_EQ(run([&]() -> Coroutine<int> {
                  const Process process = co_await create_subprocess_shell(
                      "echo through >&" + std::to_string(ends[1]), {.pass_fds = {ends[1]}});
                  co_return co_await process.wait();
              }),
              0);
    char text[16];
    EXPECT_EQ(::read(ends[0], text, sizeof text), 8);
    EXPECT_NE(::fcntl(ends[1], F_GETFD) & FD_CLOEXEC, 0) << "ours must stay as it was";
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_F(SubprocessOptionsTest, PipesHaveTheSizeAskedFor) {
    run([]() -> Coroutine<void> {
        const Process process =
            co_await create_subprocess_exec({"cat"}, {.stdin_ = PIPE, .pipesize = 8192});
        const int fd = *process.stdin_->get_extra_info<int>("pipe");
        EXPECT_EQ(::fcntl(fd, F_GETPIPE_SZ), 8192);
        process.stdin_->close();
        co_await process.wait();
    });
}

// ---- who it is ----------------------------------------------------------------------------

TEST_F(SubprocessOptionsTest, SessionsAndGroups) {
    // Fields of stat behind the name: state, parent, group, session.
    const std::string ask = "read -r pid name state parent group session rest </proc/$$/stat; ";
    const std::string test = "test $group = $$ && echo group; test $session = $$ && echo session";
    EXPECT_EQ(shell_output(ask + test), "");
    EXPECT_EQ(shell_output(ask + test, {.process_group = 0}), "group\n");
    EXPECT_EQ(shell_output(ask + test, {.start_new_session = true}), "group\nsession\n");
    run([&]() -> Coroutine<void> {
        const Process leader =
            co_await create_subprocess_exec({"sleep", "3600"}, {.process_group = 0});
        const Process member =
            co_await create_subprocess_exec({"sleep", "3600"}, {.process_group = leader.pid});
        EXPECT_EQ(::getpgid(member.pid), leader.pid);
        ::kill(-leader.pid, SIGKILL);
        EXPECT_EQ(co_await member.wait(), -SIGKILL);
        EXPECT_EQ(co_await leader.wait(), -SIGKILL);
    });
}

TEST_F(SubprocessOptionsTest, UmaskIsTheChildsAlone) {
    const mode_t ours = ::umask(022);
    EXPECT_EQ(shell_output("umask", {.umask = 077}), "0077\n");
    EXPECT_EQ(::umask(ours), 022U);
}

TEST_F(SubprocessOptionsTest, UserAndGroupAreTheChildsAlone) {
    if (::geteuid() != 0) {
        EXPECT_THAT(error_of({"true"}, {.user = 0}),
                    StartsWith("PermissionError: [Errno 1] Operation not permitted: user 0"));
        return;
    }
    EXPECT_EQ(shell_output("id -u; id -g; id -G",
                           {.group = 12, .extra_groups = std::vector<gid_t>{13, 14}, .user = 11}),
              "11\n12\n12 13 14\n");
    EXPECT_EQ(::geteuid(), 0U);
    EXPECT_EQ(::getegid(), 0U);
}

// ---- signals ------------------------------------------------------------------------------

// SigIgn, SigBlk and SigCgt of the child, as the kernel prints them.
class SubprocessSignals : public SubprocessOptionsTest {
  protected:
    std::uint64_t mask_of(const std::string& field, SubprocessOptions options = {}) {
        const std::string line = output_of({"grep", field, "/proc/self/status"}, options).first;
        return std::stoull(line.substr(line.find(':') + 1), nullptr, 16);
    }
    static std::uint64_t bit(int signal) { return std::uint64_t{1} << (signal - 1); }
};

TEST_F(SubprocessSignals, IgnoredSigpipeIsRestored) {
    const auto before = std::signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(mask_of("SigIgn") & bit(SIGPIPE), 0U);
    EXPECT_NE(mask_of("SigIgn", {.restore_signals = false}) & bit(SIGPIPE), 0U);
    std::signal(SIGPIPE, before);
    // So a writer into a closed pipe ends, as in a shell.
    run([]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_shell(
            "(yes; echo $? >&2) | head -n 1", {.stdout_ = PIPE, .stderr_ = PIPE});
        const auto [output, errors] = co_await process.communicate();
        EXPECT_EQ(output, "y\n");
        EXPECT_EQ(errors, std::to_string(128 + SIGPIPE) + "\n");
    });
}

TEST_F(SubprocessSignals, OtherIgnoredOnesAreInherited) {
    const auto before = std::signal(SIGUSR2, SIG_IGN);
    EXPECT_NE(mask_of("SigIgn") & bit(SIGUSR2), 0U);
    std::signal(SIGUSR2, before);
    EXPECT_EQ(mask_of("SigIgn") & bit(SIGUSR2), 0U);
}

// As in Python, the mask is that of the thread that starts the child.
TEST_F(SubprocessSignals, BlockedSignalsAreThoseOfTheThread) {
    EXPECT_EQ(mask_of("SigBlk") & bit(SIGUSR1), 0U);
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    EXPECT_NE(mask_of("SigBlk") & bit(SIGUSR1), 0U);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, nullptr, &now);
    EXPECT_EQ(sigismember(&now, SIGUSR1), 0) << "ours must stay as it was";
}

volatile std::sig_atomic_t handled_in = 0;

// While children start, a signal hits us all the time: its handler runs in us, never in them.
TEST_F(SubprocessSignals, OurHandlersNeverRunInTheChild) {
    handled_in = 0;
    struct sigaction action{}, before{};
    action.sa_handler = [](int) {
        if (handled_in == 0) handled_in = ::getpid();
        if (handled_in != ::getpid()) ::_exit(99);
    };
    action.sa_flags = SA_RESTART;
    ASSERT_EQ(sigaction(SIGALRM, &action, &before), 0);
    itimerval often{{0, 500}, {0, 500}};
    setitimer(ITIMER_REAL, &often, nullptr);
    for (int i = 0; i < 50; ++i) EXPECT_EQ(output_of({"true"}).second, 0);
    itimerval off{};
    setitimer(ITIMER_REAL, &off, nullptr);
    sigaction(SIGALRM, &before, nullptr);
    EXPECT_EQ(handled_in, ::getpid());
}

}  // namespace
}  // namespace asyncio::testing
