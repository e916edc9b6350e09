// The proactor over io_uring: one system call for each wait() submits what was asked since
// the last one, waits, and brings the completions.
//
// The ring belongs to the thread that calls wait(): that lets the kernel skip its locks and
// put off all work on completions until we ask. So it is made by the first wait(), and made
// anew when another thread takes over; detach() is what makes taking over possible, because
// nobody but the owner can reach what is in the kernel.
//
// An operation has one entry of its own in the kernel at a time, and perhaps a request to
// cancel it. It is done when the completions of both were taken, as each names its memory.
#include <asyncio/exceptions.hpp>
#include <string>

#include "proactor.hpp"

#if ASYNCIO_HAVE_LIBURING

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <vector>

#include "attempt.hpp"
#include "buffer_ring.hpp"
#include "entry.hpp"
#include "operation_list.hpp"
#include "ring.hpp"
#include "short_reads.hpp"

namespace asyncio::detail {

namespace {

constexpr unsigned submission_entries = 256;
constexpr unsigned completion_entries = 2048;

// Operation::hint, beside `drained`.
constexpr std::uint8_t bulk = 2;  // and above: that many small reads since a large one

// So much at once is better read by us, into the memory of a receiver that lends it or into one
// that is in the processor's cache, and more at once than a buffer of the kernel's holds. Much
// less is better read by the kernel, many receivers in one go.
constexpr std::size_t least_bulk = 16 * 1024;
constexpr std::size_t small_read = 8 * 1024;  // looks as if it were over
constexpr std::uint8_t small_reads_to_end_bulk = 8;
// What is behind urgent data is late by three of these at the most, in a quiet moment.
constexpr __kernel_timespec short_reads_pause{.tv_sec = 0, .tv_nsec = 10'000'000};

// Operation::known, of a socket's multishot receive that waits by a multishot poll: one entry
// for all the reads to come, which reports edges. See also ShortReads.
constexpr std::uint8_t readable = 1;     // in readable_
constexpr std::uint8_t ended = 2;        // a hang-up was reported: every read gets an answer
constexpr std::uint8_t byte_stream = 4;  // less than was asked for means that there is no more

bool is_byte_stream(int fd) noexcept {
    int type = 0;
    socklen_t size = sizeof type;
    return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

// The kernel reports POLLRDHUP to whoever polls, asked or not.
std::uint32_t relevant(const Operation& poll, int mask) noexcept {
    return static_cast<std::uint32_t>(mask) & (poll.events | POLLERR | POLLHUP);
}

// Unlike a thread's id never used again, and cheaper to get.
std::uint64_t this_thread() noexcept {
    static std::atomic<std::uint64_t> last = 0;
    thread_local const std::uint64_t id = last.fetch_add(1, std::memory_order_relaxed) + 1;
    return id;
}

class IoUringProactor final : public Proactor {
  public:
    explicit IoUringProactor(IoUringMode best) : best_(best) {
        wake_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (!wake_) throw_os_error(errno, "eventfd");
    }

    ~IoUringProactor() override { IoUringProactor::close(); }

    [[nodiscard]] std::string_view name() const noexcept override { return "io_uring"; }

    void submit(Operation& operation) override {
        ++in_flight_;
        operation.pending = 0;
        if (closing_) return finish(operation, -ECANCELED);
        if (provides_buffer(operation)) scratch_.prepare();
        requeue(operation);
    }

    void cancel(Operation& operation) override {
        switch (operation.state) {
            case Operation::State::idle:
            case Operation::State::cancelling:
                return;
            case Operation::State::queued:
                if (&operation == continuing_) {
                    continuing_ = nullptr;
                } else {
                    queued_.remove(operation);
                }
                finish(operation, -ECANCELED);
                break;
            case Operation::State::submitted:
                put_aside(operation);
                ask_to_cancel(operation);
                break;
            case Operation::State::completing:
                break;  // keeps its result; a multishot one delivers it as its last
        }
        operation.state = Operation::State::cancelling;
    }

    [[gnu::hot]] void wait(std::optional<Nanoseconds> timeout) override {
        // Before it blocks: whoever it wakes for wants no more to happen first than has to.
        if (!short_reads_.empty()) look_at_short_reads(1);
        const bool at_once = (timeout && timeout->count() <= 0) || has_more_to_deliver();
        if (ring_ == nullptr || owner_ != this_thread()) [[unlikely]] {
            if (ring_ != nullptr || !at_once || !queued_.empty()) own_ring();
        }
        if (ring_ != nullptr) [[likely]] {
            const bool filled = !has_submissions() || fill_submissions();
            if (at_once || !filled || ring_->available() > 0) [[unlikely]] {
                enter_at_once();
            } else {
                if (!short_reads_.empty() && !pausing_) begin_pause();
                check(ring_->enter(1, timeout));
            }
        }
        deliver();
    }

    [[nodiscard]] bool may_have_completions() const noexcept override {
        if (!queued_.empty() || !cancels_.empty() || has_more_to_deliver()) return true;
        return ring_ != nullptr &&
               (ring_->available() > 0 || ring_->has_deferred() || ring_->unsubmitted() > 0);
    }

    void detach() noexcept override {
        if (ring_ == nullptr || owner_ != this_thread()) return;
        withdraw_all();
    }

    void wake() noexcept override {
        const int saved = errno;  // a signal handler must leave it alone
        const std::uint64_t one = 1;
        // Cannot fail but by overflow of a counter that 2^64 wakes would fill.
        [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
        errno = saved;
    }

    void close() noexcept override {
        closing_ = true;
        if (continuing_ != nullptr && continuing_->state == Operation::State::queued) {
            requeue(*continuing_);
        }
        continuing_ = nullptr;
        readable_.clear();
        while (Operation* operation = queued_.pop_front()) finish(*operation, -ECANCELED);
        // A forked child has a copy of our memory but no say in its parent's ring.
        const bool ours = ring_ != nullptr && process_ == ::getpid();
        if (ours && in_kernel_ > 0) {
            if (owner_ != this_thread()) {
                std::fputs(
                    "asyncio: an io_uring proactor was closed on another thread than ran it, "
                    "with operations in flight and without detach()\n",
                    stderr);
                std::abort();  // the kernel would go on writing into freed buffers
            }
            withdraw_all();
        }
        if (ours) deliver();
        conclude_ready();
        ring_.reset();
        // wake_ stays open as long as we live: another thread may be in wake().
    }

  private:
    // -- The ring -------------------------------------------------------------------------

    [[gnu::noinline]] void own_ring() {
        if (ring_ != nullptr && in_kernel_ > 0) throw_not_detached();
        ring_.reset();
        buffers_.reset();
        ring_ = std::make_unique<Ring>(submission_entries, completion_entries, best_);
        buffers_refused_ = false;
        owner_ = this_thread();
        process_ = ::getpid();
        wake_armed_ = pausing_ = pause_over_ = false;
    }

    [[noreturn]] static void throw_not_detached() {
        throw RuntimeError(
            "the event loop has operations in flight on the thread that ran it before; stop it "
            "there before running it on another thread");
    }

    [[gnu::noinline]] void enter_at_once() {
        if (ring_->unsubmitted() > 0 || ring_->has_deferred()) check(ring_->enter(0, {}));
    }

    // A timer that runs beside whatever comes. A timeout of each wait would have to be set, and
    // taken back, for every message.
    [[gnu::noinline]] void begin_pause() noexcept {
        io_uring_sqe* const entry = next_submission();
        if (entry == nullptr) return;
        io_uring_prep_timeout(entry, const_cast<__kernel_timespec*>(&short_reads_pause), 0, 0);
        entry->user_data = pause_tag;
        pausing_ = true;
        short_reads_.begin_pause();
    }

    [[gnu::noinline]] void end_pause() {
        pausing_ = pause_over_ = false;
        if (short_reads_.quiet()) look_at_short_reads(short_reads_.size());
    }

    static void check(int result) {
        if (result < 0) [[unlikely]]
            look_at_failure(result);
    }

    static void look_at_failure(int result) {
        switch (-result) {
            case ETIME:   // the timeout
            case EINTR:   // a signal
            case EBUSY:   // completions have to be taken before more is submitted
            case EAGAIN:  // short of memory; what was not taken is offered again
            case ENOMEM:
                return;
            case EEXIST:  // the ring is another thread's
                throw_not_detached();
            default:
                throw_os_error(-result, "io_uring_enter");
        }
    }

    // Null when neither ring nor kernel have room for more.
    io_uring_sqe* next_submission() noexcept {
        io_uring_sqe* entry = ring_->next_submission();
        if (entry == nullptr && ring_->submit() > 0) entry = ring_->next_submission();
        return entry;
    }

    [[nodiscard]] bool has_submissions() const noexcept {
        return !wake_armed_ || !queued_.empty() || !cancels_.empty();
    }

    // Whether there was room for everything.
    [[gnu::noinline]] bool fill_submissions() noexcept {
        if (!wake_armed_) {
            io_uring_sqe* const entry = next_submission();
            if (entry == nullptr) return false;
            // Multishot polls report edges. The eventfd is never read, so every wake() is
            // one, and being woken costs no system call.
            io_uring_prep_poll_multishot(entry, wake_.get(), POLLIN);
            entry->user_data = wake_tag;
            wake_armed_ = true;
        }
        while (Operation* operation = queued_.front()) {
            io_uring_sqe* const entry = next_submission();
            if (entry == nullptr) return false;
            queued_.remove(*operation);
            prepare(*entry, *operation);
        }
        while (Operation* operation = cancels_.front()) {
            io_uring_sqe* const entry = next_submission();
            if (entry == nullptr) return false;
            cancels_.remove(*operation);
            submitted_.push_back(*operation);
            operation->pending ^= cancel_queued | cancel_due;
            io_uring_prep_cancel64(entry, token(*operation, own_tag), 0);
            entry->user_data = token(*operation, cancel_tag);
            ++in_kernel_;
        }
        return true;
    }

    void prepare(io_uring_sqe& entry, Operation& operation) noexcept {
        operation.pending &= static_cast<std::uint8_t>(~changing);
        if (provides_buffer(operation) &&
            (operation.hint >= bulk || !receives_natively(operation))) {
            operation.pending |= awaits_ready;
        }
        if (polls_on(operation)) operation.known = is_byte_stream(operation.fd) ? byte_stream : 0;
        describe(entry, operation);
        entry.user_data = token(operation, own_tag);
        operation.state = Operation::State::submitted;
        operation.pending |= own_due;
        submitted_.push_back(operation);
        ++in_kernel_;
    }

    // Whether the kernel itself receives on and on, which came with Linux 6.0. Else it tells
    // of readiness, and we read.
    bool receives_natively(const Operation& operation) noexcept {
        if (operation.kind != Operation::Kind::recv || buffers_refused_) return false;
        if (buffers_ == nullptr && ring_->mode() != IoUringMode::shared) {
            buffers_ = BufferRing::make(ring_->fd(), ring_->mode() == IoUringMode::deferred);
        }
        buffers_refused_ = buffers_ == nullptr;
        return !buffers_refused_;
    }

    // -- Completions ----------------------------------------------------------------------

    // Takes care of what the proactor counts, and of completions of its own: false for them.
    bool is_an_operations(const io_uring_cqe& completion) noexcept {
        const bool more = (completion.flags & IORING_CQE_F_MORE) != 0;
        switch (completion.user_data & tag_mask) {
            case wake_tag:
                wake_armed_ = more;
                return false;
            case pause_tag:
                pause_over_ = true;
                return false;
            case cancel_all_tag:
                --in_kernel_;
                return false;
            default:
                if (!more) --in_kernel_;
                return true;
        }
    }

    // With a thousand connections an operation is in no cache any more when its turn comes.
    static constexpr unsigned fetched_ahead = 3;
    static void fetch(std::uint64_t name) noexcept {
        const std::uint64_t operation = name & ~tag_mask;  // or nothing, which is no harm
        __builtin_prefetch(reinterpret_cast<const void*>(operation));
        __builtin_prefetch(reinterpret_cast<const void*>(operation + sizeof(Operation) - 1));
    }

    // What takes no completion.
    [[nodiscard]] bool has_more_to_deliver() const noexcept {
        return !ready_.empty() || continuing_ != nullptr || !readable_.empty() ||
               next_held_ < held_.size();
    }

    [[gnu::hot]] void deliver() {
        if (!held_.empty()) [[unlikely]]
            deliver_held();
        if (continuing_ != nullptr) [[unlikely]]
            go_on_reading();
        // In turns, as either may use up what is received in one wait().
        readable_first_ = !readable_first_;
        if (readable_first_ && !readable_.empty()) [[unlikely]]
            read_readable();
        take_available();
        if (!readable_first_ && !readable_.empty()) [[unlikely]]
            read_readable();
        received_ = 0;
        if (!ready_.empty()) [[unlikely]]
            conclude_ready();
    }

    [[gnu::noinline]] void deliver_held() {
        while (next_held_ < held_.size()) {
            const std::string data = std::move(held_data_[next_held_]);
            const io_uring_cqe completion = held_[next_held_++];
            dispatch(completion, &data);
        }
        held_.clear();
        held_data_.clear();
        next_held_ = 0;
    }

    [[nodiscard]] bool has_received_enough() const noexcept {
        return (received_ >= receive_budget || continuing_ != nullptr) && !closing_;
    }

    // Those that are there now; more may come while these are served.
    void take_available() {
        for (unsigned count = ring_ != nullptr ? ring_->available() : 0; count > 0; --count) {
            if (has_received_enough()) [[unlikely]]
                break;
            if (count > fetched_ahead) [[unlikely]]
                fetch(ring_->name_of(fetched_ahead));
            const io_uring_cqe completion = ring_->take();
            if (is_plain_receive(completion)) [[likely]] {
                deliver_received(operation_of(completion), completion, nullptr);
            } else if (is_an_operations(completion)) {
                dispatch(completion, nullptr);
            }
        }
        if (pause_over_) [[unlikely]]
            end_pause();
    }

    [[gnu::noinline]] void read_readable() {
        for (std::size_t count = readable_.size(); count > 0; --count) {
            if (has_received_enough() || readable_.empty()) break;
            Operation& operation = *readable_.front();
            readable_.pop_front();
            operation.known &= static_cast<std::uint8_t>(~readable);
            read_when_ready(operation);
        }
    }

    [[gnu::hot, gnu::noinline]] void look_at_short_reads(std::size_t steps) {
        for (; steps > 0; --steps) {
            if (Operation* const reader = short_reads_.next()) read_later(*reader);
        }
    }

    [[gnu::noinline]] void read_later(Operation& operation) {
        if ((operation.known & readable) != 0 || continuing_ == &operation) return;
        operation.known |= readable;
        readable_.push_back(&operation);
    }

    // Usual, and little to do: more of a connection that goes on as it is, nothing to count.
    static bool is_plain_receive(const io_uring_cqe& completion) noexcept {
        constexpr unsigned goes_on = IORING_CQE_F_BUFFER | IORING_CQE_F_MORE;
        return (completion.flags & goes_on) == goes_on && completion.res > 0 &&
               static_cast<std::size_t>(completion.res) < least_bulk;
    }

    // `held` is set for a completion that detach() took: what it brought.
    [[gnu::hot, gnu::noinline]] void dispatch(const io_uring_cqe& completion,
                                              const std::string* held) {
        Operation& operation = operation_of(completion);
        if ((completion.user_data & tag_mask) == cancel_tag) {
            operation.pending &= static_cast<std::uint8_t>(~cancel_due);
            if ((operation.pending & own_due) == 0) conclude(operation);
        } else if (uses_buffer(completion) && completion.res > 0) {
            take_received(operation, completion, held);
        } else if ((completion.flags & IORING_CQE_F_MORE) != 0 && polls_on(operation)) {
            take_readiness(operation, static_cast<std::uint32_t>(completion.res));
        } else if ((completion.flags & IORING_CQE_F_MORE) != 0) {
            take_one_of_many(operation, completion.res);
        } else {
            const bool more_data = (completion.flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
            if (!provides_buffer(operation)) {
                operation.hint = completion.res > 0 && !more_data ? drained : 0;
            }
            if (uses_buffer(completion) && held == nullptr) buffers_->give_back(completion);
            take_last(operation, completion.res, held != nullptr);
        }
    }

    static Operation& operation_of(const io_uring_cqe& completion) noexcept {
        return *std::bit_cast<Operation*>(completion.user_data & ~tag_mask);
    }

    static bool uses_buffer(const io_uring_cqe& completion) noexcept {
        return (completion.flags & IORING_CQE_F_BUFFER) != 0;
    }

    // What a multishot receive brought. The operation goes on; if the kernel has ended it, it
    // is queued again first, so that the callback may cancel it.
    [[gnu::noinline]] void take_received(Operation& operation, const io_uring_cqe& completion,
                                         const std::string* held) {
        bool ended = false;
        if ((completion.flags & IORING_CQE_F_MORE) == 0) {
            ended = end_own(operation);
            if (!ended) requeue(operation);
        }
        const auto size = static_cast<std::size_t>(completion.res);
        if (held == nullptr && size >= least_bulk) read_in_bulk(operation);
        deliver_received(operation, completion, held);
        if (ended && (operation.pending & cancel_due) == 0) conclude(operation);
    }

    // From the next submission on. What the kernel has received until then comes before.
    void read_in_bulk(Operation& operation) noexcept {
        operation.hint = bulk;
        take_back(operation);
    }

    // To go on in another way.
    [[gnu::noinline]] void take_back(Operation& operation) noexcept {
        if (operation.state != Operation::State::submitted) return;
        io_uring_sqe* const entry = next_submission();
        if (entry == nullptr) return;
        // Whether it still finds it does not matter.
        io_uring_prep_cancel64(entry, token(operation, own_tag), 0);
        entry->user_data = cancel_all_tag;
        ++in_kernel_;
        operation.pending |= changing;
    }

    // Its entry is gone. True when that was its end, cancelled.
    bool end_own(Operation& operation) noexcept {
        drop_own(operation);
        if (operation.state != Operation::State::cancelling && !closing_) return false;
        settle(operation, -ECANCELED);
        return true;
    }

    void deliver_received(Operation& operation, const io_uring_cqe& completion,
                          const std::string* held) {
        struct GiveBack {
            BufferRing* buffers;
            const io_uring_cqe& completion;
            ~GiveBack() {
                if (buffers != nullptr) buffers->give_back(completion);
            }
        };
        const GiveBack give_back{held != nullptr ? nullptr : buffers_.get(), completion};
        const std::string_view data =
            held != nullptr ? std::string_view(*held) : buffers_->data(completion);
        const ProvidedBuffer buffer(operation, const_cast<char*>(data.data()));
        received_ += static_cast<std::size_t>(completion.res);
        operation.complete(operation, completion.res, true);
    }

    // The last piece of a large message is small as well.
    void note_bulk(Operation& operation, int received) noexcept {
        if (static_cast<std::size_t>(received) >= small_read) {
            operation.hint = bulk;
        } else if (++operation.hint == bulk + small_reads_to_end_bulk) {
            operation.hint = 0;
            take_back(operation);
        }
    }

    // Its poll tells of readiness, and the reading is ours.
    void take_readiness(Operation& operation, std::uint32_t mask) {
        if ((mask & (POLLRDHUP | POLLHUP | POLLERR)) != 0) operation.known |= ended;
        const bool over = operation.state == Operation::State::cancelling || closing_ ||
                          (operation.pending & settled) != 0;
        if (!over && (operation.known & readable) == 0 && continuing_ != &operation) {
            read_when_ready(operation);
        }
    }

    // Whether the edge that told of it is used up only by reading on.
    static bool may_have_more(const Operation& operation,
                              const ReadScratch::Attempt& read) noexcept {
        if (read.result == not_yet) return false;
        return (operation.known & byte_stream) == 0 || (operation.known & ended) != 0 ||
               read.filled();
    }

    // One with a large message has the first turn, without asking for readiness again.
    void go_on_reading() { read_when_ready(*std::exchange(continuing_, nullptr)); }

    [[gnu::hot, gnu::noinline]] void read_when_ready(Operation& operation) {
        const ReadScratch::Attempt read = scratch_.attempt(operation);
        if (read.result <= 0 && read.result != not_yet) [[unlikely]]
            return end_reading(operation, read.result);
        if (read.result > 0 && operation.hint >= bulk) note_bulk(operation, read.result);
        if (continuing_ == nullptr && streak_.goes_on(read)) {
            continuing_ = &operation;
            if (!polls_on(operation)) operation.state = Operation::State::queued;
        } else if (!polls_on(operation)) {
            requeue(operation);
        } else if (may_have_more(operation, read)) {
            read_later(operation);
        } else if (read.result > 0) {
            short_reads_.add(operation);
        }
        if (read.result > 0) {
            received_ += static_cast<std::size_t>(read.result);
            ReadScratch::deliver(operation, read);
        }
    }

    [[gnu::noinline]] void end_reading(Operation& operation, int result) {
        put_aside(operation);
        settle(operation, result);
        if ((operation.pending & (own_due | cancel_due)) == 0) {
            conclude(operation);
        } else {
            ask_to_cancel(operation);  // the poll, which would go on
        }
    }

    // It is not to be read from again before its poll says so.
    void put_aside(Operation& operation) noexcept {
        if (continuing_ == &operation) continuing_ = nullptr;
        short_reads_.remove(operation);
        if ((operation.known & readable) == 0) return;
        operation.known &= static_cast<std::uint8_t>(~readable);
        const auto place = std::ranges::find(readable_, &operation);
        if (place != readable_.end()) readable_.erase(place);
    }

    [[gnu::noinline]] void take_one_of_many(Operation& operation, int result) {
        if (operation.kind == Operation::Kind::accept) {
            operation.complete(operation, result, true);
        } else if ((operation.pending & settled) == 0 && relevant(operation, result) != 0) {
            // What a one-shot poll waited for. Take its multishot stand-in back.
            settle(operation, static_cast<int>(relevant(operation, result)));
            if (operation.state != Operation::State::cancelling) ask_to_cancel(operation);
        }
    }

    void drop_own(Operation& operation) noexcept {
        operation.pending &= static_cast<std::uint8_t>(~own_due);
        const bool to_cancel = (operation.pending & cancel_queued) != 0;
        (to_cancel ? cancels_ : submitted_).remove(operation);
        operation.pending &= static_cast<std::uint8_t>(~cancel_queued);
    }

    [[gnu::noinline]] void take_last(Operation& operation, int result, bool withdrawn) {
        drop_own(operation);
        if ((operation.pending & settled) == 0) {
            const bool may_go_on = operation.state != Operation::State::cancelling && !closing_;
            const bool ready = (operation.pending & awaits_ready) != 0 && result >= 0;
            const bool polled = polls_on(operation);
            if (polled) {
                put_aside(operation);
                if (may_go_on && ready) return begin_anew(operation);
            } else if (may_go_on && ready && provides_buffer(operation)) {
                return read_when_ready(operation);
            }
            if (may_go_on && goes_on(operation, result, withdrawn)) {
                if (result == -ENOBUFS) wait_for_no_buffer(operation);
                return polled ? begin_anew(operation) : requeue(operation);
            }
            settle(operation, last_result(operation, result, may_go_on));
        }
        if ((operation.pending & cancel_due) == 0) conclude(operation);
    }

    // Its poll is gone. Whether it waits by another one is for prepare() to say.
    void begin_anew(Operation& operation) noexcept {
        operation.pending &= static_cast<std::uint8_t>(~awaits_ready);
        requeue(operation);
    }

    // The next readings are by us. A thousand who ask the kernel once more find one another
    // there, a few of them at a time succeed, and some never.
    void wait_for_no_buffer(Operation& operation) noexcept {
        buffers_->grow();
        operation.hint = bulk;
    }

    // Whether that was not the operation's end but a step of it.
    static bool goes_on(Operation& operation, int result, bool withdrawn) noexcept {
        const bool taken_back = withdrawn || (operation.pending & changing) != 0;
        if (taken_back && result == -ECANCELED) return true;
        if ((operation.pending & awaits_ready) != 0) {
            if (result < 0) return false;
            operation.pending ^= awaits_ready;
            return true;
        }
        switch (operation.kind) {
            case Operation::Kind::poll:
                if (result < 0 || relevant(operation, result) != 0) return false;
                // Only POLLRDHUP, which nobody asked for. Polling again would report it
                // again at once; a multishot poll stays and reports the next change.
                operation.pending |= waits_for_edge;
                return true;
            case Operation::Kind::nop:
            case Operation::Kind::connect:
            case Operation::Kind::close:
                return false;
            default:
                // The kernel has nowhere to put what it received; nothing of it is lost.
                if (result == -ENOBUFS && provides_buffer(operation)) return true;
                // A non-blocking descriptor the kernel will not wait for by itself.
                if (result != -EAGAIN) return false;
                operation.pending |= awaits_ready;
                return true;
        }
    }

    static int last_result(const Operation& operation, int result, bool may_go_on) noexcept {
        if ((operation.pending & awaits_ready) != 0) return result < 0 ? result : -ECANCELED;
        if (operation.kind == Operation::Kind::poll && result >= 0) {
            const std::uint32_t mask = relevant(operation, result);
            return mask != 0 ? static_cast<int>(mask) : -ECANCELED;
        }
        // A worker thread of the kernel that was interrupted says so. A receive that found no
        // buffer would have gone on.
        const bool stopped = result == -EAGAIN || result == -EINTR ||
                             (result == -ENOBUFS && provides_buffer(operation));
        return stopped && !may_go_on ? -ECANCELED : result;
    }

    static void settle(Operation& operation, int result) noexcept {
        operation.pending |= settled;
        operation.result = result;
    }

    [[gnu::noinline]] void conclude_ready() {
        while (Operation* operation = ready_.pop_front()) conclude(*operation);
    }

    [[gnu::noinline]] void conclude(Operation& operation) {
        const int result = operation.result;
        if (repeats(operation) && !provides_buffer(operation) && result >= 0 && !closing_ &&
            operation.state != Operation::State::cancelling) {
            operation.pending = 0;
            requeue(operation);  // first, so that the callback may cancel it
            operation.complete(operation, result, true);
            return;
        }
        operation.state = Operation::State::idle;
        --in_flight_;
        operation.complete(operation, result, false);
    }

    // -- Operations -----------------------------------------------------------------------

    [[gnu::noinline]] void requeue(Operation& operation) noexcept {
        operation.state = Operation::State::queued;
        queued_.push_back(operation);
    }

    void finish(Operation& operation, int result) noexcept {
        operation.state = Operation::State::completing;
        operation.result = result;
        ready_.push_back(operation);
    }

    void ask_to_cancel(Operation& operation) noexcept {
        if ((operation.pending & (cancel_queued | cancel_due)) != 0) return;
        operation.pending |= cancel_queued;
        submitted_.remove(operation);
        cancels_.push_back(operation);
    }

    // Takes everything out of the kernel. Completions are held until the next wait(), where
    // operations that nobody asked to cancel are queued again.
    void withdraw_all() noexcept {
        // Each by name and the last one first: so the kernel finds it at once. Asked for all of
        // them, it looks for the next one among those that it has found before.
        for (const OperationList* list : {&submitted_, &cancels_}) {
            for (Operation* one = list->back(); one != nullptr; one = one->previous) {
                withdraw(token(*one, own_tag), 0);
            }
        }
        bool missed = false;
        while (in_kernel_ > 0) {
            if (missed) withdraw(0, IORING_ASYNC_CANCEL_ANY);
            // An operation on its way from readiness to its work is missed by the request:
            // ask again when nothing has come for a while.
            const int result = ring_->enter(1, std::chrono::milliseconds(10));
            missed = result == -ETIME || (result < 0 && ring_->available() == 0);
            hold_available();
        }
    }

    // Does nothing when there is no room, even with all completions taken.
    void withdraw(std::uint64_t name, int flags) noexcept {
        io_uring_sqe* entry = ring_->next_submission();
        if (entry == nullptr) {
            ring_->enter(0, {});
            hold_available();
            entry = ring_->next_submission();
        }
        if (entry == nullptr) return;
        io_uring_prep_cancel64(entry, name, flags);
        entry->user_data = cancel_all_tag;
        ++in_kernel_;
    }

    void hold_available() {
        while (ring_->available() > 0) {
            const io_uring_cqe completion = ring_->take();
            if (is_an_operations(completion)) hold(completion);
        }
    }

    void hold(const io_uring_cqe& completion) {
        std::string data;
        if (uses_buffer(completion)) {
            if (completion.res > 0) data = buffers_->data(completion);
            buffers_->give_back(completion);
        }
        held_.push_back(completion);
        held_data_.push_back(std::move(data));
    }

    const IoUringMode best_;
    Descriptor wake_;
    bool wake_armed_ = false;
    bool closing_ = false;
    bool readable_first_ = false;
    bool pausing_ = false;     // the timer of short_reads_ is in the kernel
    bool pause_over_ = false;  // or was until a moment ago
    bool buffers_refused_ = false;
    std::unique_ptr<Ring> ring_;
    std::uint64_t owner_ = 0;              // the thread whose ring it is
    std::unique_ptr<BufferRing> buffers_;  // of ring_; made when first needed
    std::size_t received_ = 0;             // in this wait()
    Operation* continuing_ = nullptr;      // with a large message
    std::size_t in_kernel_ = 0;  // entries without their last completion, but for the wake's
    OperationList queued_;       // not yet entries
    OperationList submitted_;    // in the kernel
    OperationList cancels_;      // in the kernel, to be cancelled
    OperationList ready_;        // with a result to deliver
    ReadScratch scratch_;
    ReadStreak streak_;
    std::deque<Operation*> readable_;  // what their polls told of is not used up
    ShortReads short_reads_;
    std::vector<io_uring_cqe> held_;      // taken by detach()
    std::vector<std::string> held_data_;  // what they brought
    std::size_t next_held_ = 0;
    pid_t process_ = 0;  // whose ring it is
};

}  // namespace

std::unique_ptr<Proactor> make_io_uring_proactor(IoUringMode best) {
    return std::make_unique<IoUringProactor>(best);
}

}  // namespace asyncio::detail

#else

namespace asyncio::detail {

std::unique_ptr<Proactor> make_io_uring_proactor(IoUringMode) {
    throw NotImplementedError(std::string(probe_io_uring().why_not));
}

}  // namespace asyncio::detail

#endif
