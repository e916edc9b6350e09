// Counts lines, words and bytes of many files at once, as wc does. Shown in
// docs/howto/networking.md.
//
//   parallel_wc             of files it writes itself
//   parallel_wc FILE...
#include <fmt/format.h>

#include <aiofiles.hpp>
#include <asyncio.hpp>
#include <cctype>
#include <filesystem>
#include <string>
#include <vector>

using aiofiles::File;
using asyncio::Coroutine;

namespace {

// [count]
struct Counts {
    std::size_t lines = 0, words = 0, bytes = 0;
    bool in_word = false;

    void add(std::string_view text) {
        bytes += text.size();
        for (const char c : text) {
            lines += c == '\n' ? 1 : 0;
            const bool before =
                std::exchange(in_word, !std::isspace(static_cast<unsigned char>(c)));
            words += in_word && !before ? 1 : 0;
        }
    }
};

Coroutine<Counts> count(std::string path) {
    Counts counts;
    co_await asyncio::with(aiofiles::open(path, "rb"), [&](File& file) -> Coroutine<void> {
        std::string part;
        while (!(part = co_await file.read(64 * 1024)).empty()) counts.add(part);
    });
    co_return counts;
}
// [/count]

void show(const Counts& counts, std::string_view name) {
    fmt::print("{:>7} {:>7} {:>7} {}\n", counts.lines, counts.words, counts.bytes, name);
}

// [all]
Coroutine<void> wc(std::vector<std::string> paths) {
    asyncio::Semaphore slots(64);  // files open at a time
    std::vector<Coroutine<Counts>> counting;
    for (const auto& path : paths) {
        counting.push_back(asyncio::with(slots, [path] { return count(path); }));
    }
    Counts total;
    auto outcomes = co_await asyncio::gather(asyncio::return_exceptions, counting);
    for (std::size_t i = 0; i < paths.size(); ++i) {
        try {
            const Counts& counts = outcomes[i].value();
            show(counts, paths[i]);
            total.lines += counts.lines;
            total.words += counts.words;
            total.bytes += counts.bytes;
        } catch (const asyncio::OSError& error) {
            fmt::print("{}\n", error.what());
        }
    }
    show(total, "total");
}
// [/all]

Coroutine<void> write(std::string path, int lines) {
    co_await asyncio::with(aiofiles::open(path, "w"), [&](File& file) -> Coroutine<void> {
        for (int i = 0; i < lines; ++i) co_await file.write(fmt::format("line {} of many\n", i));
    });
}

Coroutine<void> wc_of_our_own() {
    co_await asyncio::with(
        aiofiles::tempfile::TemporaryDirectory(), [](std::string& folder) -> Coroutine<void> {
            std::filesystem::current_path(folder);
            co_await asyncio::gather(write("empty.txt", 0), write("one.txt", 1),
                                     write("many.txt", 100'000));
            std::vector<std::string> paths{"empty.txt", "one.txt", "none.txt", "many.txt"};
            co_await wc(paths);
            std::filesystem::current_path("/");
        });
}

}  // namespace

int main(int argc, char** argv) {
    asyncio::run(argc > 1 ? wc({argv + 1, argv + argc}) : wc_of_our_own());
}
