#include "graph.hpp"

#include <algorithm>
#include <cstdio>
#include <set>

namespace asyncio_ps {

namespace {

// By waiter: what it waits for, in the order of ids. Only what the snapshot knows.
using Edges = std::map<Address, std::vector<Address>>;

Edges edges_of(const Snapshot& snapshot) {
    Edges edges;
    for (const auto& [id, node] : snapshot.nodes) {
        for (const Address waiter : node.awaited_by) {
            if (snapshot.nodes.contains(waiter)) edges[waiter].push_back(id);
        }
    }
    return edges;
}

std::string label_of(const Snapshot& snapshot, Address id) {
    return snapshot.nodes.at(id).name;
}

// Depth first without recursion: chains of tasks may be long.
class CycleSearch {
  public:
    explicit CycleSearch(const Snapshot& snapshot) : edges_(edges_of(snapshot)) {
        for (const auto& [id, awaited] : edges_) visit_from(id);
    }
    std::vector<Cycle> cycles;

  private:
    void visit_from(Address start) {
        if (!seen_.insert(start).second) return;
        enter(start);
        while (!path_.empty()) {
            auto& [id, next] = path_.back();
            const auto found = edges_.find(id);
            if (found == edges_.end() || next == found->second.size()) {
                on_path_.erase(id);
                path_.pop_back();
                continue;
            }
            const Address awaited = found->second[next++];
            if (on_path_.contains(awaited)) {
                take_cycle(awaited);
            } else if (seen_.insert(awaited).second) {
                enter(awaited);
            }
        }
    }
    void enter(Address id) {
        path_.emplace_back(id, 0);
        on_path_.insert(id);
    }
    void take_cycle(Address start) {
        Cycle cycle;
        const auto first = std::find_if(path_.begin(), path_.end(),
                                        [&](const auto& step) { return step.first == start; });
        for (auto step = first; step != path_.end(); ++step) cycle.push_back(step->first);
        cycle.push_back(start);
        cycles.push_back(std::move(cycle));
    }

