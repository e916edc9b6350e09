// expect: cannot (convert|initialize)|no viable conversion|invalid initialization
// A handler for std::exception never sees a cancellation.
#include <asyncio/exceptions.hpp>

const std::exception& error = asyncio::CancelledError();
