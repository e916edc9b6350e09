#include "core.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <ctime>

#include <asyncio/log.hpp>
#include <asyncio/loop_state.hpp>

#include "file_object.hpp"
#include "submission.hpp"

namespace aiofiles::detail {

namespace {

// The most that is copied out of the page cache in one go, on the loop's thread: some 25 us.
constexpr std::size_t most_at_once = 128 * 1024;
// After how much of that the others get a turn.
constexpr std::size_t yield_after = 64 * 1024;
// The most one call in a thread or one operation reads.
constexpr std::size_t most_in_a_step = 1024 * 1024;
constexpr std::size_t first_read_ahead = 4096;
constexpr std::size_t most_read_ahead = 64 * 1024;

}  // namespace

// ---- system calls -------------------------------------------------------------------------

WithoutSigpipe::WithoutSigpipe() noexcept {
    sigset_t pipe;
    sigset_t pending;
    sigset_t blocked;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    if (sigismember(&pending, SIGPIPE) != 0) return;
    ::pthread_sigmask(SIG_BLOCK, &pipe, &blocked);
    ours_ = sigismember(&blocked, SIGPIPE) == 0;
}

WithoutSigpipe::~WithoutSigpipe() {
    if (!ours_) return;
    const int saved = errno;
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    const timespec now{};
    while (::sigtimedwait(&pipe, nullptr, &now) < 0 && errno == EINTR) {
    }
    ::pthread_sigmask(SIG_UNBLOCK, &pipe, nullptr);
    errno = saved;
}

Written write_all(int fd, std::string_view bytes) noexcept {
    Written written;
    while (written.count < bytes.size()) {
        const ssize_t count =
            ::write(fd, bytes.data() + written.count, bytes.size() - written.count);
        if (count >= 0) {
            written.count += static_cast<std::size_t>(count);
        } else if (errno == EAGAIN) {
            // A non-blocking descriptor, and this is a thread that may wait.
            pollfd wait{.fd = fd, .events = POLLOUT, .revents = 0};
            ::poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            written.error = errno;
            break;
        }
    }
    return written;
}

std::ptrdiff_t read_once(int fd, char* target, std::size_t size) noexcept {
    for (;;) {
        const ssize_t count = ::read(fd, target, size);
        if (count >= 0) return count;
        if (errno != EINTR) return -errno;
    }
}

concurrent::futures::ThreadPoolExecutor& executor_or_default(const ExecutorPointer& own,
                                                             asyncio::EventLoop& loop) {
    return own ? *own : asyncio::detail::default_executor(loop);
}

// ---- turns --------------------------------------------------------------------------------

Coroutine<void> Turns::wait() {
    // Also where the frame is destroyed while it waits.
    struct Place {
        Turns& turns;
        asyncio::Future<void> future;
        bool taken = false;
        ~Place() {
            if (taken) return;
            if (future.done() && !future.cancelled()) {
                turns.pass_on();
            } else {
                future.cancel();
            }
        }
    };
    Place place{*this, asyncio::get_running_loop().create_future<void>()};
    waiting_.push_back(place.future);
    co_await place.future;
    place.taken = true;
}

void Turns::pass_on() {
    while (!waiting_.empty()) {
        const asyncio::Future<void> next = std::move(waiting_.front());
        waiting_.pop_front();
        if (next.done()) continue;  // cancelled
        next.set_result();
        return;
    }
    busy_ = false;
}

void Core::end_turn() {
    if (step_running_) {
        turn_ended_ = true;
    } else {
        turns_.pass_on();
    }
}

// ---- bytes read ---------------------------------------------------------------------------

char* InBuffer::room(std::size_t count) {
    if (empty() && count > capacity_) clear();
    if (count > capacity_ - end_) {
        const std::size_t size = this->size();
        if (size + count <= capacity_ && begin_ >= size) {
            std::copy_n(memory_.get() + begin_, size, memory_.get());
        } else {
            const std::size_t capacity = std::max(size + count, size * 2);
            auto memory = std::make_unique_for_overwrite<char[]>(capacity);
            std::copy_n(memory_.get() + begin_, size, memory.get());
            memory_ = std::move(memory);
            capacity_ = capacity;
        }
        begin_ = 0;
        end_ = size;
    }
    return memory_.get() + end_;
}

void InBuffer::append(std::string_view bytes) {
    std::copy_n(bytes.data(), bytes.size(), room(bytes.size()));
    commit(bytes.size());
}

void InBuffer::prepend(std::string_view bytes) {
    const std::size_t size = bytes.size() + this->size();
    auto memory = std::make_unique_for_overwrite<char[]>(size);
    std::copy_n(bytes.data(), bytes.size(), memory.get());
    std::copy_n(view().data(), this->size(), memory.get() + bytes.size());
    memory_ = std::move(memory);
    capacity_ = end_ = size;
    begin_ = 0;
}

void InBuffer::adopt(std::unique_ptr<char[]> memory, std::size_t capacity, std::size_t count) {
    if (!empty()) return append({memory.get(), count});
    memory_ = std::move(memory);
    capacity_ = capacity;
    begin_ = 0;
    end_ = count;
}

// ---- steps in threads ---------------------------------------------------------------------

void Core::fail(int error) const {
    asyncio::throw_os_error(error, shown_name);
}

void Core::end_step() {
    step_running_ = false;
    if (std::exchange(turn_ended_, false)) turns_.pass_on();
}

Coroutine<void> Core::run(std::shared_ptr<Step> step, bool must) {
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    asyncio::Future<void> done = loop.create_future<void>();
    std::optional<concurrent::futures::Future<void>> call;
    try {
        call = executor_or_default(executor, loop).submit([step] {
            step->worked = true;
            step->work();
        });
    } catch (...) {
        step->error = std::current_exception();
        step->settle(*this);
        throw;
    }
    begin_step();
    call->add_done_callback([core = shared_from_this(), step,
                             done](const concurrent::futures::Future<void>& ended) mutable {
        if (!ended.cancelled()) step->error = ended.exception();
        auto& target = done.state();
        asyncio::detail::post_to_loop_of(
            target, [core = std::move(core), step = std::move(step), done = std::move(done)] {
                step->settle(*core);
                core->end_step();
                if (!done.done()) done.set_result();
            });
    });
    try {
        co_await done;
    } catch (const asyncio::CancelledError&) {
        if (!must) call->cancel();
        throw;
    }
    if (step->error) std::rethrow_exception(step->error);
    // Its executor was shut down, and dropped what had not begun.
    if (!step->worked) throw asyncio::CancelledError();
}

namespace {

class ReadStep final : public Step {
  public:
    ReadStep(int fd, std::size_t size)
        : fd_(fd), size_(size), memory_(std::make_unique_for_overwrite<char[]>(size)) {}
    void work() override { result = read_once(fd_, memory_.get(), size_); }
    void settle(Core& core) override {
        if (result > 0) {
            core.in.adopt(std::move(memory_), size_, static_cast<std::size_t>(result));
        }
    }
    std::ptrdiff_t result = 0;

