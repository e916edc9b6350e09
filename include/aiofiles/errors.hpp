// aiofiles/errors.hpp - what file objects throw beside OSError and ValueError.
//
//   try {
//       co_await file.write("x");
//   } catch (const aiofiles::UnsupportedOperation& error) {
//       fmt::print("{}\n", error.what());  // not writable: 'notes.txt' is open in mode "r"
//   }
//
// A failed system call is an asyncio::OSError of Python's subclass (FileNotFoundError, ...)
// with the file's name; bytes that are not in the file's encoding are an
// asyncio::UnicodeDecodeError.
//
// Source: Python's io.UnsupportedOperation.
#pragma once

#include <string>

#include <asyncio/exceptions.hpp>

namespace aiofiles {

// What a file of this mode or kind cannot do. An OSError without a number; unlike Python's it is
// no ValueError as well.
class UnsupportedOperation : public asyncio::OSError {
  public:
    explicit UnsupportedOperation(const std::string& text) : OSError(text) {}
    ~UnsupportedOperation() override;
};

}  // namespace aiofiles
