// asyncio.hpp - `import asyncio`: everything in namespace asyncio.
//
//   #include <asyncio.hpp>
//   using namespace std::chrono_literals;
//
//   asyncio::Coroutine<void> program() {
//       fmt::print("Hello ...\n");
//       co_await asyncio::sleep(1s);
//       fmt::print("... World!\n");
//   }
//
//   int main() { asyncio::run(program()); }
#pragma once

#include <asyncio/as_completed.hpp>
#include <asyncio/async_generator.hpp>
#include <asyncio/async_iteration.hpp>
#include <asyncio/async_itertools.hpp>
#include <asyncio/async_merge.hpp>
#include <asyncio/constants.hpp>
#include <asyncio/base_events.hpp>
#include <asyncio/connection_options.hpp>
#include <asyncio/contextlib.hpp>
#include <asyncio/contextvars.hpp>
#include <asyncio/coroutines.hpp>
#include <asyncio/events.hpp>
#include <asyncio/exception_group.hpp>
#include <asyncio/exceptions.hpp>
#include <asyncio/futures.hpp>
#include <asyncio/generators.hpp>
#include <asyncio/graph.hpp>
#include <asyncio/locks.hpp>
#include <asyncio/log.hpp>
#include <asyncio/outcome.hpp>
#include <asyncio/protocols.hpp>
#include <asyncio/queues.hpp>
#include <asyncio/resolver.hpp>
#include <asyncio/runners.hpp>
#include <asyncio/staggered.hpp>
#include <asyncio/sock_operations.hpp>
#include <asyncio/sockets.hpp>
#include <asyncio/streams.hpp>
#include <asyncio/subprocess.hpp>
#include <asyncio/taskgroups.hpp>
#include <asyncio/tasks.hpp>
#include <asyncio/threads.hpp>
#include <asyncio/timeouts.hpp>
#include <asyncio/traceback.hpp>
#include <asyncio/transports.hpp>
#include <asyncio/waiting.hpp>
