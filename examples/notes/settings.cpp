#include "settings.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

namespace {

// An option's value has to be a number from `least` to `most`; the error says so.
CLI::Validator number(double least, double most, bool whole = true) {
    const auto check = [=](std::string& text) -> std::string {
        double value = 0;
        const char* end = text.data() + text.size();
        const auto [rest, error] = std::from_chars(text.data(), end, value);
        if (error == std::errc() && rest == end && value >= least && value <= most &&
            (!whole || value == std::trunc(value))) {
            if (whole) text = fmt::format("{:.0f}", value);  // 1e8 is a number, too
            return {};
        }
        return fmt::format("'{}' is not a {}number from {} to {}", text, whole ? "whole " : "",
                           least, most);
    };
    return {check, {}};
}

}  // namespace

int cpu_count() {
    const unsigned count = std::thread::hardware_concurrency();  // 0 where it cannot be known
    return count > 0 ? static_cast<int>(count) : 1;
}

Settings settings_from(int argc, char** argv) {
    Settings chosen;
    bool full = false;
    CLI::App app("The program of the notes: calls one after the other, and side by side.", "notes");
    app.add_flag("--full", full, "The notes' own figures: 10 tasks, 3.4 s, 10^8 iterations");
    app.add_option("--tasks", chosen.tasks, "Calls in each run")
        ->transform(number(1, 1000))
        ->capture_default_str();
    app.add_option("--workers", chosen.workers, "Processes, and threads; default: cores")
        ->transform(number(1, 256))
        ->capture_default_str();
    auto* seconds = app.add_option("--seconds", chosen.seconds, "Sleep of each blocking call")
                        ->check(number(0.001, 3600, false))
                        ->capture_default_str();
    app.add_option("--iterations", chosen.iterations, "Of each cpu-bound call")
        ->transform(number(1, 1e12))
        ->capture_default_str();
    app.add_flag("--to-thread", chosen.to_thread,
                 "Concurrent io by asyncio::to_thread, in the loop's own threads");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        std::exit(app.exit(error) == 0 ? 0 : 2);
    }
    if (full && seconds->empty()) chosen.seconds = 3.4;

    const char* terminal = std::getenv("TERM");
    chosen.live =
        isatty(STDOUT_FILENO) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
    return chosen;
}
