#if ASYNCIO_HAVE_LIBURING

#include "ring.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <asyncio/exceptions.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

namespace asyncio::detail {

namespace {

// Newer than liburing 2.3.
constexpr unsigned feature_no_iowait = 1U << 17;
constexpr unsigned enter_no_iowait = 1U << 7;

constexpr unsigned common =
    IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_TASKRUN_FLAG;
// In the order of IoUringMode: Linux 6.1, 6.0, 5.19.
constexpr std::array<unsigned, 3> setup_flags{
    common | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    common | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
    common | IORING_SETUP_COOP_TASKRUN,
};

}  // namespace

Ring::Mapping::Mapping(int fd, std::size_t bytes, std::uint64_t offset) : size(bytes) {
    void* const where = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                               fd, static_cast<off_t>(offset));
    if (where == MAP_FAILED) throw_os_error(errno, "mapping an io_uring");
    address = where;
}

Ring::Mapping& Ring::Mapping::operator=(Mapping&& other) noexcept {
    std::swap(address, other.address);
    std::swap(size, other.size);
    return *this;
}

Ring::Mapping::~Mapping() {
    if (address != nullptr) ::munmap(address, size);
}

Ring::Ring(unsigned submissions, unsigned completions, IoUringMode best) : mode_(best) {
    io_uring_params parameters;
    int result = 0;
    for (;;) {
        const auto mode = static_cast<std::size_t>(mode_);
        parameters = {};
        parameters.flags = setup_flags[mode];
        parameters.cq_entries = completions;
        result = ::io_uring_setup(submissions, &parameters);
        // EINVAL is how a kernel says that it does not know a flag.
        if (result != -EINVAL || mode + 1 == setup_flags.size()) break;
        mode_ = static_cast<IoUringMode>(mode + 1);
    }
    if (result < 0) throw_os_error(-result, "io_uring_setup");
    fd_ = Descriptor(result);
    features_ = parameters.features;
    if ((features_ & feature_no_iowait) != 0) enter_flags_ = enter_no_iowait;

    // One mapping for both rings since Linux 5.4.
    const auto& sq = parameters.sq_off;
    const auto& cq = parameters.cq_off;
    const std::size_t submission_bytes = sq.array + parameters.sq_entries * sizeof(unsigned);
    const std::size_t completion_bytes = cq.cqes + parameters.cq_entries * sizeof(io_uring_cqe);
    rings_ = Mapping(fd(), std::max(submission_bytes, completion_bytes), IORING_OFF_SQ_RING);
    submissions_ = Mapping(fd(), parameters.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES);

    entries_ = submissions_.at<io_uring_sqe>(0);
    submission_head_ = rings_.at<unsigned>(sq.head);
    submission_tail_ = rings_.at<unsigned>(sq.tail);
    submission_flags_ = rings_.at<unsigned>(sq.flags);
    submission_mask_ = parameters.sq_entries - 1;
    results_ = rings_.at<io_uring_cqe>(cq.cqes);
    completion_head_ = rings_.at<unsigned>(cq.head);
    completion_tail_ = rings_.at<unsigned>(cq.tail);
    completion_mask_ = parameters.cq_entries - 1;

    // Entries are used in turn, so the kernel's table of which entry comes next is fixed.
    unsigned* const order = rings_.at<unsigned>(sq.array);
    for (unsigned i = 0; i < parameters.sq_entries; ++i) order[i] = i;
}

Ring::~Ring() = default;

io_uring_sqe* Ring::next_submission() noexcept {
    if (unsubmitted() > submission_mask_) return nullptr;
    io_uring_sqe* const entry = &entries_[tail_ & submission_mask_];
    ++tail_;
    std::memset(entry, 0, sizeof *entry);
    return entry;
}

int Ring::enter_until(unsigned wanted, Nanoseconds timeout) noexcept {
    __kernel_timespec limit{.tv_sec = timeout.count() / 1'000'000'000,
                            .tv_nsec = timeout.count() % 1'000'000'000};
    io_uring_getevents_arg argument{};
    argument.sigmask_sz = _NSIG / 8;
    argument.ts = reinterpret_cast<std::uintptr_t>(&limit);
    return call(wanted, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument, sizeof argument);
}

}  // namespace asyncio::detail

#endif