  private:
    int fd_;
    std::size_t size_;
    std::unique_ptr<char[]> memory_;
};

class WriteStep final : public Step {
  public:
    WriteStep(int fd, bool stream, std::string first, std::string second)
        : fd_(fd), stream_(stream), first_(std::move(first)), second_(std::move(second)) {}

    void work() override {
        std::optional<WithoutSigpipe> quiet;
        if (stream_) quiet.emplace();
        Written written = write_all(fd_, first_);
        first_.erase(0, written.count);
        if (written.error == 0) written = write_all(fd_, second_);
        failure = written.error;
    }
    void settle(Core& core) override {
        core.out = std::move(first_);
        // Dropped before it began, by a cancellation: it is written with what comes next.
        if (!worked && !error) core.out += second_;
    }
    int failure = 0;

  private:
    int fd_;
    bool stream_;
    std::string first_;
    std::string second_;
};

// Everything that closing takes. The descriptor is this step's from the start: whatever
// becomes of the file and its loop, it is closed once.
class CloseStep final : public Step {
  public:
    explicit CloseStep(Core& core)
        : fd_(std::exchange(core.fd, -1)),
          close_fd_(core.close_fd),
          stream_(core.backing == Backing::stream),
          out_(std::exchange(core.out, {})) {
        if (core.removal == Removal::on_close) path_ = core.removal_path;
    }
    ~CloseStep() override {
        // The executor dropped it, and so did the loop.
        if (!worked && fd_ >= 0) work();
    }
    // Also what was to stay until the end of with().
    void remove(std::string path) { path_ = std::move(path); }

