// Whether io_uring can be used here, and if not, why: found out once, by making a ring.
#include "proactor.hpp"

#if ASYNCIO_HAVE_LIBURING

#include <array>
#include <asyncio/exceptions.hpp>
#include <bit>
#include <cerrno>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "ring.hpp"

namespace asyncio::detail {

namespace {

std::string why_refused(int error) {
    if (error == ENOSYS) return "this kernel has no io_uring (or a sandbox hides it)";
    if (error != EPERM && error != EACCES) {
        return "io_uring_setup failed: " + std::generic_category().message(error);
    }
    int disabled = 0;
    std::ifstream("/proc/sys/kernel/io_uring_disabled") >> disabled;
    if (disabled != 0) {
        return "io_uring is switched off: kernel.io_uring_disabled is " + std::to_string(disabled);
    }
    return "io_uring_setup is not permitted (a seccomp filter, as container runtimes install, or "
           "a security module)";
}

// Empty if all is well.
std::string probe(IoUringMode& mode) {
    try {
        const Ring ring(4, 8, IoUringMode::deferred);
        mode = ring.mode();
        constexpr unsigned features = IORING_FEAT_NODROP | IORING_FEAT_RW_CUR_POS |
                                      IORING_FEAT_EXT_ARG | IORING_FEAT_SINGLE_MMAP;
        if ((ring.features() & features) != features) return "this kernel's io_uring is too old";
        // SOCKET came with Linux 5.19, as did what has no other mark: multishot accept and
        // cancelling everything at once.
        constexpr std::array needed{
            IORING_OP_NOP,    IORING_OP_POLL_ADD, IORING_OP_READ,    IORING_OP_WRITE,
            IORING_OP_RECV,   IORING_OP_SEND,     IORING_OP_RECVMSG, IORING_OP_SENDMSG,
            IORING_OP_ACCEPT, IORING_OP_CONNECT,  IORING_OP_CLOSE,   IORING_OP_ASYNC_CANCEL,
            IORING_OP_SOCKET,
        };
        std::vector<io_uring_probe_op> memory(256 + sizeof(io_uring_probe));
        auto* const answer = reinterpret_cast<io_uring_probe*>(memory.data());
        const int result = ::io_uring_register(static_cast<unsigned>(ring.fd()),
                                               IORING_REGISTER_PROBE, answer, 256);
        if (result < 0) return why_refused(-result);
        for (const auto code : needed) {
            if ((answer->ops[code].flags & IO_URING_OP_SUPPORTED) == 0) {
                return "this kernel's io_uring lacks operation " + std::to_string(code) +
                       "; Linux 5.19 has what is needed";
            }
        }
    } catch (const OSError& error) {
        return why_refused(error.number());
    }
    return {};
}

}  // namespace

IoUringProbe probe_io_uring() {
    static IoUringMode mode = IoUringMode::shared;
    static const std::string why_not = probe(mode);
    return {.usable = why_not.empty(), .mode = mode, .why_not = why_not};
}

}  // namespace asyncio::detail

#else

namespace asyncio::detail {

IoUringProbe probe_io_uring() {
    return {.usable = false, .mode = {}, .why_not = "this library was built without liburing"};
}

}  // namespace asyncio::detail

#endif
