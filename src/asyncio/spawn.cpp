#include "spawn.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <string_view>

#include <asyncio/exceptions.hpp>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif
#ifndef __has_feature
#define __has_feature(x) 0
#endif

namespace asyncio::detail {

namespace {

// ThreadSanitizer believes that a clone has memory of its own. Then it shall have it.
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
constexpr int share_memory = 0;
#else
constexpr int share_memory = CLONE_VM;
#endif

// The child's code runs on a borrowed stack that it leaves by exec: instrumented, it would
// leave marks of its frames on memory that is used for something else afterwards.
#define ASYNCIO_IN_CHILD __attribute__((no_sanitize("address", "thread", "undefined")))

enum class Step : int { stdio, chdir, setsid, process_group, group, groups, user, pass, exec };

// What the child says of its failure.
struct Failure {
    Step step;
    int error;
    int which;  // of several descriptors
};

// All the child needs, prepared beforehand: until exec it may call nothing that takes a lock
// or allocates, because other threads of ours may have been in the middle of that.
struct Plan {
    char* const* arguments;
    char* const* environment;
    char* const* candidates;  // what to execute: the first that is there
    const char* directory;    // or null
    int stdio[3];
    const int* pass;
    std::size_t pass_count;
    const gid_t* groups;
    std::size_t group_count;
    const SubprocessOptions* options;
    int highest_descriptor;
    sigset_t signals;  // those blocked before
    int report;
};

// ---- in the child -------------------------------------------------------------------------

// TRICKY: the child shares our memory while we stand still, so a handler of ours must not run
// in it: it would believe that it is us. All are off before any signal is let through.
ASYNCIO_IN_CHILD void reset_signals(const Plan& plan, bool restore) {
    struct sigaction fresh = {};
    fresh.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; ++signal) {
        struct sigaction current;
        if (sigaction(signal, nullptr, &current) != 0) continue;
        const bool ignored = current.sa_handler == SIG_IGN;
        const bool wanted_back = restore && (signal == SIGPIPE || signal == SIGXFSZ);
        if (current.sa_handler != SIG_DFL && (!ignored || wanted_back)) {
            sigaction(signal, &fresh, nullptr);
        }
    }
    sigprocmask(SIG_SETMASK, &plan.signals, nullptr);
}

// Puts the child's standard streams in place. Sources among 0, 1 and 2 are moved away first:
// another one's target may be there.
ASYNCIO_IN_CHILD bool connect_stdio(Plan& plan, Failure& failure) {
    for (int target = 0; target < 3; ++target) {
        int& source = plan.stdio[target];
        if (source < 0 || source > 2 || source == target) continue;
        failure.which = target;
        source = fcntl(source, F_DUPFD_CLOEXEC, 3);
        if (source < 0) return false;
    }
    for (int target = 0; target < 3; ++target) {
        const int source = plan.stdio[target];
        if (source < 0) continue;
        failure.which = target;
        if (source == target ? fcntl(source, F_SETFD, 0) != 0 : dup2(source, target) < 0) {
            return false;
        }
    }
    return true;
}

// Marks everything above 2 for closing by exec; until then the child can report.
ASYNCIO_IN_CHILD void close_others(const Plan& plan) {
    if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
    for (int fd = 3; fd <= plan.highest_descriptor; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

ASYNCIO_IN_CHILD bool pass_descriptors(const Plan& plan, Failure& failure) {
    for (std::size_t i = 0; i < plan.pass_count; ++i) {
        failure.which = plan.pass[i];
        if (fcntl(plan.pass[i], F_SETFD, 0) != 0) return false;
    }
    return true;
}

// TRICKY: the system calls themselves. The C library's functions of these names change all
// threads of the process it knows, which are ours.
ASYNCIO_IN_CHILD bool change_user(const Plan& plan, Failure& failure) {
    const SubprocessOptions& options = *plan.options;
    failure.step = Step::groups;
    if (options.extra_groups && syscall(SYS_setgroups, plan.group_count, plan.groups) != 0) {
        return false;
    }
    failure.step = Step::group;
    if (options.group && syscall(SYS_setregid, *options.group, *options.group) != 0) return false;
    failure.step = Step::user;
    return !options.user || syscall(SYS_setreuid, *options.user, *options.user) == 0;
}

ASYNCIO_IN_CHILD void execute(const Plan& plan) {
    int saved = 0;
    for (char* const* candidate = plan.candidates; *candidate != nullptr; ++candidate) {
        execve(*candidate, plan.arguments, plan.environment);
        if (errno != ENOENT && errno != ENOTDIR && saved == 0) saved = errno;
    }
    if (saved != 0) errno = saved;
}

// In the order of CPython. Returns only on failure, with errno.
ASYNCIO_IN_CHILD void become_program(Plan& plan, Failure& failure) {
    const SubprocessOptions& options = *plan.options;
    failure.step = Step::stdio;
    if (!connect_stdio(plan, failure)) return;
    failure.step = Step::chdir;
    if (plan.directory != nullptr && chdir(plan.directory) != 0) return;
    if (options.umask) umask(*options.umask);
    reset_signals(plan, options.restore_signals);
    failure.step = Step::setsid;
    if (options.start_new_session && setsid() < 0) return;
    failure.step = Step::process_group;
    if (options.process_group && setpgid(0, *options.process_group) != 0) return;
    if (!change_user(plan, failure)) return;
    if (options.close_fds) close_others(plan);
    failure.step = Step::pass;
    if (!pass_descriptors(plan, failure)) return;
    failure.step = Step::exec;
    execute(plan);
}

ASYNCIO_IN_CHILD int run_child(void* argument) {
    Plan& plan = *static_cast<Plan*>(argument);
    Failure failure{Step::stdio, 0, 0};
    become_program(plan, failure);
    failure.error = errno;
    // So few bytes fit into a pipe or do not, but never in part.
    if (write(plan.report, &failure, sizeof failure) < 0) return 126;
    return 127;
}

// ---- before and after ---------------------------------------------------------------------

void check_text(std::string_view text, const char* what) {
    if (text.find('\0') != text.npos) {
        throw ValueError("embedded null byte in " + std::string(what) + " '" +
                         std::string(text.substr(0, text.find('\0'))) + "\\0...'");
    }
}

std::vector<char*> pointers_to(std::vector<std::string>& strings) {
    std::vector<char*> pointers;
    pointers.reserve(strings.size() + 1);
    for (std::string& text : strings) pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
}

std::vector<std::string> environment_block(const subprocess::Environment& environment) {
    std::vector<std::string> block;
    block.reserve(environment.size());
    for (const auto& [name, value] : environment) {
        check_text(name, "an environment variable's name");
        check_text(value, "an environment variable's value");
        if (name.find('=') != name.npos) {
            throw ValueError("illegal environment variable name '" + name + "'");
        }
        block.push_back(name + '=' + value);
    }
    return block;
}

std::string search_path(const SubprocessOptions& options) {
    const std::string usual = "/bin:/usr/bin";
    if (options.env) {
        const auto found = options.env->find("PATH");
        return found != options.env->end() ? found->second : usual;
    }
    const char* const ours = std::getenv("PATH");
    return ours != nullptr ? ours : usual;
}

// The files that may be meant by the name of a program.
std::vector<std::string> candidates_for(const std::string& program,
                                        const SubprocessOptions& options) {
    if (program.find('/') != program.npos) return {program};
    std::vector<std::string> candidates;
    const std::string path = search_path(options);
    for (std::size_t begin = 0; begin <= path.size();) {
        const std::size_t end = std::min(path.find(':', begin), path.size());
        std::string directory = path.substr(begin, end - begin);
        if (!directory.empty() && directory.back() != '/') directory += '/';
        candidates.push_back(directory + program);
        begin = end + 1;
    }
    return candidates;
}

int highest_descriptor() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > 1'048'576) return 1'048'576;
    return static_cast<int>(limit.rlim_cur);
}

// Nobody is interrupted or cancelled between clone() and exec.
class Undisturbed {
  public:
    Undisturbed() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &signals_);
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state_);
    }
    Undisturbed(const Undisturbed&) = delete;
    Undisturbed& operator=(const Undisturbed&) = delete;
    ~Undisturbed() {
        pthread_setcancelstate(cancel_state_, nullptr);
        pthread_sigmask(SIG_SETMASK, &signals_, nullptr);
    }
    [[nodiscard]] const sigset_t& signals() const noexcept { return signals_; }

  private:
    sigset_t signals_;
    int cancel_state_ = 0;
};

