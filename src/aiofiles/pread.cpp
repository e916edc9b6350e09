// os::pread(): reads at a place, in parallel.
#include <sys/uio.h>
#include <unistd.h>

#include <aiofiles/os.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "in_thread.hpp"
#include "submission.hpp"

namespace aiofiles::os {

namespace {

using aiofiles::detail::Submission;

// Copied out of the page cache in one go on the loop's thread, and in one step elsewhere.
constexpr std::size_t most_at_once = 128 * 1024;
constexpr std::size_t most_in_a_step = 1024 * 1024;
constexpr std::size_t yield_after = 64 * 1024;

// Whether it is somebody else's turn, after so many more bytes that cost no waiting.
bool owes_a_turn(std::size_t bytes) noexcept {
    static constinit thread_local std::size_t since = 0;
    since += bytes;
    if (since < yield_after) return false;
    since = 0;
    return true;
}

std::string name_of(int descriptor) {
    return "descriptor " + std::to_string(descriptor);
}

struct Attempt {
    std::ptrdiff_t count;  // or a negative errno
    bool may_not_wait;     // the file system can be asked not to
};

Attempt try_now(int fd, std::span<std::byte> target, std::int64_t offset) noexcept {
    const iovec part{target.data(), std::min(target.size(), most_at_once)};
    for (;;) {
        const ssize_t count = ::preadv2(fd, &part, 1, offset, RWF_NOWAIT);
        if (count >= 0) return {count, true};
        if (errno == EAGAIN) return {-EAGAIN, true};
        if (errno == EOPNOTSUPP || errno == ENOSYS) return {-EAGAIN, false};
        if (errno != EINTR) return {-errno, true};
    }
}

// Into memory of its own: a cancelled caller's may be gone before the read is over.
Coroutine<std::ptrdiff_t> read_elsewhere(int fd, std::span<std::byte> target, std::int64_t offset,
                                         bool ring) {
    const std::size_t size = std::min(target.size(), most_in_a_step);
    if (ring) {
        const auto read = std::make_shared<Submission>(nullptr, fd);
        read->read(size, offset);
        const int count = co_await Submission::run(read);
        if (count > 0) std::memcpy(target.data(), read->memory.get(), static_cast<size_t>(count));
        co_return count;
    }
    std::shared_ptr<char[]> memory = std::make_shared_for_overwrite<char[]>(size);
    const std::ptrdiff_t count =
        co_await aiofiles::detail::in_thread([fd, memory, size, offset]() -> std::ptrdiff_t {
            const ssize_t got = aiofiles::detail::without_eintr(
                [&] { return ::pread(fd, memory.get(), size, offset); });
            return got < 0 ? -errno : got;
        });
    if (count > 0) std::memcpy(target.data(), memory.get(), static_cast<std::size_t>(count));
    co_return count;
}

}  // namespace

Coroutine<std::size_t> pread(int descriptor, std::span<std::byte> target, std::int64_t offset) {
    // What io_uring's reads and preadv2() take for "where the descriptor stands".
    if (offset < 0) asyncio::throw_os_error(EINVAL, name_of(descriptor));
    std::size_t done = 0;
    while (done < target.size()) {
        const std::span<std::byte> rest = target.subspan(done);
        const std::int64_t place = offset + static_cast<std::int64_t>(done);
        const Attempt attempt = try_now(descriptor, rest, place);
        std::ptrdiff_t count = attempt.count;
        if (count == -EAGAIN) {
            const bool ring =
                attempt.may_not_wait && asyncio::get_running_loop().proactor_name() == "io_uring";
            count = co_await read_elsewhere(descriptor, rest, place, ring);
        } else if (count > 0 && owes_a_turn(static_cast<std::size_t>(count))) {
            co_await asyncio::sleep(0);
        }
        if (count < 0) asyncio::throw_os_error(static_cast<int>(-count), name_of(descriptor));
        if (count == 0) break;
        done += static_cast<std::size_t>(count);
    }
    co_return done;
}

Coroutine<std::string> pread(int descriptor, std::size_t size, std::int64_t offset) {
    std::string result(size, '\0');
    result.resize(co_await pread(descriptor, std::as_writable_bytes(std::span(result)), offset));
    co_return result;
}

}  // namespace aiofiles::os
