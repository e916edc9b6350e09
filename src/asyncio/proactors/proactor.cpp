#include "proactor.hpp"

#include <asyncio/exceptions.hpp>
#include <cstdlib>
#include <string>

namespace asyncio::detail {

namespace {

struct Choice {
    ProactorKind kind;
    std::string_view why;
};

Choice choose_by_probe() {
    const IoUringProbe probe = probe_io_uring();
    if (!probe.usable) return {ProactorKind::epoll, probe.why_not};
    if (probe.mode != IoUringMode::deferred) {
        return {ProactorKind::epoll, "this kernel's io_uring is older than Linux 6.1, and slower"};
    }
    return {ProactorKind::io_uring, "this kernel has all that it needs"};
}

Choice choose(ProactorKind kind) {
    if (kind != ProactorKind::automatic) return {kind, "the program asks for it"};
    const char* const variable = std::getenv("ASYNCIO_PROACTOR");
    const std::string_view wanted = variable != nullptr ? variable : "";
    if (wanted == "epoll") return {ProactorKind::epoll, "ASYNCIO_PROACTOR asks for it"};
    if (wanted == "io_uring") return {ProactorKind::io_uring, "ASYNCIO_PROACTOR asks for it"};
    if (wanted.empty()) return choose_by_probe();
    throw ValueError("ASYNCIO_PROACTOR is \"" + std::string(wanted) +
                     "\"; set it to epoll or io_uring, or leave it unset");
}

}  // namespace

std::unique_ptr<Proactor> make_proactor(ProactorKind kind) {
    if (choose(kind).kind == ProactorKind::epoll) return make_epoll_proactor();
    if (const IoUringProbe probe = probe_io_uring(); !probe.usable) {
        throw NotImplementedError("io_uring is not usable here: " + std::string(probe.why_not) +
                                  "; use ASYNCIO_PROACTOR=epoll or leave it unset");
    }
    return make_io_uring_proactor();
}

std::string describe_choice(ProactorKind kind) {
    const Choice choice = choose(kind);
    return (choice.kind == ProactorKind::epoll ? "epoll: " : "io_uring: ") +
           std::string(choice.why);
}

}  // namespace asyncio::detail