    void work() override {
        std::optional<WithoutSigpipe> quiet;
        if (stream_ && !out_.empty()) quiet.emplace();
        const Written written = write_all(fd_, out_);
        failure = written.error;
        lost = out_.size() - written.count;
        // Once, whatever it says: Linux has let go of the descriptor even then.
        if (close_fd_ && fd_ >= 0 && ::close(fd_) != 0 && failure == 0 && errno != EINTR) {
            failure = errno;
        }
        if (!path_.empty() && ::unlink(path_.c_str()) != 0 && failure == 0 && errno != ENOENT) {
            failure = errno;
        }
    }
    void settle(Core& core) override {
        if (!worked) {
            core.fd = std::exchange(fd_, -1);
            core.out = std::move(out_);
            return;
        }
        core.closed = true;
        core.in.clear();
    }
    int failure = 0;
    std::size_t lost = 0;

  private:
    int fd_;
    bool close_fd_;
    bool stream_;
    std::string out_;
    std::string path_;
};

// A function of the descriptor that gives a value or fails with an errno.
template <class Call>
class CallStep final : public Step {
  public:
    explicit CallStep(Call call) : call_(std::move(call)) {}
    void work() override {
        result = call_();
        if (result < 0) failure = errno;
    }
    void settle(Core&) override {}
    std::int64_t result = 0;
    int failure = 0;

  private:
    Call call_;
};
template <class Call>
auto call_step(Call call) {
    return std::make_shared<CallStep<Call>>(std::move(call));
}

}  // namespace

// ---- operations of the proactor -----------------------------------------------------------

void Submission::complete(int result) {
    const std::shared_ptr<Submission> keep = std::move(keep_);
    result_ = result;
    if (core_) {
        if (memory && result > 0) {
            core_->in.adopt(std::move(memory), operation.size, static_cast<std::size_t>(result));
        }
        core_->end_step();
    }
    if (!done_.done()) done_.set_result();
}

Coroutine<int> Submission::run(std::shared_ptr<Submission> self) {
    auto& proactor = *asyncio::EventLoop::Internals::state(asyncio::get_running_loop()).proactor;
    self->keep_ = self;
    if (self->core_) self->core_->begin_step();
    proactor.submit(self->operation);
    try {
        co_await self->done_;
    } catch (const asyncio::CancelledError&) {
        if (self->keep_) proactor.cancel(self->operation);
        throw;
    }
    co_return self->result_;
}

namespace {

// A read of at most `size` bytes into the file's buffer; how many, or a negative errno.
Coroutine<int> submit_read(Core& core, std::size_t size) {
    auto read = std::make_shared<Submission>(core.shared_from_this(), core.fd);
    read->read(size, -1);
    return Submission::run(std::move(read));
}

// Waits for readiness; the mask, or a negative errno.
Coroutine<int> submit_poll(Core& core, std::uint32_t events) {
    auto poll = std::make_shared<Submission>(core.shared_from_this(), core.fd);
    poll->operation.kind = Submission::Operation::Kind::poll;
    poll->operation.events = events;
    return Submission::run(std::move(poll));
}

}  // namespace

// ---- reading ------------------------------------------------------------------------------

std::optional<std::size_t> Core::read_now(char* target, std::size_t size) {
    while (may_not_wait_) {
        const iovec part{target, std::min(size, most_at_once)};
        const ssize_t count = ::preadv2(fd, &part, 1, -1, RWF_NOWAIT);
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno == EAGAIN) return std::nullopt;
        if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) {
            may_not_wait_ = false;
        } else if (errno != EINTR) {
            fail(errno);
        }
    }
    return std::nullopt;
}

bool Core::owes_a_turn(std::size_t bytes) noexcept {
    since_yield_ += bytes;
    if (since_yield_ < yield_after) return false;
    since_yield_ = 0;
    return true;
}

