// aiofiles/stdio.hpp - the program's own input and output.
//
//   while (auto line = co_await anext(aiofiles::stdin_)) {
//       co_await aiofiles::stdout_.write(shout(*line));
//   }
//
// Files on the descriptors 0, 1 and 2, wherever these lead at the time. The trailing underscore
// is there because stdin is a C macro. Input has a buffer, which stdin_ and stdin_bytes share;
// scanf and std::cin have one of their own, so use one or the other. Output has none: what is
// written is out when write() is done, so flush what printf or std::cout hold before.
//
// Waiting for input can be cancelled, and keeps no thread.
//
// Source: Python's aiofiles.stdin and its siblings.
#pragma once

#include <aiofiles/file.hpp>

namespace aiofiles {

extern File stdin_;
extern File stdout_;
extern File stderr_;
extern File stdin_bytes;
extern File stdout_bytes;
extern File stderr_bytes;

}  // namespace aiofiles
