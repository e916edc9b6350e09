#include "process_wire.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include <asyncio/exceptions.hpp>

#include "futex.hpp"

namespace concurrent::futures {

SerializationError::~SerializationError() = default;

namespace detail {
namespace {

constexpr std::uint64_t region_distance = std::uint64_t{1} << 40;
constexpr std::size_t page = 4096;
constexpr std::size_t first_mapping = 1 << 20;   // address space only
constexpr std::size_t memory_to_keep = 8 << 20;  // per region, once it was used
constexpr std::size_t first_message = 512;
constexpr std::size_t read_ahead = 64 * 1024;

}  // namespace

void Reader::throw_truncated(std::size_t wanted, std::size_t left) {
    throw SerializationError(
        "a message from another process ends too early: " + std::to_string(wanted) +
        " bytes wanted, " + std::to_string(left) + " left; do save and load agree?");
}

// --- Region -----------------------------------------------------------------------------------

void Region::open(int file, std::uint64_t offset) {
    void* data = mmap(nullptr, first_mapping, PROT_READ | PROT_WRITE, MAP_SHARED, file,
                      static_cast<off_t>(offset));
    if (data == MAP_FAILED) asyncio::throw_os_error(errno, "mapping memory shared with a worker");
    data_ = static_cast<std::byte*>(data);
    capacity_ = first_mapping;
}

Region::~Region() {
    if (data_ != nullptr) munmap(data_, capacity_);
}

std::byte* Region::reserve(std::size_t size) {
    if (size > capacity_) {
        const std::size_t wanted = (std::max(size, capacity_ * 2) + page - 1) / page * page;
        void* data = mremap(data_, capacity_, wanted, MREMAP_MAYMOVE);
        if (data == MAP_FAILED) throw std::bad_alloc();
        data_ = static_cast<std::byte*>(data);
        capacity_ = wanted;
    }
    return data_;
}

void Region::trim(std::size_t used) noexcept {
    if (used <= memory_to_keep) return;
    const std::size_t end = std::min((used + page - 1) / page * page, capacity_);
    madvise(data_ + memory_to_keep, end - memory_to_keep, MADV_REMOVE);
}

// --- SharedFile -------------------------------------------------------------------------------

Descriptor SharedFile::create() {
    constexpr auto size = static_cast<off_t>((2 * call_slots + 1) * region_distance);
    rlimit limit{};
    // Past a file size limit the kernel sends SIGXFSZ rather than an error.
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur < rlim_t{size}) return {};
    constexpr unsigned not_executable = 8;  // MFD_NOEXEC_SEAL, newer than our C library
    Descriptor file(memfd_create("process pool", MFD_CLOEXEC | not_executable));
    if (!file) file = Descriptor(memfd_create("process pool", MFD_CLOEXEC));
    if (!file || ftruncate(file.get(), size) != 0) return {};
    return file;
}

void SharedFile::open(int file) {
    for (unsigned slot = 0; slot < call_slots; ++slot) {
        calls_[slot].open(file, (1 + slot) * region_distance);
        results_[slot].open(file, (1 + call_slots + slot) * region_distance);
    }
    void* desk = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (desk == MAP_FAILED) asyncio::throw_os_error(errno, "mapping memory shared with a worker");
    desk_ = static_cast<Desk*>(desk);
}

SharedFile::~SharedFile() {
    if (desk_ != nullptr) munmap(desk_, page);
}

// --- Desk -------------------------------------------------------------------------------------

static_assert(sizeof(Desk) <= page);

// The bell changes before the sleeper is looked for, and who falls asleep says so before
// looking at the bell: one of the two sees the other.

void Desk::ring() noexcept {
    bell.fetch_add(1);
    if (asleep.load() != 0) futex_wake_shared(bell);
}

void Desk::wait_after(std::uint32_t heard) noexcept {
    asleep.store(1);
    if (bell.load() == heard) futex_wait_shared(bell, heard);
    asleep.store(0);
}

// --- MessageWriter ----------------------------------------------------------------------------

MessageWriter::MessageWriter(Region* region) : region_(region) {}

void MessageWriter::clear() noexcept {
    if (is_shared()) {
        begin_ = position_ = region_->reserve(0);
        end_ = begin_ + region_->capacity();
        return;
    }
    begin_ = position_ = memory_ ? memory_.get() + sizeof(Frame) : nullptr;
    end_ = memory_ ? memory_.get() + capacity_ : nullptr;
}

void MessageWriter::grow(std::size_t size) {
    const std::size_t used = this->size();
    if (size > SIZE_MAX / 4 - used) throw std::bad_alloc();
    std::size_t wanted = used + size;

    if (is_shared()) {
        begin_ = region_->reserve(std::max(wanted, used * 2));  // keeps what is there
        end_ = begin_ + region_->capacity();
    } else {
        wanted = std::max({wanted + sizeof(Frame), first_message, capacity_ * 2});
        void* data = std::realloc(memory_.get(), wanted);
        if (data == nullptr) throw std::bad_alloc();
        static_cast<void>(memory_.release());
        memory_.reset(static_cast<std::byte*>(data));
        capacity_ = wanted;
        begin_ = memory_.get() + sizeof(Frame);
        end_ = memory_.get() + capacity_;
    }
    position_ = begin_ + used;
}

void MessageWriter::take(MessageWriter& other) {
    clear();
    if (is_shared() || other.is_shared()) {
        const auto payload = other.payload();
        write(payload.data(), payload.size());
        return;
    }
    std::swap(memory_, other.memory_);
    std::swap(capacity_, other.capacity_);
    const std::size_t used = other.size();
    clear();
    position_ += used;
    other.clear();
}

Frame MessageWriter::complete(Frame frame) const noexcept {
    frame.size = size();
    return frame;
}

std::span<const std::byte> MessageWriter::finish(Frame frame) {
    if (!memory_) grow(0);
    frame.size = size();
    std::memcpy(memory_.get(), &frame, sizeof frame);
    return {memory_.get(), sizeof frame + size()};
}

// --- MessageReader ----------------------------------------------------------------------------

MessageReader::Status MessageReader::fill(int socket) {
    if (start_ == end_) {
        start_ = end_ = 0;
    } else if (start_ != 0 && capacity_ - end_ < read_ahead / 2) {
        std::memmove(memory_.get(), memory_.get() + start_, end_ - start_);
        end_ -= start_;
        start_ = 0;
    }
    std::size_t wanted = read_ahead;
    if (end_ - start_ >= sizeof(Frame)) {  // the rest of a message whose frame is known
        Frame frame;
        std::memcpy(&frame, memory_.get() + start_, sizeof frame);
        wanted = std::max(wanted, sizeof frame + static_cast<std::size_t>(frame.size));
    }
    if (start_ + wanted > capacity_) {
        void* data = std::realloc(memory_.get(), start_ + wanted);
        if (data == nullptr) throw std::bad_alloc();
        static_cast<void>(memory_.release());
        memory_.reset(static_cast<std::byte*>(data));
        capacity_ = start_ + wanted;
    }
    for (;;) {
        const ssize_t count = recv(socket, memory_.get() + end_, capacity_ - end_, 0);
        if (count > 0) {
            end_ += static_cast<std::size_t>(count);
            return Status::more;
        }
        if (count == 0) return Status::closed;
        if (errno == EINTR) continue;
        return errno == EAGAIN || errno == EWOULDBLOCK ? Status::empty : Status::closed;
    }
}

const Frame* MessageReader::next(std::span<const std::byte>& payload) {
    if (end_ - start_ < sizeof(Frame)) return nullptr;
    std::memcpy(&frame_, memory_.get() + start_, sizeof frame_);
    const auto size = static_cast<std::size_t>(frame_.size);
    if (end_ - start_ - sizeof(Frame) < size) return nullptr;
    payload = {memory_.get() + start_ + sizeof(Frame), size};
    start_ += sizeof(Frame) + size;
    return &frame_;
}

// --- Sockets --------------------------------------------------------------------------------

bool notify(int event) noexcept {
    const std::uint64_t one = 1;
    return ::write(event, &one, sizeof one) == sizeof one;
}

std::ptrdiff_t send_some(int socket, std::span<const std::byte> bytes) noexcept {
    for (;;) {
        const ssize_t count = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0 || errno != EINTR) return count;
    }
}

