// What the tests of child processes share: a loop, a limit of time that only a hang reaches,
// and at the end no descriptor and no zombie more than at the start.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <asyncio/subprocess.hpp>
#include <asyncio/timeouts.hpp>
#include <asyncio/waiting.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include "support/loop_fixture.hpp"

namespace asyncio::testing {

using namespace std::chrono_literals;
using namespace asyncio::subprocess;

inline std::size_t open_descriptors() {
    namespace fs = std::filesystem;
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

// A child that ended and that nobody waited for, or 0.
inline pid_t zombie() {
    siginfo_t info{};
    const int result = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
    return result == 0 ? info.si_pid : 0;
}

inline bool exists(pid_t pid) {
    return kill(pid, 0) == 0;
}

// Counts before a loop is made.
class DescriptorCount {
  public:
    void check() const { EXPECT_EQ(open_descriptors(), before_) << "descriptors leaked"; }

  private:
    std::size_t before_ = open_descriptors();
};

class SubprocessTest : private DescriptorCount, public LoopTest {
  protected:
    // Runs `body` as a task, for as long as a very slow machine may need.
    template <class Body>
    decltype(auto) run(Body body) {
        return loop.run_until_complete(loop.create_task(&limited<Body>, std::move(body)));
    }
    // The output of a program, and its return code.
    std::pair<std::string, int> output_of(std::vector<std::string> command,
                                          SubprocessOptions options = {}) {
        options.stdout_ = PIPE;
        return run([=]() -> Coroutine<std::pair<std::string, int>> {
            const Process process = co_await create_subprocess_exec(command, options);
            auto [output, errors] = co_await process.communicate();
            co_return {output, *process.returncode()};
        });
    }
    // What starting it throws.
    std::string error_of(std::vector<std::string> command, SubprocessOptions options = {}) {
        return thrown_by([&] {
            run([=]() -> Coroutine<int> {
                const Process process = co_await create_subprocess_exec(command, options);
                co_return co_await process.wait();
            });
        });
    }
    void TearDown() override {
        LoopTest::TearDown();
        loop_owner.reset();
        check();
        EXPECT_EQ(zombie(), 0) << "a child was left";
    }

  private:
    template <class Body>
    static auto limited(Body body) -> std::invoke_result_t<Body&> {
        co_return co_await wait_for(body(), 100s);
    }
};

}  // namespace asyncio::testing
