// The tasks of a process at one moment, or as near to it as reading a running process comes.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "memory.hpp"

namespace asyncio_ps {

struct Place {
    std::string function;
    std::string file;
    unsigned line = 0;
};

// fresh: not yet begun. ready: in the loop's queue.
enum class State { fresh, ready, running, waiting };
[[nodiscard]] const char* name_of(State state) noexcept;

// Something that can be waited for: a task, or a future that is none.
struct Node {
    Address id = 0;
    bool is_task = false;
    std::string name;                 // of a task; else "gather()", "shield()" or "a future"
    std::vector<Address> awaited_by;  // ids

    // Of tasks only.
    State state = State::waiting;
    unsigned cancel_requests = 0;
    std::vector<Place> stack;         // innermost first
    std::size_t frames_left_out = 0;  // in the middle of a very deep one
    Place created;
    std::string waits_for;           // in words
    std::optional<double> seconds;   // since it last ran, by the loop's clock
    std::optional<double> wakes_in;  // seconds until its timer, where it sleeps
};

struct Loop {
    Address id = 0;
    pid_t tid = 0;  // zero when nobody runs it
    std::string thread;
    std::vector<Address> tasks;  // in the order they were made
    bool complete = true;        // false when it changed faster than it could be read
};

struct Snapshot {
    pid_t pid = 0;
    std::vector<Loop> loops;
    std::map<Address, Node> nodes;
};

// Throws: Failure, as its text says.
[[nodiscard]] Snapshot take_snapshot(const Memory& memory);

}  // namespace asyncio_ps
