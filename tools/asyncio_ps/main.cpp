// asyncio-ps: the tasks of another process, read from outside while it runs.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "graph.hpp"

namespace {

struct Options {
    pid_t pid = 0;
    bool tree = false;
    bool json = false;
    double watch = 0;    // seconds between two looks; zero for one look
    unsigned count = 0;  // of looks; zero for no end
};

void show(const asyncio_ps::Memory& memory, const Options& options) {
    using namespace asyncio_ps;
    const Snapshot snapshot = take_snapshot(memory);
    const std::string text = options.json   ? json_text(snapshot)
                             : options.tree ? tree_text(snapshot)
                                            : table_text(snapshot);
    if (options.watch > 0 && isatty(STDOUT_FILENO) != 0) std::fputs("\033[H\033[J", stdout);
    std::fputs(text.c_str(), stdout);
    if (!options.json) {
        std::fputs(cycles_text(snapshot, find_cycles(snapshot)).c_str(), stdout);
    }
    std::fflush(stdout);
}

// After a first look.
void watch(const asyncio_ps::Memory& memory, const Options& options) {
    try {
        for (unsigned look = 1; look != options.count; ++look) {
            usleep(static_cast<useconds_t>(options.watch * 1e6));
            show(memory, options);
        }
    } catch (const asyncio_ps::Ended& ended) {
        // What whoever watches waits for.
        std::fprintf(stderr, "asyncio-ps: %s\n", ended.what());
    }
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("Shows the asyncio.cpp tasks of a running process.", "asyncio-ps");
    app.add_option("PID", options.pid, "The process")->required();
    app.add_flag("--tree", options.tree, "What waits for what, as a tree");
    app.add_flag("--json", options.json, "Everything, for programs")->excludes("--tree");
    app.add_option("--watch", options.watch, "Look again every so many seconds (1)")
        ->expected(0, 1)
        ->default_str("1")
        ->check(CLI::PositiveNumber);
    app.add_option("--count", options.count, "With --watch: stop after so many looks");
    CLI11_PARSE(app, argc, argv);
    if (app.count("--watch") > 0 && options.watch <= 0) options.watch = 1;
    try {
        const asyncio_ps::Memory memory(options.pid);
        show(memory, options);
        if (options.watch > 0) watch(memory, options);
        return 0;
    } catch (const asyncio_ps::Failure& failure) {
        std::fprintf(stderr, "asyncio-ps: %s\n", failure.what());
        return 1;
    }
}
