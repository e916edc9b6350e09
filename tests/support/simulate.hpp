// Runs an async test body on a simulated loop: virtual time, and nothing may be reported to
// the exception handler that the body did not ask for.
#pragma once

#include <gtest/gtest.h>

#include <asyncio.hpp>
#include <asyncio/testing.hpp>
#include <string>
#include <vector>

// The body: `Coroutine<void>()` or `Coroutine<void>(SimLoop&)`.
template <class Body>
void simulate(Body body) {
    asyncio::testing::SimLoop sim;
    if constexpr (std::invocable<Body&, asyncio::testing::SimLoop&>) {
        sim.run_until_complete(
            sim.create_task([&body, &sim]() -> asyncio::Coroutine<void> { co_await body(sim); }));
    } else {
        sim.run_until_complete(sim.create_task(body));
    }
    sim.run_until_idle();
    for (const asyncio::ExceptionContext& report : sim.reports()) {
        ADD_FAILURE() << "reported to the exception handler: " << report.message << " "
                      << asyncio::describe_exception(report.exception);
    }
}
