// What the tests of futures and executors share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asyncio/log.hpp>
#include <concurrent/futures/base.hpp>

namespace concurrent::futures {

// A future in each state that there is, as CPython's test util has them.
template <class T = int>
Future<T> pending() {
    return {};
}
template <class T = int>
Future<T> running() {
    Future<T> future;
    future.set_running_or_notify_cancel();
    return future;
}
template <class T = int>
Future<T> cancelled() {
    Future<T> future;
    future.cancel();
    return future;
}
template <class T = int>
Future<T> cancelled_and_notified() {
    Future<T> future = cancelled<T>();
    future.set_running_or_notify_cancel();
    return future;
}
inline Future<int> failed() {
    Future<int> future;
    future.set_exception(asyncio::OSError(2, "failed"));
    return future;
}
inline Future<int> successful(int value = 42) {
    Future<int> future;
    future.set_result(value);
    return future;
}

// Holds calls up until it is opened. Make it before the pool whose calls wait here, and an
// Opener after it, so that a test that fails does not hang.
class Gate {
  public:
    void wait() const { opened_.wait(); }
    void open() {
        if (!opened_.try_wait()) opened_.count_down();
    }

  private:
    std::latch opened_{1};
};
class Opener {
  public:
    explicit Opener(Gate& gate) : gate_(gate) {}
    Opener(const Opener&) = delete;
    Opener& operator=(const Opener&) = delete;
    ~Opener() { gate_.open(); }

  private:
    Gate& gate_;
};

// Takes what the library logs while it lives.
class LogCapture {
  public:
    LogCapture()
        : before_(asyncio::set_log_sink([this](asyncio::LogLevel level, std::string_view text) {
              const std::lock_guard lock(mutex_);
              lines_.emplace_back(level, text);
          })) {}
    LogCapture(const LogCapture&) = delete;
    LogCapture& operator=(const LogCapture&) = delete;
    ~LogCapture() { asyncio::set_log_sink(std::move(before_)); }

    using Lines = std::vector<std::pair<asyncio::LogLevel, std::string>>;
    [[nodiscard]] Lines lines() const {
        const std::lock_guard lock(mutex_);
        return lines_;
    }

  private:
    mutable std::mutex mutex_;
    Lines lines_;
    asyncio::LogSink before_;
};

// What `error` says, if it is an E.
template <class E>
std::string text_of(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const E& expected) {
        return expected.what();
    }
}
template <class E, class F>
std::string text_thrown(F&& function) {
    try {
        std::forward<F>(function)();
    } catch (const E& expected) {
        return expected.what();
    }
    return "(nothing was thrown)";
}

}  // namespace concurrent::futures
