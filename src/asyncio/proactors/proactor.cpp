#include "proactor.hpp"

#include <asyncio/exceptions.hpp>
#include <cstdlib>
#include <string>

namespace asyncio::detail {

namespace {

std::unique_ptr<Proactor> make_automatic() {
    const char* const variable = std::getenv("ASYNCIO_PROACTOR");
    const std::string_view wanted = variable != nullptr ? variable : "";
    if (wanted == "epoll") return make_epoll_proactor();
    if (wanted == "io_uring") return make_proactor(ProactorKind::io_uring);
    if (!wanted.empty()) {
        throw ValueError("ASYNCIO_PROACTOR is \"" + std::string(wanted) +
                         "\"; set it to epoll or io_uring, or leave it unset");
    }
    const IoUringProbe probe = probe_io_uring();
    if (probe.usable && probe.mode == IoUringMode::deferred) return make_io_uring_proactor();
    return make_epoll_proactor();
}

}  // namespace

std::unique_ptr<Proactor> make_proactor(ProactorKind kind) {
    switch (kind) {
        case ProactorKind::epoll:
            return make_epoll_proactor();
        case ProactorKind::io_uring:
            if (const IoUringProbe probe = probe_io_uring(); !probe.usable) {
                throw NotImplementedError(
                    "io_uring is not usable here: " + std::string(probe.why_not) +
                    "; use ASYNCIO_PROACTOR=epoll or leave it unset");
            }
            return make_io_uring_proactor();
        case ProactorKind::automatic:
            break;
    }
    return make_automatic();
}

}  // namespace asyncio::detail
