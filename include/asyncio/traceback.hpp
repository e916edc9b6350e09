// asyncio/traceback.hpp - the way of an exception through the awaits it left.
//
//   int main() {
//       try {
//           asyncio::run(program());
//       } catch (...) {
//           asyncio::print_exception(std::current_exception());
//       }
//   }
//
//   Traceback (most recent call last):
//     File "crawl.cpp", line 44, in program
//     File "crawl.cpp", line 12, in read_page
//   ConnectionRefusedError: [Errno 111] Connection refused
//
// Each coroutine that an exception leaves adds the place of the await it stood at; tasks and
// gather() hand the list on to who awaits them. The last line is the last await (or the
// beginning) of the coroutine that threw, as C++ does not say where `throw` stood.
//
// What is known is kept for as long as a failed task or future is, or a group with the error
// in it, and for the error that was last on its way in this thread: until the task's next
// await, or outside of tasks until the next one.
//
// Thread: any. Source: Python's traceback.
#pragma once

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <asyncio/tasks.hpp>

namespace asyncio {

// The awaits that `error` left, outermost first; empty when none is known.
[[nodiscard]] std::vector<StackFrame> extract_tb(const std::exception_ptr& error);

// The traceback and "TypeName: message", without a final newline; only the latter where there
// is no traceback. What std::throw_with_nested() wrapped comes first, as Python's
// `raise ... from`; members of a group follow it, indented.
[[nodiscard]] std::string format_exception(const std::exception_ptr& error);
void print_exception(const std::exception_ptr& error, std::FILE* file = stderr);

}  // namespace asyncio
