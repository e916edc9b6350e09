// A generator that takes lines and prints those that contain a word.

#include <asyncio/generators.hpp>
#include <optional>
#include <string>

#include <fmt/format.h>

namespace {

// [grep]
asyncio::Generator<void, std::string> grep(std::string word) {
    fmt::print("looking for '{}'\n", word);
    try {
        while (std::optional<std::string> line = co_yield {}) {
            if (line->find(word) != line->npos) fmt::print("{}\n", *line);
        }
    } catch (const asyncio::GeneratorExit&) {
        fmt::print("no more lines\n");
    }
}
// [/grep]

}  // namespace

int main() {
    // [grep_main]
    auto search = grep("yield");
    search.next();  // runs to the first co_yield; before that it cannot take anything
    search.send("a function that yields is a generator");
    search.send("a function that returns is not");
    search.send("what send() passes is the value of the co_yield");
    search.close();  // GeneratorExit, at the co_yield
    // [/grep_main]
}
