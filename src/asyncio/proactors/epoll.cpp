// The proactor over epoll: readiness, and the operations carried out when it comes.
//
// An operation that moves data is attempted first, from wait(), and only waits for
// readiness when the descriptor would block. Waiting operations hang on their descriptor's
// Watch, and each watched descriptor has one registration with the union of their events:
//
//   EPOLLONESHOT  while all of them complete once: the kernel disarms the registration
//                 when it reports, so a descriptor nobody waits for costs nothing.
//   level         while a multishot one is among them: no system call between reports.
//   EPOLLET       while all are of a descriptor we are told we own: the registration stays,
//                 and the watch remembers what it reported. No system call at all, neither
//                 to wait anew nor to try what is known to be in vain.
//
// A descriptor we do not own may be closed and its number reused between two operations
// without anybody telling us. So its registration is trusted only while an operation hangs on it
// without a break; the first operation after a break goes through epoll_ctl, which answers ENOENT
// if the number means another file now.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <asyncio/exceptions.hpp>
#include <atomic>
#include <cerrno>
#include <climits>
#include <ctime>
#include <new>
#include <utility>
#include <vector>

#include "attempt.hpp"
#include "descriptor.hpp"
#include "operation_list.hpp"
#include "proactor.hpp"

namespace asyncio::detail {

namespace {

static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR &&
              EPOLLHUP == POLLHUP && EPOLLPRI == POLLPRI && EPOLLRDHUP == POLLRDHUP);

// In Operation::pending: linked to its watch since the last epoll_ctl for it.
constexpr std::uint8_t fresh = 1;

constexpr std::uint64_t wake_token = UINT64_MAX;

// How many connections one accept takes in one wait().
constexpr int accept_burst = 64;

// How many times in a row wait() does not ask the kernel because of large messages.
constexpr unsigned longest_unasked = 16;

struct Watch {
    OperationList waiting;
    std::uint32_t armed = 0;       // the mask the kernel reports, 0 for none
    std::uint32_t generation = 0;  // tells reports of an earlier file of this number apart
    bool known = false;            // the epoll set had this number when we last looked
    bool dirty = false;            // is in dirty_
    bool doubtful = false;         // nothing hung on it for a moment: it may mean another file
    // Of an owned descriptor, whose registration is edge triggered and stays:
    bool kept = false;
    bool ended = false;       // it reported a hang-up: every attempt gets an answer
    bool stream = false;      // less than was asked for means that there is no more
    std::uint32_t ready = 0;  // what `armed` reported and no attempt disproved
};

constexpr std::uint32_t directions = EPOLLIN | EPOLLOUT;

// A registration for polls or for many connections is not worth keeping.
[[nodiscard]] bool keeps(const Operation& operation) noexcept {
    return operation.owned && (provides_buffer(operation) ||
                               (operation.kind != Operation::Kind::poll && !repeats(operation)));
}

// The result of an operation that is to read when its turn to be delivered comes: they all
// read into the same memory.
constexpr int to_be_read = INT_MAX;

class EpollProactor final : public Proactor {
  public:
    EpollProactor() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
        if (!epoll_) throw_os_error(errno, "epoll_create1");
        wake_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (!wake_) throw_os_error(errno, "eventfd");
        // Edge triggered and never read: every write is an edge, so waking costs the woken
        // thread no system call of its own.
        epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.u64 = wake_token}};
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
            throw_os_error(errno, "epoll_ctl");
        }
    }

    ~EpollProactor() override { EpollProactor::close(); }

    [[nodiscard]] std::string_view name() const noexcept override { return "epoll"; }

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
            case Operation::State::completing:
                // Keeps its result; a multishot one delivers it as its last.
                operation.state = Operation::State::cancelling;
                if (repeats(operation)) disarm_if_unused(operation.fd);
                return;
            case Operation::State::queued:
                queued_.remove(operation);
                break;
            case Operation::State::submitted:
                unlink(operation);
                disarm_if_unused(operation.fd);
                break;
        }
        finish(operation, -ECANCELED);
        operation.state = Operation::State::cancelling;
    }

    [[gnu::hot]] void wait(std::optional<Nanoseconds> timeout) override {
        if (!queued_.empty()) start_queued();
        if (!dirty_.empty()) arm_dirty();
        if (!ready_.empty()) timeout = Nanoseconds::zero();
        const bool may_block = !timeout || timeout->count() > 0;
        // One that goes on with a large message is not kept waiting for news of others. But
        // where hundreds do, one after the other, the news is not kept waiting for them all.
        const bool skip = std::exchange(continuing_, false) && ++unasked_ < longest_unasked;
        if (!skip && (may_block || waiting_ > 0)) {
            unasked_ = 0;
            poll_kernel(timeout);
        }
        deliver();
    }

    [[nodiscard]] bool may_have_completions() const noexcept override { return in_flight_ > 0; }

    void wake() noexcept override {
        const int saved = errno;  // a signal handler must leave it alone
        const std::uint64_t one = 1;
        // Cannot fail but by overflow of a counter that 2^64 wakes would fill.
        [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
        errno = saved;
    }

    void close() noexcept override {
        closing_ = true;
        while (Operation* operation = queued_.pop_front()) finish(*operation, -ECANCELED);
        for (Watch& watch : watches_) fail_waiting(watch, -ECANCELED);
        deliver();
        epoll_.reset();
        // wake_ stays open as long as we live: another thread may be in wake().
    }

  private:
    // -- Starting an operation ------------------------------------------------------------

    void requeue(Operation& operation) noexcept {
        operation.state = Operation::State::queued;
        queued_.push_back(operation);
    }

    [[gnu::noinline]] void start_queued() noexcept {
        while (Operation* operation = queued_.pop_front()) start(*operation);
    }

    void start(Operation& operation) noexcept {
        if (operation.kind == Operation::Kind::nop) {
            finish(operation, 0);
        } else if (operation.kind == Operation::Kind::close) {
            forget(operation.fd);
            finish(operation, ::close(operation.fd) == 0 ? 0 : -errno);
        } else if (operation.kind == Operation::Kind::poll || is_in_vain(operation)) {
            start_waiting(operation);
        } else if (provides_buffer(operation)) {
            // The registration of a new descriptor tells at once if there is anything.
            if (has_watch(operation.fd) && watch_of(operation.fd).kept) {
                finish(operation, to_be_read);
            } else {
                start_waiting(operation);
            }
        } else if (const int result = attempt(operation, false); result != not_yet) {
            learn(operation, operation.size, result);
            finish(operation, result);
        } else {
            learn(operation, operation.size, result);
            start_waiting(operation);
        }
    }

    // Whether it is known that the descriptor would block.
    [[nodiscard]] bool is_in_vain(const Operation& operation) noexcept {
        if (!has_watch(operation.fd) || !keeps(operation)) return false;
        const Watch& watch = watch_of(operation.fd);
        const std::uint32_t direction = interest(operation);
        return watch.kept && (watch.armed & direction) != 0 && (watch.ready & direction) == 0;
    }

    // What the result of an attempt says about the next one. Whatever happens after the
    // attempt is a new edge, so it cannot be missed by remembering too little.
    // `size` is what was asked for.
    void learn(const Operation& operation, std::size_t size, int result) noexcept {
        if (!has_watch(operation.fd)) return;
        Watch& watch = watch_of(operation.fd);
        const bool less =
            watch.stream && !watch.ended && operation.flags == 0 && result >= 0 &&
            static_cast<std::size_t>(result) < size &&
            (operation.kind == Operation::Kind::recv || operation.kind == Operation::Kind::send);
        if (result == not_yet || less) watch.ready &= ~interest(operation);
    }

    void start_waiting(Operation& operation) noexcept {
        const int error = has_watch(operation.fd) ? 0 : make_watch(operation.fd);
        if (error != 0) [[unlikely]]
            return finish(operation, error);
        link(operation);
    }

    [[gnu::noinline]] int make_watch(int fd) noexcept {
        // Ask before growing the table for a number that may be nonsense.
        if (::fcntl(fd, F_GETFD) < 0) return -errno;
        const auto index = static_cast<std::size_t>(fd);
        try {
            watches_.resize(std::max(index + 1, watches_.size() * 2));
            dirty_.reserve(watches_.size());
        } catch (const std::bad_alloc&) {
            return -ENOMEM;
        }
        return 0;
    }

    // -- Watches --------------------------------------------------------------------------

    [[nodiscard]] bool has_watch(int fd) const noexcept {
        return fd >= 0 && static_cast<std::size_t>(fd) < watches_.size();
    }

    [[nodiscard]] Watch& watch_of(int fd) noexcept {
        return watches_[static_cast<std::size_t>(fd)];
    }

    [[gnu::noinline]] void mark_dirty(int fd) noexcept {
        Watch& watch = watch_of(fd);
        if (watch.dirty) return;
        watch.dirty = true;
        dirty_.push_back(fd);  // within what make_watch() reserved
    }

    void link(Operation& operation) noexcept {
        watch_of(operation.fd).waiting.push_back(operation);
        operation.state = Operation::State::submitted;
        operation.pending = fresh;
        ++waiting_;
        if (!is_in_vain(operation)) mark_dirty(operation.fd);
    }

    void unlink(Operation& operation) noexcept {
        watch_of(operation.fd).waiting.remove(operation);
        --waiting_;
    }

    void finish(Operation& operation, int result) noexcept {
        operation.state = Operation::State::completing;
        operation.result = result;
        ready_.push_back(operation);
    }

    void finish_first(Operation& operation, int result) noexcept {
        operation.state = Operation::State::completing;
        operation.result = result;
        ready_.push_front(operation);
    }

    void finish_waiting(Operation& operation, int result) noexcept {
        unlink(operation);
        finish(operation, result);
    }

    void fail_waiting(Watch& watch, int error) noexcept {
        while (Operation* operation = watch.waiting.front()) finish_waiting(*operation, error);
    }

    // Those that hung on the number when it meant another file.
    void fail_stale(Watch& watch) noexcept {
        for (Operation* operation = watch.waiting.front(); operation != nullptr;) {
            Operation* const next = operation->next;
            if (operation->pending != fresh) finish_waiting(*operation, -EBADF);
            operation = next;
        }
    }

    // -- Registrations --------------------------------------------------------------------

    void remove_registration(Watch& watch, int fd) noexcept {
        // Fails when the descriptor was closed already, which comes to the same.
        if (watch.known) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
        clear_registration(watch);
    }

    static void clear_registration(Watch& watch) noexcept {
        watch.known = false;
        watch.doubtful = false;
        watch.armed = 0;
        watch.kept = false;
        watch.ended = false;
        watch.ready = 0;
    }

    // At once and not with the next wait(): the caller of cancel() may close the descriptor,
    // and if a child process holds it too, the registration would outlive it out of reach.
    void disarm_if_unused(int fd) noexcept {
        if (!has_watch(fd)) return;
        Watch& watch = watch_of(fd);
        if (watch.kept) return;
        if (!watch.waiting.empty()) {
            mark_dirty(fd);
        } else if (watch.armed != 0) {
            remove_registration(watch, fd);
        }
    }

    void forget(int fd) noexcept override {
        if (!has_watch(fd)) return;
        Watch& watch = watch_of(fd);
        fail_waiting(watch, -EBADF);
        remove_registration(watch, fd);
    }

    [[gnu::noinline]] void arm_dirty() noexcept {
        for (const int fd : dirty_) {
            Watch& watch = watch_of(fd);
            watch.dirty = false;
            if (!watch.waiting.empty()) {
                arm(watch, fd);
            } else if (watch.armed != 0 && !watch.kept) {
                remove_registration(watch, fd);
            }
        }
        dirty_.clear();
    }

    [[nodiscard]] static std::uint32_t wanted(const Watch& watch) noexcept {
        std::uint32_t events = 0;
        bool once = true;
        bool keep = true;
        for (const Operation* operation = watch.waiting.front(); operation != nullptr;
             operation = operation->next) {
            events |= interest(*operation);
            once = once && !repeats(*operation);
            keep = keep && keeps(*operation);
        }
        if (keep) {
            const std::uint32_t before = watch.kept ? watch.armed & directions : 0U;
            return events | before | EPOLLRDHUP | EPOLLPRI | EPOLLERR |
                   static_cast<std::uint32_t>(EPOLLET);
        }
        // POLLERR is always reported; naming it keeps the mask from being 0, "not armed".
        return events | EPOLLERR | (once ? static_cast<std::uint32_t>(EPOLLONESHOT) : 0U);
    }

    void arm(Watch& watch, int fd) noexcept {
        std::uint32_t mask = wanted(watch);
        if (watch.armed == mask && !watch.doubtful) return trust(watch);
        int error = control(watch, fd, mask);
        if (error == ENOENT) {  // the number was reused
            clear_registration(watch);
            fail_stale(watch);
            if (watch.waiting.empty()) return;
            mask = wanted(watch);
            error = control(watch, fd, mask);
        }
        if (error == 0) {
            watch.armed = mask;
            keep(watch, fd, (mask & EPOLLET) != 0);
            return trust(watch);
        }
        clear_registration(watch);
        if (error == EPERM) {  // a file that is always ready
            fail_stale(watch);
            while (Operation* operation = watch.waiting.front()) {
                finish_waiting(*operation, perform(*operation));
            }
        } else {
            fail_waiting(watch, -error);
        }
    }

    static void keep(Watch& watch, int fd, bool kept) noexcept {
        if (kept && !watch.kept) {
            int type = 0;
            socklen_t size = sizeof type;
            watch.stream =
                ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
            watch.ended = false;
            watch.ready = 0;  // what there is will be reported
        }
        watch.kept = kept;
    }

    static void trust(Watch& watch) noexcept {
        for (Operation* operation = watch.waiting.front(); operation != nullptr;
             operation = operation->next) {
            operation->pending = 0;
        }
    }

    // An errno, or 0.
    int control(Watch& watch, int fd, std::uint32_t mask) noexcept {
        if (!watch.known) ++watch.generation;
        epoll_event event{
            .events = mask,
            .data = {.u64 = std::uint64_t{watch.generation} << 32 | static_cast<unsigned>(fd)}};
        const int call = watch.known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
        if (::epoll_ctl(epoll_.get(), call, fd, &event) != 0) return errno;
        watch.known = true;
        watch.doubtful = false;
        return 0;
    }

    // -- Events ---------------------------------------------------------------------------

    void poll_kernel(std::optional<Nanoseconds> timeout) {
        std::array<epoll_event, 256> events;
        const int count = call_epoll(events.data(), static_cast<int>(events.size()), timeout);
        if (count < 0) [[unlikely]] {
            if (errno == EINTR) return;
            throw_os_error(errno, "epoll_wait");
        }
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            if (event.data.u64 != wake_token) take_event(event.data.u64, event.events);
        }
    }

    int call_epoll(epoll_event* events, int size, std::optional<Nanoseconds> timeout) noexcept {
        if (!timeout) return ::epoll_wait(epoll_.get(), events, size, -1);
        if (timeout->count() <= 0) return ::epoll_wait(epoll_.get(), events, size, 0);
        return call_epoll_until(events, size, *timeout);
    }

    [[gnu::noinline]] int call_epoll_until(epoll_event* events, int size,
                                           Nanoseconds timeout) noexcept {
#ifdef SYS_epoll_pwait2
        // Linux 5.11. A sandbox older than that may answer EPERM.
        static std::atomic<bool> has_nanoseconds = true;
        if (has_nanoseconds.load(std::memory_order_relaxed)) {
            const timespec limit{.tv_sec = timeout.count() / 1'000'000'000,
                                 .tv_nsec = timeout.count() % 1'000'000'000};
            const auto count = static_cast<int>(
                ::syscall(SYS_epoll_pwait2, epoll_.get(), events, size, &limit, nullptr, 0));
            if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
            has_nanoseconds.store(false, std::memory_order_relaxed);
        }
#endif
        const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
        return ::epoll_wait(epoll_.get(), events, size,
                            static_cast<int>(std::min<std::int64_t>(milliseconds, INT_MAX)));
    }

    void take_event(std::uint64_t token, std::uint32_t mask) noexcept {
        const int fd = static_cast<int>(token & UINT32_MAX);
        Watch& watch = watch_of(fd);
        if (watch.generation != token >> 32) return;  // of an earlier file of this number
        if (watch.kept) [[likely]] {
            note_edges(watch, mask);
        } else {
            if ((watch.armed & EPOLLONESHOT) != 0) watch.armed = 0;
            mark_dirty(fd);
        }
        bool output_wanted = false;
        for (Operation* operation = watch.waiting.front(); operation != nullptr;) {
            Operation* const next = operation->next;
            const std::uint32_t wanted = interest(*operation);
            const std::uint32_t relevant = mask & (wanted | std::uint32_t{EPOLLERR | EPOLLHUP});
            output_wanted = output_wanted || (wanted & EPOLLOUT) != 0;
            if (relevant != 0) {
                const int result = answer(*operation, relevant);
                if (result != not_yet) finish_waiting(*operation, result);
            }
            operation = next;
        }
        // A Unix socket reports room whenever its peer reads. Not when nobody writes.
        if ((mask & directions) == EPOLLOUT && watch.kept && !output_wanted) [[unlikely]]
            report_no_room(watch, fd);
    }

    [[gnu::noinline]] void report_no_room(Watch& watch, int fd) noexcept {
        const std::uint32_t rest = watch.armed & ~std::uint32_t{EPOLLOUT};
        if (control(watch, fd, rest) == 0) watch.armed = rest;
    }

    // What readiness comes to.
    int answer(const Operation& operation, std::uint32_t relevant) noexcept {
        if (provides_buffer(operation)) [[likely]]
            return to_be_read;
        return answer_at_once(operation, relevant);
    }

    [[gnu::noinline]] int answer_at_once(const Operation& operation,
                                         std::uint32_t relevant) noexcept {
        if (operation.kind == Operation::Kind::poll) return static_cast<int>(relevant);
        const int result = attempt(operation, true);
        learn(operation, operation.size, result);
        return result;
    }

    static void note_edges(Watch& watch, std::uint32_t mask) noexcept {
        watch.ready |= mask & directions;
        if ((mask & EPOLLRDHUP) != 0) watch.ready |= EPOLLIN;
        if ((mask & (EPOLLERR | EPOLLHUP)) != 0) watch.ready |= directions;
        if ((mask & (EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) watch.ended = true;
        // A read stops short where urgent data was, with more behind it.
        if ((mask & EPOLLPRI) != 0) watch.stream = false;
    }

    // -- Delivery -------------------------------------------------------------------------

    [[gnu::hot]] void deliver() {
        int burst = accept_burst;
        std::size_t received = 0;
        while (Operation* operation = ready_.pop_front()) {
            if (operation->result == to_be_read) [[likely]] {
                received += read_and_deliver(*operation);
                if ((received >= receive_budget || continuing_) && !closing_) [[unlikely]]
                    return;
            } else {
                deliver_result(*operation, burst);
            }
        }
    }

    [[gnu::noinline]] void read_on(Operation& operation, bool at_once) noexcept {
        continuing_ = at_once;
        at_once ? finish_first(operation, to_be_read) : requeue(operation);
    }

    [[gnu::noinline]] void deliver_result(Operation& operation, int& burst) {
        const int result = operation.result;
        if (repeats(operation) && result >= 0 && !closing_ &&
            operation.state == Operation::State::completing) {
            deliver_one_of_many(operation, result, burst);
        } else {
            deliver_last(operation, result);
        }
    }

    [[gnu::noinline]] void deliver_last(Operation& operation, int result) {
        operation.state = Operation::State::idle;
        --in_flight_;
        if (!operation.owned && has_watch(operation.fd)) {
            Watch& watch = watch_of(operation.fd);
            watch.doubtful = watch.doubtful || watch.waiting.empty();
        }
        operation.complete(operation, result, false);
    }

    // How many bytes it was.
    std::size_t read_and_deliver(Operation& operation) {
        if (closing_ || operation.state == Operation::State::cancelling) [[unlikely]] {
            deliver_last(operation, -ECANCELED);
            return 0;
        }
        const ReadScratch::Attempt read = scratch_.attempt(operation);
        learn(operation, read.memory.size(), read.result);
        const bool goes_on = streak_.goes_on(read);
        if (read.result == not_yet) [[unlikely]] {
            start_waiting(operation);
            return 0;
        }
        if (read.result <= 0) [[unlikely]] {
            deliver_last(operation, read.result);
            return 0;
        }
        // Back among the waiting first, so that the callback may cancel it. If there is more
        // to read, it is for the next wait().
        if (watch_of(operation.fd).kept && !is_in_vain(operation)) {
            read_on(operation, goes_on);
        } else {
            start_waiting(operation);
        }
        ReadScratch::deliver(operation, read);
        return static_cast<std::size_t>(read.result);
    }

    void deliver_one_of_many(Operation& operation, int result, int& burst) {
        // Back among the waiting first, so that the callback may cancel it.
        start_waiting(operation);
        operation.complete(operation, result, true);
        if (operation.kind == Operation::Kind::accept &&
            operation.state == Operation::State::submitted && --burst > 0) {
            const int another = attempt(operation, false);
            if (another != not_yet) finish_waiting(operation, another);
        }
    }

    Descriptor epoll_;
    Descriptor wake_;
    std::vector<Watch> watches_;  // by descriptor
    std::vector<int> dirty_;      // whose registration may have to change
    OperationList queued_;
    OperationList ready_;
    ReadScratch scratch_;
    ReadStreak streak_;
    unsigned unasked_ = 0;     // times that the kernel was not asked, in a row
    bool continuing_ = false;  // the first of ready_ does so with the next wait()
    std::size_t waiting_ = 0;  // on watches
    bool closing_ = false;
};

}  // namespace

std::unique_ptr<Proactor> make_epoll_proactor() {
    return std::make_unique<EpollProactor>();
}

}  // namespace asyncio::detail
