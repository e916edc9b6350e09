// What the tests of process pools share: gates between processes, and a look at what
// this process holds.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#include <concurrent/futures.hpp>

namespace process_test {

using namespace std::chrono_literals;
using multiprocessing::StartMethod;

// Nothing in these tests takes this long unless it hangs.
constexpr auto patience = 60s;

// Looks again and again until `holds()`, at most for `patience`.
template <class Condition>
[[nodiscard]] bool eventually(Condition holds) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

// A place where a call waits in its worker until the test lets it go on. The path
// is what is sent.
class Gate {
  public:
    Gate() {
        static int number = 0;
        path_ = std::filesystem::temp_directory_path() /
                ("gate." + std::to_string(getpid()) + "." + std::to_string(number++));
        if (mkfifo(path_.c_str(), 0600) != 0) throw std::runtime_error("mkfifo");
    }
    ~Gate() {
        if (descriptor_ >= 0) ::close(descriptor_);
        std::filesystem::remove(path_);
    }
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;

    [[nodiscard]] std::string path() const { return path_; }
    // Returns once a call waits there.
    [[nodiscard]] bool reached() {
        return eventually([&] {
            if (descriptor_ < 0) {
                // Fails as long as nobody reads.
                descriptor_ = ::open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
            }
            return descriptor_ >= 0;
        });
    }
    // Lets the call go on that waits there, once there is one.
    void open() {
        EXPECT_TRUE(reached());
        ::close(descriptor_);
        descriptor_ = -1;
    }
    // In the worker.
    static void wait_at(const std::string& path) {
        const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        char byte;
        while (::read(descriptor, &byte, 1) > 0) {
        }
        ::close(descriptor);
    }

  private:
    std::filesystem::path path_;
    int descriptor_ = -1;
};

inline std::set<int> open_descriptors() {
    std::set<int> found;
    DIR* directory = opendir("/proc/self/fd");
    while (const dirent* entry = readdir(directory)) {
        const int descriptor = std::atoi(entry->d_name);
        if (entry->d_name[0] != '.' && descriptor != dirfd(directory)) found.insert(descriptor);
    }
    closedir(directory);
    return found;
}

// A sanitizer's own helper, see support/tsan.cpp.
inline bool is_symbolizer(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
    std::string name;
    std::getline(file, name);
    return name.starts_with("llvm-symbolizer");
}

// Children of all threads, those that ended and were not waited for included.
inline std::set<pid_t> children() {
    std::set<pid_t> found;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream file(task.path() / "children");
        for (pid_t pid; file >> pid;) {
            if (!is_symbolizer(pid)) found.insert(pid);
        }
    }
    return found;
}

// Whether the process runs. A zombie does not.
inline bool is_alive(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(file, text);
    const auto name_end = text.rfind(')');
    return name_end != std::string::npos && text[name_end + 2] != 'Z' && text[name_end + 2] != 'X';
}

// Checks that a test leaves nothing behind: neither processes nor descriptors.
class ProcessTest : public ::testing::Test {
  protected:
    void SetUp() override { descriptors_ = open_descriptors(); }
    void TearDown() override {
        EXPECT_EQ(children(), std::set<pid_t>());
        EXPECT_EQ(open_descriptors(), descriptors_);
    }

  private:
    std::set<int> descriptors_;
};

// What a program wrote to standard output and standard error, and how it ended.
struct Finished {
    int status = -1;  // as waitpid() gives it
    std::string output;
};

// Runs a program to its end; it is killed when `patience` is over.
inline Finished run_program(const std::string& command) {
    Finished finished;
    FILE* pipe = popen(("timeout -s KILL 60 " + command + " 2>&1").c_str(), "r");
    char buffer[4096];
    while (const std::size_t count = fread(buffer, 1, sizeof buffer, pipe)) {
        finished.output.append(buffer, count);
    }
    finished.status = pclose(pipe);
    return finished;
}

}  // namespace process_test
