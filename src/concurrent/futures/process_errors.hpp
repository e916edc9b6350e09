// Exceptions on their way from a worker to the pool.
#pragma once

#include <sys/types.h>

#include <exception>
#include <string>
#include <vector>

#include <concurrent/futures/remote_error.hpp>

#include "process_code.hpp"

namespace concurrent::futures::detail {

// Where an exception came from, told on demand by remote_traceback().
struct RemoteOrigin {
    pid_t pid = 0;
    std::string error;               // "Type: text"
    std::vector<CodePlace> running;  // return addresses, innermost first
};

// In the worker. `running` are the addresses that were on the stack.
void write_exception(Writer& writer, const std::exception_ptr& error,
                     const std::vector<const void*>& running);

// In the pool. Always gives an exception: RemoteError if there is no other way.
[[nodiscard]] std::exception_ptr read_exception(Reader& reader);

// "Type: text" of what write_exception() wrote.
[[nodiscard]] std::string read_description(Reader& reader);

// Runs `work`. If it throws, returns the exception, and in `running` the addresses
// that were on the stack where it was thrown, down to this call.
std::exception_ptr run_traced(void (*work)(void*), void* argument,
                              std::vector<const void*>& running);

}  // namespace concurrent::futures::detail