// Returns the pid, or minus the errno. We stand still until the child executed its program or
// ended, so it may use our stack.
pid_t clone_child(Plan& plan, int& pidfd) {
    alignas(64) char stack[32 * 1024];
    const Undisturbed undisturbed;
    plan.signals = undisturbed.signals();
    const pid_t pid = clone(run_child, stack + sizeof stack,
                            share_memory | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &pidfd);
    return pid >= 0 ? pid : -errno;
}

[[noreturn]] void throw_failure(const Failure& failure, const std::string& program,
                                const SubprocessOptions& options) {
    constexpr const char* streams[] = {"stdin_", "stdout_", "stderr_"};
    std::string what;
    switch (failure.step) {
        case Step::stdio:
            what = std::string("the descriptor given for ") + streams[failure.which % 3];
            break;
        case Step::chdir:
            what = "'" + options.cwd->string() + "'";
            break;
        case Step::setsid:
            what = "start_new_session";
            break;
        case Step::process_group:
            what = "process_group " + std::to_string(options.process_group.value_or(0));
            break;
        case Step::group:
            what = "group " + std::to_string(options.group.value_or(0));
            break;
        case Step::groups:
            what = "extra_groups";
            break;
        case Step::user:
            what = "user " + std::to_string(options.user.value_or(0));
            break;
        case Step::pass:
            what = "descriptor " + std::to_string(failure.which) + " in pass_fds";
            break;
        case Step::exec:
            what = "'" + program + "'";
            break;
    }
    throw_os_error(failure.error, what);
}

