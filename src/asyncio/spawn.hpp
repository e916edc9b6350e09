// Starts a program: clone() and exec, and an error of either as an exception of the call.
#pragma once

#include <sys/types.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include <asyncio/subprocess_options.hpp>

#include "proactors/descriptor.hpp"

namespace asyncio::detail {

struct SpawnedChild {
    pid_t pid = -1;
    Descriptor pidfd;  // readable once the child has ended
};

// Throws: ValueError for what no program can be given; OSError for a descriptor of `pass_fds`
// that is not open. To be called before any descriptor is opened for the child.
void check_command(const std::vector<std::string>& command, const SubprocessOptions& options);

// Of the options, all but those about standard streams, for which `stdio` says what descriptors
// of ours the child gets as 0, 1 and 2; -1 leaves ours. Blocks until the program is executed.
//
// Throws: ValueError for an impossible environment; the OSError of what failed, with the
// program's or the directory's name where that is to blame. Then there is no child.
// Thread: any, at the same time too. Nothing is inherited that was not asked for.
[[nodiscard]] SpawnedChild spawn(const std::vector<std::string>& command,
                                 const SubprocessOptions& options, std::array<int, 3> stdio);

// Waits for nothing. Empty while the child runs; else takes what the kernel kept of it: its
// exit code, or minus the number of the signal that killed it.
// Throws: ChildProcessError when somebody else took it already.
[[nodiscard]] std::optional<int> reap(const Descriptor& pidfd);

}  // namespace asyncio::detail
