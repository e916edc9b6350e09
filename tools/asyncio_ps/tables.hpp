// Finding the library in a process.
#pragma once

#include <vector>
#include "asyncio/inspection.hpp"

#include "memory.hpp"

namespace asyncio_ps {

using Table = asyncio::detail::InspectionTable;

// One for each copy of the library in the process, in its program or in shared libraries.
// Throws: Failure when there is none, or one of a version that this program does not know.
[[nodiscard]] std::vector<Table> find_tables(const Memory& memory);

}  // namespace asyncio_ps
