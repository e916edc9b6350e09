// asyncio/constants.hpp - the figures that asyncio's own code goes by.
//
//   co_await open_connection(host, 443, {.ssl_handshake_timeout =
//                                            asyncio::constants::SSL_HANDSHAKE_TIMEOUT / 2});
//
// Source: Python's asyncio.constants.
#pragma once

#include <chrono>
#include <cstddef>

namespace asyncio::constants {

// Writes to a lost connection that are dropped in silence, before there is a warning.
inline constexpr int LOG_THRESHOLD_FOR_CONNLOST_WRITES = 5;
// How long a server that is out of descriptors leaves connections waiting.
inline constexpr std::chrono::seconds ACCEPT_RETRY_DELAY{1};
// Frames that a report of debug mode shows at most.
inline constexpr int DEBUG_STACK_DEPTH = 10;
// A TLS handshake, and the exchange of farewells, may take this long.
inline constexpr std::chrono::seconds SSL_HANDSHAKE_TIMEOUT{60};
inline constexpr std::chrono::seconds SSL_SHUTDOWN_TIMEOUT{30};
// Bytes that sendfile() reads at a time where the kernel cannot copy.
inline constexpr std::size_t SENDFILE_FALLBACK_READBUFFER_SIZE = 256 * 1024;
// Bytes of a TLS connection that may wait to be read, and to be written, before the other
// side is slowed down. Python counts these in KiB.
inline constexpr std::size_t FLOW_CONTROL_HIGH_WATER_SSL_READ = 256 * 1024;
inline constexpr std::size_t FLOW_CONTROL_HIGH_WATER_SSL_WRITE = 512 * 1024;
// How long run() and Runner wait for the threads of the default executor.
inline constexpr std::chrono::seconds THREAD_JOIN_TIMEOUT{300};

}  // namespace asyncio::constants
