// One source, several targets: each line goes to all of them.

#include <asyncio/generators.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace {

using Stage = asyncio::Generator<void, std::string>;

Stage started(Stage stage) {
    stage.next();
    return stage;
}

Stage printer(std::string name) {
    try {
        while (std::optional<std::string> line = co_yield {}) {
            fmt::print("{:>6}: {}\n", name, *line);
        }
    } catch (const asyncio::GeneratorExit&) {
        fmt::print("{:>6}: closed\n", name);
    }
}

Stage grep(std::string word, Stage target) {
    while (std::optional<std::string> line = co_yield {}) {
        if (line->find(word) != line->npos) target.send(std::move(*line));
    }
}

// [broadcast]
Stage broadcast(std::vector<Stage> targets) {
    while (std::optional<std::string> line = co_yield {}) {
        for (Stage& target : targets) target.send(*line);
    }
}
// [/broadcast]

}  // namespace

int main() {
    // [broadcast_main]
    std::vector<Stage> targets;
    for (const char* word : {"send", "throw", "close"}) {
        targets.push_back(started(grep(word, started(printer(word)))));
    }
    Stage all = started(broadcast(std::move(targets)));
    for (const char* line : {"next() and send() step it", "throw_() throws inside it",
                             "close() ends it, as throw_() of GeneratorExit would"}) {
        all.send(line);
    }
    // Dropped here, and with it what it sends to: each stage is closed.
    // [/broadcast_main]
}
