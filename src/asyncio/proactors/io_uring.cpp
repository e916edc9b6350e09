#include <asyncio/exceptions.hpp>

#include "proactor.hpp"

namespace asyncio::detail {

IoUringProbe probe_io_uring() {
    return {.usable = false, .why_not = "this library was built without liburing"};
}

std::unique_ptr<Proactor> make_io_uring_proactor() {
    throw NotImplementedError(std::string(probe_io_uring().why_not));
}

}  // namespace asyncio::detail
