// notes/settings.hpp - what the command line says.
#pragma once

#include <cstdint>

// Python's os.cpu_count().
int cpu_count();

// A plain struct, so it can be sent to worker processes as it is.
struct Settings {
    int tasks = 10;
    int workers = cpu_count();
    double seconds = 0.2;                   // that each blocking_io() sleeps
    std::int64_t iterations = 100'000'000;  // of each cpu_bound()
    bool to_thread = false;
    bool live = false;  // on a terminal: progress bars instead of the tasks' own lines
};

inline Settings settings;

// Ends the program: with 0 after --help, with 2 when an option makes no sense.
Settings settings_from(int argc, char** argv);