std::size_t Core::read_ahead() noexcept {
    // An explicit size is kept, as the user may have a reason for it.
    const std::size_t most = std::max(most_read_ahead, buffer_size);
    ahead_ = std::clamp(ahead_ * 2, std::min(first_read_ahead, most), most);
    return ahead_;
}

Coroutine<std::size_t> Core::fill(std::size_t wanted) {
    if (backing == Backing::memory) co_return fill_from_spool(wanted);
    wanted = std::max<std::size_t>(wanted, 1);
    const std::size_t at_once = std::min(wanted, most_at_once);
    if (const auto count = read_now(in.room(at_once), at_once)) {
        in.commit(*count);
        if (owes_a_turn(*count)) co_await asyncio::sleep(0);
        co_return *count;
    }
    wanted = std::min(wanted, most_in_a_step);
    if (backing == Backing::stream) co_return co_await fill_from_stream(wanted);
    // Where the file system can be asked not to wait, the ring need not keep a thread for it.
    if (may_not_wait_ && asyncio::get_running_loop().proactor_name() == "io_uring") {
        const int result = co_await submit_read(*this, wanted);
        if (result < 0) fail(-result);
        co_return static_cast<std::size_t>(result);
    }
    co_return co_await read_in_thread(wanted);
}

Coroutine<std::size_t> Core::read_in_thread(std::size_t wanted) {
    const auto step = std::make_shared<ReadStep>(fd, wanted);
    co_await run(step);
    if (step->result < 0) fail(static_cast<int>(-step->result));
    co_return static_cast<std::size_t>(step->result);
}

Coroutine<std::size_t> Core::fill_from_stream(std::size_t wanted) {
    for (;;) {
        if (!co_await wait_until_ready(POLLIN)) co_return co_await read_in_thread(wanted);
        char* const room = in.room(wanted);
        std::ptrdiff_t count = -EAGAIN;
        if (const auto now = read_now(room, wanted)) {
            count = static_cast<std::ptrdiff_t>(*now);
        } else if (!may_not_wait_) {
            // It cannot be asked not to wait, but it was just reported ready.
            count = read_once(fd, room, wanted);
        }
        if (count == -EAGAIN) continue;
        if (count < 0) fail(static_cast<int>(-count));
        in.commit(static_cast<std::size_t>(count));
        co_return static_cast<std::size_t>(count);
    }
}

Coroutine<bool> Core::wait_until_ready(std::uint32_t events) {
    if (!has_readiness_) co_return false;
    const int result = co_await submit_poll(*this, events);
    if (result >= 0) co_return true;
    if (result == -ENOSYS || result == -EPERM || result == -EINVAL) {
        has_readiness_ = false;
        co_return false;
    }
    fail(-result);
}

// ---- writing ------------------------------------------------------------------------------

Coroutine<void> Core::write_through(std::string more) {
    if (out.empty() && more.empty()) co_return;
    if (backing == Backing::memory) {
        write_to_spool(more);
        co_return;
    }
    if (backing == Backing::stream && !terminal && has_readiness_) {
        const std::size_t before = out.size();
        out += more;
        const std::size_t total = out.size();
        try {
            co_await write_stream();
        } catch (const asyncio::OSError&) {
            const std::size_t written = total - out.size();
            out.resize(before > written ? before - written : 0);
            throw;
        }
        if (out.empty()) co_return;
        more.clear();  // it is in `out`, and nothing tells readiness here
    }
    const auto step = std::make_shared<WriteStep>(fd, backing == Backing::stream, std::move(out),
                                                  std::move(more));
    out.clear();
    co_await run(step);
    if (step->failure != 0) fail(step->failure);
}