bool send_all(int socket, std::span<const std::byte> bytes) noexcept {
    while (!bytes.empty()) {
        const ssize_t count = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (count >= 0) {
            bytes = bytes.subspan(static_cast<std::size_t>(count));
        } else if (errno == EAGAIN) {
            pollfd writable{socket, POLLOUT, 0};
            poll(&writable, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

namespace {

constexpr std::size_t most_descriptors = 2;

union Control {
    cmsghdr aligned;
    char bytes[CMSG_SPACE(most_descriptors * sizeof(int))];
};

}  // namespace

bool send_with(int socket, std::span<const std::byte> bytes, std::span<const int> descriptors) {
    iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
    Control control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
    }
    for (;;) {
        const ssize_t count = sendmsg(socket, &message, MSG_NOSIGNAL);
        if (count >= 0) return send_all(socket, bytes.subspan(static_cast<std::size_t>(count)));
        if (errno != EINTR) return false;
    }
}

bool receive_with(int socket, std::span<std::byte> bytes, std::span<Descriptor> descriptors) {
    std::size_t next = 0;
    while (!bytes.empty()) {
        iovec data{bytes.data(), bytes.size()};
        Control control{};
        msghdr message{};
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        const ssize_t count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
             header = CMSG_NXTHDR(&message, header)) {
            if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
            const std::size_t received = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (std::size_t i = 0; i < received; ++i) {
                int fd;
                std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
                Descriptor descriptor(fd);
                if (next < descriptors.size()) descriptors[next++] = std::move(descriptor);
            }
        }
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return true;
}

}  // namespace detail
}  // namespace concurrent::futures
