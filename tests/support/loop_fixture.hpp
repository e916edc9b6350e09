// A loop of the proactor that ASYNCIO_PROACTOR names, closed at the end, that fails the test
// on anything its exception handler hears and the test did not expect.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <asyncio.hpp>
#include <string>
#include <vector>

class LoopTest : public ::testing::Test {
  protected:
    LoopTest() : loop_owner(asyncio::new_event_loop()), loop(*loop_owner) {
        loop.set_exception_handler(
            [this](asyncio::EventLoop&, const asyncio::ExceptionContext& context) {
                reports.push_back(context.message);
            });
    }
    void TearDown() override {
        if (loop_owner) close();
        for (const std::string& report : reports) {
            ADD_FAILURE() << "reported to the exception handler: " << report;
        }
    }
    void close() {
        loop.close();
        loop.set_exception_handler({});
    }
    // What was reported so far, taken as expected.
    std::vector<std::string> take_reports() { return std::exchange(reports, {}); }
    // Runs what is ready now, and what that makes ready, `count` times.
    void iterate(int count = 1) {
        for (int i = 0; i < count; ++i) {
            loop.stop();
            loop.run_forever();
        }
    }

    asyncio::EventLoopPtr loop_owner;
    asyncio::EventLoop& loop;
    std::vector<std::string> reports;
};

// The text of what `f` throws, with its type; empty when it throws nothing.
template <class F>
std::string thrown_by(F f) {
    try {
        f();
        return {};
    } catch (...) {
        return asyncio::describe_exception(std::current_exception());
    }
}
