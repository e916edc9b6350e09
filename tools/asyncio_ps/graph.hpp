// Who waits for whom, as text.
#pragma once

#include <string>
#include <vector>

#include "snapshot.hpp"

namespace asyncio_ps {

// Rings of tasks and futures of which each waits for the next, so that none will ever end.
using Cycle = std::vector<Address>;
[[nodiscard]] std::vector<Cycle> find_cycles(const Snapshot& snapshot);

// "cycle: a -> b -> a", a line each.
[[nodiscard]] std::string cycles_text(const Snapshot& snapshot, const std::vector<Cycle>& cycles);
// A line for each task.
[[nodiscard]] std::string table_text(const Snapshot& snapshot);
// What nobody waits for at the left, what it waits for below it.
[[nodiscard]] std::string tree_text(const Snapshot& snapshot);
[[nodiscard]] std::string json_text(const Snapshot& snapshot);

}  // namespace asyncio_ps
