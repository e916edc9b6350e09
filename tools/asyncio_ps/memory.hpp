// The memory of another process, read while it runs.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace asyncio_ps {

using Address = std::uint64_t;

// What ends the program, as one line for the user.
class Failure : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};
// The process is gone.
class Ended : public Failure {
  public:
    using Failure::Failure;
};
// What was read makes no sense: the process changed it meanwhile. Worth another try.
class Torn : public std::exception {};

class Memory {
  public:
    // Throws: Failure when there is no such process or it may not be read.
    explicit Memory(pid_t pid);

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

    // Throws: Torn where nothing is mapped; Ended; Failure without permission.
    void read(Address from, void* to, std::size_t size) const;
    template <class T>
    [[nodiscard]] T get(Address from) const {
        T value;
        read(from, &value, sizeof value);
        return value;
    }
    // Up to a zero byte; of absurd length is Torn.
    [[nodiscard]] std::string text(Address from) const;
    [[nodiscard]] std::string text(Address from, std::size_t size) const;

    struct Mapping {
        Address begin;
        std::uint64_t offset;
        std::string path;
    };
    [[nodiscard]] std::vector<Mapping> mappings() const;
    // Of a thread of the process; empty when it is gone.
    [[nodiscard]] std::string thread_name(pid_t tid) const;
    [[nodiscard]] Ended ended() const;

  private:
    [[nodiscard]] Failure forbidden() const;
    // Which has no memory of its own.
    [[nodiscard]] bool is_kernel_thread() const;

    pid_t pid_;
};

}  // namespace asyncio_ps