void throw_if_failed(int report, pid_t pid, const std::string& program,
                     const SubprocessOptions& options) {
    Failure failure{};
    if (read(report, &failure, sizeof failure) != sizeof failure) return;
    // Whoever ignores SIGCHLD has it gone by itself.
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    throw_failure(failure, program, options);
}

// For a kernel that ignored CLONE_PIDFD.
Descriptor open_pidfd(pid_t pid) {
    Descriptor opened(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!opened) {
        const int error = errno;
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
        throw_os_error(error, "pidfd_open()");
    }
    return opened;
}

// Where failures come out and where the child puts them in, above its standard streams.
std::pair<Descriptor, Descriptor> make_report() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) throw_os_error(errno, "pipe2()");
    std::pair<Descriptor, Descriptor> report(ends[0], ends[1]);
    if (ends[1] < 3) {
        report.second = Descriptor(fcntl(ends[1], F_DUPFD_CLOEXEC, 3));
        if (!report.second) throw_os_error(errno, "fcntl()");
    }
    return report;
}

}  // namespace

void check_command(const std::vector<std::string>& command, const SubprocessOptions& options) {
    if (command.empty()) throw ValueError("a program to start is needed; the command is empty");
    for (const std::string& argument : command) check_text(argument, "the argument");
    if (options.cwd) check_text(options.cwd->native(), "cwd");
    if (options.executable) check_text(options.executable->native(), "executable");
    for (const int fd : options.pass_fds) {
        if (fd < 0) {
            throw ValueError("bad value in pass_fds: " + std::to_string(fd) + " is no descriptor");
        }
        // Now: later it could be one of our pipes.
        if (fcntl(fd, F_GETFD) < 0) {
            throw_os_error(errno, "descriptor " + std::to_string(fd) + " in pass_fds");
        }
    }
}

SpawnedChild spawn(const std::vector<std::string>& command, const SubprocessOptions& options,
                   std::array<int, 3> stdio) {
    const std::string program = options.executable ? options.executable->string() : command[0];
    std::vector<std::string> arguments = command;
    std::vector<std::string> candidates = candidates_for(program, options);
    std::vector<std::string> block;
    if (options.env) block = environment_block(*options.env);
    const std::vector<char*> argument_pointers = pointers_to(arguments);
    const std::vector<char*> candidate_pointers = pointers_to(candidates);
    const std::vector<char*> block_pointers = pointers_to(block);

    auto [reading, writing] = make_report();
    Plan plan{};
    plan.arguments = argument_pointers.data();
    plan.environment = options.env ? block_pointers.data() : environ;
    plan.candidates = candidate_pointers.data();
    plan.directory = options.cwd ? options.cwd->c_str() : nullptr;
    std::copy(stdio.begin(), stdio.end(), plan.stdio);
    plan.pass = options.pass_fds.data();
    plan.pass_count = options.pass_fds.size();
    if (options.extra_groups) {
        plan.groups = options.extra_groups->data();
        plan.group_count = options.extra_groups->size();
    }
    plan.options = &options;
    plan.highest_descriptor = highest_descriptor();
    plan.report = writing.get();

    int pidfd = -1;
    const pid_t pid = clone_child(plan, pidfd);
    if (pid < 0) throw_os_error(-pid, "cannot start '" + program + "'");
    writing.reset();
    SpawnedChild child{pid, Descriptor(pidfd)};
    throw_if_failed(reading.get(), pid, program, options);
    if (!child.pidfd) child.pidfd = open_pidfd(pid);
    return child;
}

std::optional<int> reap(const Descriptor& pidfd) {
    siginfo_t info{};
    // P_PIDFD, which older C libraries do not name.
    constexpr auto by_pidfd = static_cast<idtype_t>(3);
    int result = 0;
    do {
        result = waitid(by_pidfd, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG);
    } while (result != 0 && errno == EINTR);
    if (result != 0) throw_os_error(errno, "waitid()");
    if (info.si_pid == 0) return std::nullopt;
    return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

}  // namespace asyncio::detail

namespace asyncio::subprocess {

Environment environment() {
    Environment copy;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const std::size_t equals = text.find('=', 1);
        if (equals == text.npos) continue;
        copy.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    return copy;
}

}  // namespace asyncio::subprocess