    Edges edges_;
    std::set<Address> seen_;
    std::vector<std::pair<Address, std::size_t>> path_;
    std::set<Address> on_path_;
};

std::string place_text(const Place& place) {
    if (place.file.empty()) return "?";
    return place.function + " " + place.file + ":" + std::to_string(place.line);
}

std::string seconds_text(std::optional<double> seconds) {
    if (!seconds) return "-";
    char text[40];
    const double s = *seconds;
    if (s < 60) {
        std::snprintf(text, sizeof text, "%.1fs", s);
    } else if (s < 3600) {
        std::snprintf(text, sizeof text, "%dm%02ds", static_cast<int>(s) / 60,
                      static_cast<int>(s) % 60);
    } else {
        std::snprintf(text, sizeof text, "%lldh%02dm", static_cast<long long>(s) / 3600,
                      static_cast<int>(static_cast<long long>(s) % 3600 / 60));
    }
    return text;
}

std::string state_text(const Node& node) {
    std::string text = name_of(node.state);
    if (node.cancel_requests > 0) text += ", cancelling";
    return text;
}

std::string wait_text(const Node& node) {
    if (node.state == State::running || node.waits_for.empty()) return "-";
    if (!node.wakes_in) return node.waits_for;
    return node.waits_for + ", " + seconds_text(std::max(0.0, *node.wakes_in)) + " left";
}

// The tasks that wait, through gathers and the like.
void collect_waiters(const Snapshot& snapshot, Address id, std::set<Address>& seen,
                     std::vector<std::string>& names) {
    for (const Address waiter : snapshot.nodes.at(id).awaited_by) {
        const auto found = snapshot.nodes.find(waiter);
        if (found == snapshot.nodes.end() || !seen.insert(waiter).second) continue;
        if (found->second.is_task) {
            names.push_back(found->second.name);
        } else {
            collect_waiters(snapshot, waiter, seen, names);
        }
    }
}

std::string awaited_by_text(const Snapshot& snapshot, Address id) {
    std::set<Address> seen;
    std::vector<std::string> names;
    collect_waiters(snapshot, id, seen, names);
    if (names.empty()) return "-";
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

std::string loop_title(const Loop& loop) {
    std::string text = "loop ";
    text += loop.tid == 0 ? "that does not run"
                          : "in thread " + std::to_string(loop.tid) + " (" + loop.thread + ")";
    text +=
        ", " + std::to_string(loop.tasks.size()) + (loop.tasks.size() == 1 ? " task" : " tasks");
    if (!loop.complete) text += ", changing too fast to be read whole";
    return text;
}

using Row = std::vector<std::string>;

std::string aligned(const std::vector<Row>& rows) {
    std::vector<std::size_t> widths(rows.front().size());
    for (const Row& row : rows) {
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const Row& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            line.append(widths[i] - row[i].size() + 2, ' ');
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    return text;
}

class Tree {
  public:
    explicit Tree(const Snapshot& snapshot) : snapshot_(snapshot), edges_(edges_of(snapshot)) {}

    std::string text() {
        for (const Loop& loop : snapshot_.loops) {
            text_ += loop_title(loop) + "\n";
            const std::vector<Address> roots = roots_of(loop);
            for (const Address task : roots) add(task, "", task == roots.back());
        }
        return text_;
    }

  private:
    std::vector<Address> roots_of(const Loop& loop) const {
        std::vector<Address> roots;
        for (const Address task : loop.tasks) {
            if (awaited_by_text(snapshot_, task) == "-") roots.push_back(task);
        }
        // Whoever stands in a ring is below nobody: one of each ring goes first.
        for (const Cycle& cycle : find_cycles(snapshot_)) {
            const auto mine = std::find(loop.tasks.begin(), loop.tasks.end(), cycle.front());
            if (mine != loop.tasks.end()) roots.push_back(*mine);
        }
        return roots;
    }

    void add(Address id, const std::string& indent, bool last) {
        const Node& node = snapshot_.nodes.at(id);
        std::string line = indent + (last ? "└── " : "├── ") + node.name;
        if (node.is_task) line += "  [" + state_text(node) + " " + seconds_text(node.seconds) + "]";
        const bool again = !shown_.insert(id).second;
        text_ += line + (again ? " (see above)\n" : "\n");
        if (again) return;
        std::string below = indent + (last ? "    " : "│   ");
        for (const std::string& frame : frames_of(node)) {
            text_ += below + "└── " + frame + "\n";
            below += "    ";
        }
        const auto found = edges_.find(id);
        if (found == edges_.end()) {
            if (node.is_task && wait_text(node) != "-")
                text_ += below + "└── " + wait_text(node) + "\n";
            return;
        }
        for (const Address awaited : found->second) {
            add(awaited, below, awaited == found->second.back());
        }
    }

    // Outermost first; of a deep stack the two ends.
    static std::vector<std::string> frames_of(const Node& node) {
        std::vector<std::string> frames;
        for (auto frame = node.stack.rbegin(); frame != node.stack.rend(); ++frame) {
            frames.push_back(place_text(*frame));
        }
        constexpr std::size_t ends = 8;
        if (frames.size() > 2 * ends) {
            const std::size_t out = frames.size() - 2 * ends;
            frames.erase(frames.begin() + ends, frames.end() - ends);
            frames.insert(frames.begin() + ends,
                          "... " + std::to_string(out + node.frames_left_out) + " more ...");
        }
        return frames;
    }

    const Snapshot& snapshot_;
    Edges edges_;
    std::set<Address> shown_;
    std::string text_;
};

}  // namespace

std::vector<Cycle> find_cycles(const Snapshot& snapshot) {
    return CycleSearch(snapshot).cycles;
}

std::string cycles_text(const Snapshot& snapshot, const std::vector<Cycle>& cycles) {
    std::string text;
    for (const Cycle& cycle : cycles) {
        text += "cycle:";
        for (const Address id : cycle) {
            if (id != cycle.front() || text.ends_with(':')) {
                text += (text.ends_with(':') ? " " : " -> ") + label_of(snapshot, id);
            }
        }
        text += " -> " + label_of(snapshot, cycle.front()) + "\n";
    }
    return text;
}

std::string table_text(const Snapshot& snapshot) {
    std::string text;
    for (const Loop& loop : snapshot.loops) {
        text += loop_title(loop) + "\n";
        std::vector<Row> rows = {{"TASK", "STATE", "FOR", "WAITS FOR", "AT", "AWAITED BY"}};
        for (const Address id : loop.tasks) {
            const Node& node = snapshot.nodes.at(id);
            rows.push_back({node.name, state_text(node), seconds_text(node.seconds),
                            wait_text(node),
                            node.stack.empty() ? "-" : place_text(node.stack.front()),
                            awaited_by_text(snapshot, id)});
        }
        if (!loop.tasks.empty()) text += aligned(rows);
    }
    if (snapshot.loops.empty()) text = "no event loops\n";
    return text;
}

std::string tree_text(const Snapshot& snapshot) {
    if (snapshot.loops.empty()) return "no event loops\n";
    return Tree(snapshot).text();
}

}  // namespace asyncio_ps