Coroutine<void> Core::write_stream() {
    struct Progress {
        std::string& out;
        std::size_t count = 0;
        ~Progress() { out.erase(0, count); }
    };
    Progress progress{out};
    bool ready = false;
    while (progress.count < out.size()) {
        const std::string_view rest = std::string_view(out).substr(progress.count);
        iovec part{const_cast<char*>(rest.data()), rest.size()};
        ssize_t count = -1;
        {
            const WithoutSigpipe quiet;
            if (may_not_wait_) {
                count = ::pwritev2(fd, &part, 1, -1, RWF_NOWAIT);
                if (count < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)) {
                    may_not_wait_ = false;
                    errno = EAGAIN;
                }
            } else if (ready) {
                // The least room that something ready has.
                count = ::write(fd, rest.data(), std::min<std::size_t>(rest.size(), PIPE_BUF));
            } else {
                errno = EAGAIN;
            }
        }
        ready = false;
        if (count >= 0) {
            progress.count += static_cast<std::size_t>(count);
        } else if (errno == EAGAIN) {
            if (!co_await wait_until_ready(POLLOUT)) co_return;
            ready = true;
        } else if (errno != EINTR) {
            fail(errno);
        }
    }
}

// ---- memory -------------------------------------------------------------------------------

std::size_t Core::fill_from_spool(std::size_t wanted) {
    if (spool_position >= spool.size()) return 0;
    const std::size_t count = std::min(wanted, spool.size() - spool_position);
    in.append(std::string_view(spool).substr(spool_position, count));
    spool_position += count;
    return count;
}

void Core::write_to_spool(std::string_view bytes) {
    if (spool_position > spool.size()) spool.resize(spool_position);
    spool.replace(spool_position, std::min(bytes.size(), spool.size() - spool_position), bytes);
    spool_position += bytes.size();
}

// ---- positions ----------------------------------------------------------------------------

std::int64_t Core::position() {
    if (backing == Backing::memory) return static_cast<std::int64_t>(spool_position - in.size());
    const off_t raw = ::lseek(fd, 0, SEEK_CUR);
    if (raw < 0) fail(errno);
    return raw - static_cast<std::int64_t>(in.size()) + static_cast<std::int64_t>(out.size());
}

void Core::forget_read_ahead() {
    const auto unread = static_cast<off_t>(in.size());
    if (unread > 0) {
        if (backing == Backing::memory) {
            spool_position -= in.size();
        } else if (::lseek(fd, -unread, SEEK_CUR) < 0) {
            fail(errno);
        }
    }
    in.clear();
}

Coroutine<std::int64_t> Core::seek(std::int64_t offset, int whence) {
    if (whence == SEEK_CUR) {
        offset += position();
        whence = SEEK_SET;
    }
    if (backing == Backing::memory) {
        if (whence == SEEK_END) offset += static_cast<std::int64_t>(spool.size());
        if (offset < 0) fail(EINVAL);
        in.clear();
        spool_position = static_cast<std::size_t>(offset);
        co_return offset;
    }
    std::int64_t raw = 0;
    if (whence == SEEK_SET) {
        // In what was read and is still there?
        raw = in.end() > 0 ? ::lseek(fd, 0, SEEK_CUR) : -1;
        const std::int64_t back = raw - offset;
        if (raw >= 0 && back >= 0 && back <= static_cast<std::int64_t>(in.end())) {
            in.move_to(in.end() - static_cast<std::size_t>(back));
            co_return offset;
        }
        raw = ::lseek(fd, offset, SEEK_SET);
        if (raw < 0) fail(errno);
    } else {
        // May have to ask a server for the size.
        const auto step =
            call_step([fd = fd, offset, whence] { return ::lseek(fd, offset, whence); });
        in.clear();
        co_await run(step);
        if (step->result < 0) fail(step->failure);
        raw = step->result;
    }
    in.clear();
    ahead_ = 0;
    co_return raw;
}

Coroutine<void> Core::truncate(std::int64_t size) {
    if (size < 0) fail(EINVAL);
    forget_read_ahead();
    if (backing == Backing::memory) {
        if (static_cast<std::size_t>(size) < spool.size()) {
            spool.resize(static_cast<std::size_t>(size));
        }
        co_return;
    }
    const auto step = call_step([fd = fd, size] {
        int result = 0;
        do {
            result = ::ftruncate(fd, size);
        } while (result != 0 && errno == EINTR);
        return result;
    });
    co_await run(step);
    if (step->result < 0) fail(step->failure);
}

