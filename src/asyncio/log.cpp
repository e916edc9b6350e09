#include <asyncio/log.hpp>

#include <atomic>
#include <cstdio>
#include <mutex>
#include <utility>

namespace asyncio {

namespace {

struct Sink {
    std::recursive_mutex mutex;  // a sink may itself log
    LogSink function;
};

// Never destroyed: the last messages come while the process exits.
Sink& sink() {
    static Sink& instance = *new Sink;
    return instance;
}

constinit std::atomic<LogLevel> lowest{LogLevel::warning};

}  // namespace

LogSink set_log_sink(LogSink function) {
    const std::lock_guard lock(sink().mutex);
    return std::exchange(sink().function, std::move(function));
}

void set_log_level(LogLevel level) noexcept { lowest.store(level, std::memory_order_relaxed); }

LogLevel get_log_level() noexcept { return lowest.load(std::memory_order_relaxed); }

void log(LogLevel level, std::string_view text) noexcept {
    if (level < lowest.load(std::memory_order_relaxed)) return;
    try {
        const std::lock_guard lock(sink().mutex);
        if (sink().function) {
            sink().function(level, text);
        } else {
            std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
        }
    } catch (...) {
        // A log that fails must not bring down what it reports on.
    }
}

}  // namespace asyncio
