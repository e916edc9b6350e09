// tail -f FILE | grep WORD, as a pipeline of generators: what follows the file awaits, and
// pushes each line into the stages behind it, which are plain.
//
//   curious_course_pipeline FILE WORD        until Ctrl-C
//   curious_course_pipeline                  a file of its own, which grows while it is read

#include <asyncio.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

// [stages]
using Stage = asyncio::Generator<void, std::string>;

// What Python's course does with a decorator: a stage is ready once it stands at its co_yield.
Stage started(Stage stage) {
    stage.next();
    return stage;
}

Stage printer() {
    while (std::optional<std::string> line = co_yield {}) fmt::print("{}\n", *line);
}

Stage grep(std::string word, Stage target) {
    while (std::optional<std::string> line = co_yield {}) {
        if (line->find(word) != line->npos) target.send(std::move(*line));
    }
}
// [/stages]

// [follow]
asyncio::Coroutine<void> follow(std::string path, Stage target, const asyncio::Event& complete) {
    std::ifstream file(path);
    std::string line;
    for (;;) {
        const bool last = complete.is_set();  // asked before the file is read to its end
        while (std::getline(file, line)) target.send(line);
        if (last) co_return;
        file.clear();  // it may have grown by the next time
        co_await asyncio::sleep(10ms);
    }
}
// [/follow]

// [write]
asyncio::Coroutine<void> write(std::string path, asyncio::Event& complete) {
    std::ofstream file(path);
    for (int i = 1; i <= 6; ++i) {
        file << (i % 2 == 0 ? "even " : "odd ") << i << std::endl;  // flushes
        co_await asyncio::sleep(5ms);
    }
    complete.set();
}

asyncio::Coroutine<void> demonstrate(std::string path) {
    asyncio::Event complete;
    co_await asyncio::gather(write(path, complete),
                             follow(path, started(grep("even", started(printer()))), complete));
}
// [/write]

asyncio::Coroutine<void> follow_for_ever(std::string path, std::string word) {
    const asyncio::Event never;
    co_await follow(path, started(grep(word, started(printer()))), never);
}

}  // namespace

int main(int argc, char** argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    try {
        if (argc == 3) {
            asyncio::run(follow_for_ever(argv[1], argv[2]));
            return 0;
        }
        const std::filesystem::path path =
            std::filesystem::temp_directory_path() / fmt::format("curious_course_{}.txt", getpid());
        std::ofstream(path).flush();  // so that it is there to be opened
        asyncio::run(demonstrate(path));
        std::filesystem::remove(path);
    } catch (const asyncio::KeyboardInterrupt&) {
        return 130;
    } catch (const std::exception& error) {
        fmt::print(stderr, "pipeline: {}\n", error.what());
        return 1;
    }
}