void Core::look_again() noexcept {
    struct ::stat status{};
    if (step_running_ || ::fstat(fd, &status) != 0) return;
    const std::uint64_t identity = status.st_ino * 31 + status.st_dev * 7 + status.st_mode + 1;
    if (std::exchange(identity_, identity) == identity) return;
    static_cast<void>(look_at(*this));
    may_not_wait_ = has_readiness_ = true;
}

// ---- closing ------------------------------------------------------------------------------

Coroutine<void> Core::close() {
    if (closed) co_return;
    if (backing == Backing::memory) {
        closed = true;
        spool.clear();
        in.clear();
        co_return;
    }
    // Whoever has the descriptor goes on where we stopped.
    if (seekable && !close_fd) forget_read_ahead();
    const auto step = std::make_shared<CloseStep>(*this);
    co_await run(step, true);
    if (step->failure != 0) {
        if (step->lost == 0) fail(step->failure);
        asyncio::throw_os_error(step->failure, shown_name + ", closed with " +
                                                   std::to_string(step->lost) +
                                                   " bytes that could not be written");
    }
}

Coroutine<void> Core::leave() {
    std::exception_ptr error;
    try {
        co_await close();
    } catch (const asyncio::OSError&) {
        error = std::current_exception();
    }
    if (std::exchange(removal, Removal::never) == Removal::on_exit) {
        const auto step = call_step([path = removal_path] { return ::unlink(path.c_str()); });
        co_await run(step, true);
        if (step->result < 0 && !error && step->failure != ENOENT) fail(step->failure);
    }
    if (error) std::rethrow_exception(error);
}

namespace {

// What a spooled file holds, on its way to the disk.
class RollStep final : public Step {
  public:
    explicit RollStep(Core& core)
        : open_(core.open_spool_file),
          bytes_(std::move(core.spool)),
          position_(static_cast<off_t>(core.spool_position)) {}
    ~RollStep() override {
        if (fd_ >= 0) ::close(fd_);
    }
    void work() override {
        fd_ = open_();
        const Written written = write_all(fd_, bytes_);
        failure = written.error;
        if (failure == 0 && ::lseek(fd_, position_, SEEK_SET) < 0) failure = errno;
        if (failure == 0) return;
        ::close(fd_);
        fd_ = -1;
    }
    void settle(Core& core) override {
        if (fd_ < 0) {
            core.spool = std::move(bytes_);
            return;
        }
        core.fd = std::exchange(fd_, -1);
        core.backing = Backing::disk;
        core.name = std::to_string(core.fd);
        core.mode = "rb+";
    }
    int failure = 0;

  private:
    std::function<int()> open_;
    std::string bytes_;
    off_t position_;
    int fd_ = -1;
};

}  // namespace

Coroutine<void> Core::roll_over() {
    if (backing != Backing::memory) co_return;
    const auto step = std::make_shared<RollStep>(*this);
    co_await run(step);
    if (step->failure != 0) fail(step->failure);
}

Core::~Core() {
    const bool nothing_open = closed || fd < 0 || (!close_fd && out.empty());
    if (nothing_open && removal != Removal::on_exit) return;
    asyncio::EventLoop* const loop = asyncio::detail::this_thread.running;
    if (loop != nullptr && loop->get_debug() && announced && close_fd && !nothing_open) {
        asyncio::log(asyncio::LogLevel::warning,
                     "unclosed file " + shown_name + ", opened at " +
                         std::string(opened_at.file_name()) + ":" +
                         std::to_string(opened_at.line()) +
                         ": await its close(), or use it in asyncio::with()");
    }
    auto step = std::make_shared<CloseStep>(*this);
    if (removal == Removal::on_exit) step->remove(removal_path);
    const auto close_now = [step, name = shown_name] {
        step->worked = true;
        step->work();
        if (step->failure == 0) return;
        asyncio::log(asyncio::LogLevel::error,
                     "closing the file " + name + ", which was dropped unclosed, failed with " +
                         std::to_string(step->lost) +
                         " bytes unwritten: " + std::generic_category().message(step->failure));
    };
    try {
        if (loop != nullptr && !loop->is_closed()) {
            executor_or_default(executor, *loop).submit(close_now);
            return;
        }
    } catch (...) {
        // The executor was shut down: nobody is left to leave it to.
    }
    close_now();
}

}  // namespace aiofiles::detail
