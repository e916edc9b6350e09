#include "process_start.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <vector>

#include <asyncio/exceptions.hpp>

#include "process_code.hpp"

namespace concurrent::futures::detail {
namespace {

Descriptor open_pidfd(pid_t pid) {
    return Descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));  // closes on exec
}

// What the program calls itself, so that lists of processes show a familiar name.
std::string program_name() {
    std::ifstream file("/proc/self/cmdline");
    std::string name;
    std::getline(file, name, '\0');
    return name.empty() ? "program" : name;
}

class Attributes {
  public:
    Attributes() {
        posix_spawnattr_init(&attributes);
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        // Whatever the program blocks or ignores is its own business.
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    ~Attributes() { posix_spawnattr_destroy(&attributes); }
    Attributes(const Attributes&) = delete;
    Attributes& operator=(const Attributes&) = delete;

    posix_spawnattr_t attributes;
};

class FileActions {
  public:
    explicit FileActions(int keep) {
        posix_spawn_file_actions_init(&actions);
        // Onto itself: the one descriptor that stays open across the exec.
        posix_spawn_file_actions_adddup2(&actions, keep, keep);
    }
    ~FileActions() { posix_spawn_file_actions_destroy(&actions); }
    FileActions(const FileActions&) = delete;
    FileActions& operator=(const FileActions&) = delete;

    posix_spawn_file_actions_t actions;
};

// One exec for each worker.
class Spawner final : public Launcher {
  public:
    void launch(std::uint64_t ticket, Descriptor socket) override {
        Started started{.ticket = ticket};
        try {
            Child child = spawn_program('w', socket.get());
            started.pid = child.pid;
            started.pidfd = std::move(child.pidfd);
        } catch (const asyncio::OSError& error) {
            started.error = error.number();
        }
        news_.push_back(std::move(started));
    }
    std::optional<Started> news() override { return take(news_); }
    ExitStatus reap(std::uint64_t, int pidfd) override { return wait_child(pidfd); }

    static std::optional<Started> take(std::deque<Started>& news) {
        if (news.empty()) return std::nullopt;
        Started first = std::move(news.front());
        news.pop_front();
        return first;
    }

  private:
    std::deque<Started> news_;
};

// A copy of this process for each worker.
class Forker final : public Launcher {
  public:
    explicit Forker(std::function<void()> in_copy) : in_copy_(std::move(in_copy)) {}

    void launch(std::uint64_t ticket, Descriptor socket) override {
        // What is buffered would be written by the copy as well.
        std::cout.flush();
        std::fflush(nullptr);
        const pid_t parent = getpid();
        lock_code_tables();
        lock_error_tables();
        const pid_t pid = fork();
        unlock_error_tables();
        unlock_code_tables();
        if (pid == 0) {
            in_copy_();
            reset_signals();
            serve_calls(std::move(socket), parent);
        }
        Started started{.ticket = ticket};
        if (pid < 0) {
            started.error = errno;
        } else {
            started.pid = pid;
            started.pidfd = open_pidfd(pid);
        }
        news_.push_back(std::move(started));
    }
    std::optional<Started> news() override { return Spawner::take(news_); }
    ExitStatus reap(std::uint64_t, int pidfd) override { return wait_child(pidfd); }

  private:
    // A handler of the program's would talk to objects that are copies here.
    static void reset_signals() {
        for (int number = 1; number < NSIG; ++number) {
            struct sigaction action{};
            if (sigaction(number, nullptr, &action) != 0) continue;
            const bool handled = (action.sa_flags & SA_SIGINFO) != 0 ||
                                 (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
            if (handled) signal(number, SIG_DFL);
        }
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, nullptr);
    }

    std::function<void()> in_copy_;
    std::deque<Started> news_;
};

}  // namespace

bool ExitStatus::clean() const noexcept {
    return kind == CLD_EXITED && value == 0;
}

std::string ExitStatus::describe() const {
    switch (kind) {
        case CLD_EXITED:
            return "exited with status " + std::to_string(value);
        case CLD_KILLED:
        case CLD_DUMPED: {
            const char* text = strsignal(value);
            return "was killed by signal " + std::to_string(value) + " (" +
                   (text != nullptr ? text : "unknown") + ")" +
                   (kind == CLD_DUMPED ? ", core dumped" : "");
        }
        default:
            return "ended, nobody knows how";
    }
}

Child spawn_program(char role, int socket) {
    const std::string mine = std::string(child_variable) + "=" + role + ":" +
                             std::to_string(socket) + ":" + std::to_string(getpid());
    std::vector<char*> environment;
    for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
        environment.push_back(*variable);
    }
    environment.push_back(const_cast<char*>(mine.c_str()));
    environment.push_back(nullptr);

    std::string name = program_name();
    std::string purpose = "--multiprocessing-fork";  // for whoever lists the processes
    char* arguments[] = {name.data(), purpose.data(), nullptr};

    const Attributes with;
    const FileActions keeping(socket);
    Child child;
    const int error = posix_spawn(&child.pid, "/proc/self/exe", &keeping.actions, &with.attributes,
                                  arguments, environment.data());
    if (error != 0) asyncio::throw_os_error(error, "starting /proc/self/exe as a worker process");
    child.pidfd = open_pidfd(child.pid);
    return child;
}

ExitStatus wait_child(int pidfd) {
    siginfo_t info{};
    for (;;) {
        const auto id = static_cast<id_t>(pidfd);
        if (waitid(static_cast<idtype_t>(P_PIDFD), id, &info, WEXITED) == 0) {
            return {info.si_code, info.si_status};
        }
        if (errno != EINTR) return {};
    }
}

std::unique_ptr<Launcher> make_launcher(multiprocessing::StartMethod method,
                                        std::function<void()> in_copy) {
    switch (method) {
        case multiprocessing::StartMethod::spawn:
            return std::make_unique<Spawner>();
        case multiprocessing::StartMethod::fork:
            return std::make_unique<Forker>(std::move(in_copy));
        case multiprocessing::StartMethod::forkserver:
            break;
    }
    return make_fork_server();
}

}  // namespace concurrent::futures::detail
