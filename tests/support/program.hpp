// A program that was written by others, as the other end of a test.
#pragma once

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

inline bool is_free(int port, int type) {
    const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    close(fd);
    return free;
}

// A port of 127.0.0.1 that nobody uses, for streams and for datagrams. Not of those that the
// kernel gives to connections, so that it is still free when a program comes to it.
inline int free_port() {
    static std::random_device random;
    std::uniform_int_distribution<int> ports(12000, 32000);
    for (;;) {
        const int port = ports(random);
        if (is_free(port, SOCK_STREAM) && is_free(port, SOCK_DGRAM)) return port;
    }
}

// Whether there is a program of that name.
inline bool installed(const std::string& program) {
    return std::system(
               ("PATH=$PATH:/usr/sbin:/sbin command -v " + program + " >/dev/null").c_str()) == 0;
}

// Runs until the end of its scope, with what it says, on standard output or error, in a pipe.
class Program {
  public:
    explicit Program(std::vector<std::string> command) {
        std::vector<char*> arguments;
        for (std::string& word : command) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        int output[2];
        int input[2];
        if (pipe2(output, O_CLOEXEC) != 0 || pipe2(input, O_CLOEXEC) != 0) abort();
        const std::string path = std::string(getenv("PATH")) + ":/usr/sbin:/sbin";
        pid_ = fork();
        if (pid_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            dup2(input[0], 0);
            dup2(output[1], 1);
            dup2(output[1], 2);
            setenv("PATH", path.c_str(), 1);
            execvp(arguments[0], arguments.data());
            _exit(127);
        }
        close(output[1]);
        close(input[0]);
        output_ = output[0];
        input_ = input[1];
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;
    ~Program() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            wait();
        }
        close_input();
        close(output_);
    }

    [[nodiscard]] pid_t pid() const { return pid_; }
    // Everything it has said.
    [[nodiscard]] const std::string& said() const { return said_; }

    // Reads on until it has said `text`, or for at most 30 seconds, or until it ends.
    bool says(std::string_view text) {
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        while (said_.find(text) == said_.npos) {
            pollfd ready{.fd = output_, .events = POLLIN, .revents = 0};
            if (std::chrono::steady_clock::now() > limit) return false;
            if (poll(&ready, 1, 100) > 0 && !read_more()) return false;
        }
        return true;
    }
    void write(std::string_view text) {
        [[maybe_unused]] auto n = ::write(input_, text.data(), text.size());
    }
    void close_input() {
        if (input_ >= 0) close(std::exchange(input_, -1));
    }
    void terminate() { kill(pid_, SIGTERM); }
    // Its return code, negative for a signal; it is read to its end.
    int wait() {
        while (pid_ > 0 && read_more()) {
        }
        int status = 0;
        waitpid(std::exchange(pid_, -1), &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }

  private:
    bool read_more() {
        char buffer[4096];
        const ssize_t count = read(output_, buffer, sizeof buffer);
        if (count > 0) said_.append(buffer, static_cast<std::size_t>(count));
        return count > 0;
    }

    pid_t pid_ = -1;
    int output_ = -1;
    int input_ = -1;
    std::string said_;
};
