#include <asyncio/streams.hpp>

#include <algorithm>
#include <cstring>

#include <asyncio/events.hpp>

#include "loop_state.hpp"

namespace asyncio {

namespace detail {

namespace {

// A buffer that once was large is not kept for an idle connection.
constexpr std::size_t kept_capacity = 256;
// For read_view().
constexpr std::size_t least_kept_in_block = 4096;

std::exception_ptr overrun(const char* message, std::size_t consumed) {
    return std::make_exception_ptr(LimitOverrunError(message, consumed));
}

constexpr const char* found_too_late = "Separator is found, but chunk is longer than limit";
constexpr const char* not_found_yet = "Separator is not found, and chunk exceed the limit";

// A read that is woken by its end, not by data.
struct Found {
    std::size_t end = std::string_view::npos;  // behind the separator
    std::size_t begin = 0;                     // the separator
};

}  // namespace

// ---- one who reads ------------------------------------------------------------------------

[[gnu::hot]] bool ReadWaiter::await_ready() {
    ReaderState& reader = *reader_;
    reader.end_view();
    if (reader.has_nothing() && !asks_for_none_) [[likely]]
        return false;
    return finds_some(reader);
}

[[gnu::noinline]] bool ReadWaiter::finds_some(ReaderState& reader) {
    if (reader.exception_) {
        error_ = reader.exception_;
        return true;
    }
    return advance(reader);
}

void ReadWaiter::refuse(const char* why) const {
    throw RuntimeError(std::string(name_) + why);
}

[[gnu::hot]] void ReadWaiter::suspend(FrameLink frame) {
    TaskBase& task = require_current_task("reading from a stream");
    ReaderState& reader = *reader_;
    if (reader.waiter_ != nullptr) [[unlikely]]
        refuse("() called while another coroutine is already waiting for incoming data");
    if (&task.loop() != &reader.loop()) [[unlikely]]
        refuse("() called on a stream of another event loop; each loop needs its own");
    // What is read may need more than the buffer holds before it pauses.
    if (reader.paused_) [[unlikely]] {
        reader.paused_ = false;
        reader.transport_->resume_reading();
    }
    task_ = &task;
    phase_ = Phase::waiting;
    reader.waiter_ = this;
    task.suspend(frame, this);
    if (task.must_cancel()) [[unlikely]]
        task.hand_on_cancel();
}

bool ReadWaiter::request_cancel(const CancelMessage& message) {
    if (phase_ != Phase::waiting) return false;
    if (message) message_ = new CancelMessage(message);
    reader_->waiter_ = nullptr;
    phase_ = Phase::cancelled;
    task_->wake();
    return true;
}

void ReadWaiter::leave() noexcept {
    if (phase_ == Phase::waiting) reader_->waiter_ = nullptr;
    if (phase_ == Phase::woken) let_go();
    delete message_;
}

void ReadWaiter::take_more(std::string_view&) {}

void ReadWaiter::fail() {
    const bool cancelled = phase_ == Phase::cancelled;
    phase_ = Phase::idle;
    if (cancelled || (task_ != nullptr && task_->must_cancel())) {
        put_back(*reader_);
        task_->throw_if_cancelled(cancelled);
        throw message_ != nullptr ? CancelledError(**message_) : CancelledError();
    }
    if (failed_) throw_failure();
    std::rethrow_exception(error_);
}

void ReadWaiter::throw_failure() {
    std::terminate();  // of a kind that never says it has failed
}

// ---- what is read from --------------------------------------------------------------------

ReaderState::ReaderState(EventLoop& loop, std::ptrdiff_t limit)
    : loop_(loop), limit_(static_cast<std::size_t>(limit)) {
    if (limit <= 0) throw ValueError("Limit cannot be <= 0");
}

void ReaderState::destroy() noexcept {
    delete this;
}

[[gnu::hot]] void ReaderState::feed_data(std::string_view data) {
    if (eof_) [[unlikely]]
        throw RuntimeError("feed_data after feed_eof");
    if (data.empty()) return;
    if (waiter_ == nullptr) return feed_nobody(data);
    const bool straight = buffered().empty() && waiter_->take_straight(*this, data);
    if (straight && data.empty()) [[likely]]
        return wake_waiter();
    feed_late(data, straight);
}

// To one who waits, and has had what it took straight.
[[gnu::noinline]] void ReaderState::feed_late(std::string_view data, bool straight) {
    if (!data.empty()) append(data);
    if (!straight && !waiter_->advance(*this)) return;
    wake_waiter();
    pause_if_full();
}

[[gnu::noinline]] void ReaderState::feed_nobody(std::string_view data) {
    if (woken_ != nullptr && buffered().empty()) woken_->take_more(data);
    if (!data.empty()) append(data);
    pause_if_full();
}

void ReaderState::feed_eof() {
    eof_ = true;
    if (waiter_ == nullptr) return;
    waiter_->advance(*this);
    wake_waiter();
}

void ReaderState::set_exception(std::exception_ptr error) {
    exception_ = std::move(error);
    if (waiter_ == nullptr) return;
    waiter_->set_error(exception_);
    wake_waiter();
}

void ReaderState::wake_waiter() noexcept {
    woken_ = std::exchange(waiter_, nullptr);
    woken_->wake();
}

void ReaderState::set_transport(std::shared_ptr<ReadTransport> transport) {
    if (transport_ != nullptr) throw RuntimeError("Transport already set");
    transport_ = std::move(transport);
}

void ReaderState::replace_transport(std::shared_ptr<ReadTransport> transport) {
    // Whatever lies below the new one has to go on.
    if (paused_ && transport_ != nullptr) {
        transport_->resume_reading();
        transport->pause_reading();
    }
    transport_ = std::move(transport);
}

ReaderState::Buffer& ReaderState::buffer() {
    if (buffer_ == nullptr) buffer_ = std::make_unique<Buffer>();
    return *buffer_;
}

void ReaderState::append(std::string_view data) {
    std::string& bytes = buffer().bytes;
    std::size_t& start = buffer_->start;
    if (start > 0 && bytes.size() + data.size() > bytes.capacity()) {
        bytes.erase(0, start);
        start = 0;
    }
    bytes.append(data);
}

void ReaderState::discard(std::size_t count) {
    if (buffer_ != nullptr) {
        std::string& bytes = buffer_->bytes;
        std::size_t& start = buffer_->start;
        start += count;
        if (start == bytes.size()) {
            start = 0;
            bytes.clear();
            if (bytes.capacity() > kept_capacity) std::string().swap(bytes);
        }
    }
    resume_if_room();
}

std::string ReaderState::take(std::size_t count) {
    std::string taken;
    if (count > kept_capacity && buffer_->start == 0 && count == buffer_->bytes.size()) {
        taken = std::exchange(buffer_->bytes, {});
        count = 0;
    } else {
        taken = buffered().substr(0, count);
    }
    discard(count);
    return taken;
}

void ReaderState::put_back(std::string_view data) {
    if (data.empty()) return;
    std::string all(data);
    all += buffered();
    buffer().bytes = std::move(all);
    buffer_->start = 0;
}

void ReaderState::pause_if_full() {
    if (transport_ == nullptr || paused_ || buffered().size() <= 2 * limit_) return;
    try {
        transport_->pause_reading();
        paused_ = true;
    } catch (const NotImplementedError&) {
        // It cannot be paused; there is nothing to try again.
        transport_ = nullptr;
    }
}

void ReaderState::resume_if_room() {
    if (!paused_ || buffered().size() > limit_) return;
    paused_ = false;
    transport_->resume_reading();
}

std::span<std::byte> ReaderState::next_view_memory() noexcept {
    return EventLoop::Internals::state(*loop_).view_memory.next();
}

[[gnu::hot]] Viewed ReaderState::view_of(std::string_view data) {
    ViewMemory& memory = EventLoop::Internals::state(*loop_).view_memory;
    // Little is not worth a block, whose first lines are in no cache.
    if (data.size() >= least_kept_in_block && memory.is_next(data)) {
        return {.data = data, .block = memory.take_next()};
    }
    Viewed viewed{.data = {}, .block = memory.copy(data)};
    viewed.data = {reinterpret_cast<const char*>(viewed.block.bytes().data()), data.size()};
    return viewed;
}

Viewed ReaderState::view_buffered(std::size_t most) {
    const std::size_t count = std::min(most, buffered().size());
    Viewed viewed = view_of(buffered().substr(0, count));
    discard(count);
    return viewed;
}

void ReaderState::drop_view() noexcept {
    viewed_.data = {};
    EventLoop::Internals::state(*loop_).view_memory.give_back(std::move(viewed_.block));
}

std::string ReaderState::repr() const {
    std::string text = "<StreamReader";
    if (!buffered().empty()) text += " " + std::to_string(buffered().size()) + " bytes";
    if (eof_) text += " eof";
    if (limit_ != 64 * 1024) text += " limit=" + std::to_string(limit_);
    if (waiter_ != nullptr) text += " waiter";
    if (exception_) text += " exception=" + describe_exception(exception_);
    if (transport_ != nullptr) text += " transport=" + transport_->repr();
    if (paused_) text += " paused";
    return text + ">";
}

// ---- read(n), read(-1) --------------------------------------------------------------------

bool SomeWaiter::advance(ReaderState& reader) {
    if (size_ == 0) return true;
    const std::size_t there = reader.buffered().size();
    if (size_ < 0) {
        if (there > 0) result_.empty() ? result_ = reader.take_all() : result_ += reader.take_all();
        return reader.has_eof();
    }
    if (there == 0) return reader.has_eof();
    result_ = reader.take(std::min(there, static_cast<std::size_t>(size_)));
    return true;
}

[[gnu::hot]] bool SomeWaiter::take_straight(ReaderState&, std::string_view& data) {
    if (size_ < 0) {
        result_ += data;
        data = {};
        return false;
    }
    result_ = data.substr(0, static_cast<std::size_t>(size_));
    data.remove_prefix(result_.size());
    return true;
}

void SomeWaiter::put_back(ReaderState& reader) {
    reader.put_back(std::exchange(result_, {}));
}

void SomeWaiter::take_more(std::string_view& data) {
    const auto room = static_cast<std::size_t>(std::max<std::ptrdiff_t>(size_, 0));
    if (result_.size() >= room) return;
    const std::string_view part = data.substr(0, room - result_.size());
    result_ += part;
    data.remove_prefix(part.size());
}

// ---- read_into() --------------------------------------------------------------------------

// What was received straight into the memory is in its place already.
void IntoWaiter::put(std::string_view data) noexcept {
    std::byte* const place = memory_.data() + count_;
    count_ += data.size();
    if (!data.empty() && static_cast<const void*>(data.data()) != place) {
        std::memmove(place, data.data(), data.size());
    }
}

bool IntoWaiter::advance(ReaderState& reader) {
    if (memory_.empty()) return true;
    if (reader.buffered().empty()) return reader.has_eof();
    put(reader.buffered().substr(0, memory_.size()));
    reader.discard(count_);
    return true;
}

[[gnu::hot]] bool IntoWaiter::take_straight(ReaderState&, std::string_view& data) {
    take_more(data);
    return true;
}

void IntoWaiter::take_more(std::string_view& data) {
    const std::string_view part = data.substr(0, memory_.size() - count_);
    put(part);
    data.remove_prefix(part.size());
}

void IntoWaiter::put_back(ReaderState& reader) {
    reader.put_back({reinterpret_cast<const char*>(memory_.data()), std::exchange(count_, 0)});
}

// ---- read_view() --------------------------------------------------------------------------

bool ViewWaiter::advance(ReaderState& reader) {
    if (most_ == 0) return true;
    if (reader.buffered().empty()) return reader.has_eof();
    viewed_ = reader.view_buffered(most_);
    return true;
}

[[gnu::hot]] bool ViewWaiter::take_straight(ReaderState& reader, std::string_view& data) {
    viewed_ = reader.view_of(data.substr(0, most_));
    data.remove_prefix(viewed_.data.size());
    return true;
}

[[gnu::hot]] std::span<std::byte> ViewWaiter::lend_memory() noexcept {
    if (most_ < least_lent) return {};
    const std::span<std::byte> memory = reader().next_view_memory();
    return memory.first(std::min(most_, memory.size()));
}

void ViewWaiter::put_back(ReaderState& reader) {
    reader.put_back(viewed_.data);
    viewed_.data = {};
}

// ---- readexactly() ------------------------------------------------------------------------

ExactlyWaiter::ExactlyWaiter(Ref<ReaderState> reader, std::ptrdiff_t size)
    : ReadWaiter(std::move(reader), "readexactly", size == 0),
      size_(static_cast<std::size_t>(size)) {
    if (size < 0) throw ValueError("readexactly size can not be less than zero");
}

bool ExactlyWaiter::advance(ReaderState& reader) {
    if (reader.buffered().size() >= size_) {
        result_ = reader.take(size_);
        return true;
    }
    if (!reader.has_eof()) return false;
    result_ = reader.take_all();
    set_failed();
    return true;
}

void ExactlyWaiter::throw_failure() {
    throw IncompleteReadError(std::move(result_), size_);
}

[[gnu::hot]] bool ExactlyWaiter::take_straight(ReaderState&, std::string_view& data) {
    if (data.size() < size_) return false;
    result_ = data.substr(0, size_);
    data.remove_prefix(size_);
    return true;
}

void ExactlyWaiter::put_back(ReaderState& reader) {
    reader.put_back(std::exchange(result_, {}));
}

// ---- readline() ---------------------------------------------------------------------------

bool LineWaiter::advance(ReaderState& reader) {
    const std::string_view data = reader.buffered();
    const std::size_t at = data.find('\n', searched_);
    if (at != data.npos && at <= reader.limit()) {
        result_ = reader.take(at + 1);
        return true;
    }
    searched_ = data.size();
    if (at == data.npos && data.size() <= reader.limit()) {
        if (reader.has_eof()) result_ = reader.take_all();
        return reader.has_eof();
    }
    // Too long: the line goes, or as much of it as came.
    result_ = reader.take(at != data.npos ? at + 1 : data.size());
    set_failed();
    return true;
}

void LineWaiter::throw_failure() {
    throw ValueError(result_.ends_with('\n') ? found_too_late : not_found_yet);
}

[[gnu::hot]] bool LineWaiter::take_straight(ReaderState& reader, std::string_view& data) {
    const std::size_t at = data.find('\n');
    if (at == data.npos || at > reader.limit()) return false;
    result_ = data.substr(0, at + 1);
    data.remove_prefix(at + 1);
    return true;
}

void LineWaiter::put_back(ReaderState& reader) {
    reader.put_back(std::exchange(result_, {}));
}

// ---- readuntil() --------------------------------------------------------------------------

namespace {

// The separator that ends first.
Found find_first(std::string_view data, const std::vector<std::string>& separators,
                 std::size_t from) {
    Found found;
    for (const std::string& separator : separators) {
        const std::size_t at = data.find(separator, from);
        if (at == data.npos || at + separator.size() >= found.end) continue;
        found = {.end = at + separator.size(), .begin = at};
    }
    return found;
}

std::size_t longest(const std::vector<std::string>& separators) {
    std::size_t size = 0;
    for (const std::string& separator : separators) size = std::max(size, separator.size());
    return size;
}

}  // namespace

UntilWaiter::UntilWaiter(Ref<ReaderState> reader, std::vector<std::string> separators)
    : ReadWaiter(std::move(reader), "readuntil"), separators_(std::move(separators)) {
    if (separators_.empty()) throw ValueError("Separator should contain at least one element");
    if (std::ranges::any_of(separators_, &std::string::empty)) {
        throw ValueError("Separator should be at least one-byte string");
    }
}

bool UntilWaiter::advance(ReaderState& reader) {
    const std::string_view data = reader.buffered();
    const Found found = find_first(data, separators_, searched_);
    if (found.end != data.npos) {
        if (found.begin > reader.limit()) {
            set_error(overrun(found_too_late, found.begin));
        } else {
            result_ = reader.take(found.end);
        }
        return true;
    }
    // A separator may have begun in what is there.
    const std::size_t size = longest(separators_);
    searched_ = data.size() + 1 > size ? data.size() + 1 - size : 0;
    if (searched_ > reader.limit()) {
        set_error(overrun(not_found_yet, searched_));
        return true;
    }
    if (!reader.has_eof()) return false;
    result_ = reader.take_all();
    set_failed();
    return true;
}

void UntilWaiter::throw_failure() {
    throw IncompleteReadError(std::move(result_), std::nullopt);
}

bool UntilWaiter::take_straight(ReaderState& reader, std::string_view& data) {
    const Found found = find_first(data, separators_, 0);
    if (found.end == data.npos || found.begin > reader.limit()) return false;
    result_ = data.substr(0, found.end);
    data.remove_prefix(found.end);
    return true;
}

void UntilWaiter::put_back(ReaderState& reader) {
    reader.put_back(std::exchange(result_, {}));
}

}  // namespace detail

// ---- StreamReader -------------------------------------------------------------------------

detail::Read<detail::ExactlyWaiter, std::ptrdiff_t> StreamReader::readexactly(
    std::ptrdiff_t n) const {
    return detail::Read<detail::ExactlyWaiter, std::ptrdiff_t>(state_, n);
}

detail::Read<detail::UntilWaiter, std::vector<std::string>> StreamReader::readuntil(
    std::string separator) const {
    return readuntil(std::vector<std::string>{std::move(separator)});
}

detail::Read<detail::UntilWaiter, std::vector<std::string>> StreamReader::readuntil(
    std::vector<std::string> separators) const {
    return detail::Read<detail::UntilWaiter, std::vector<std::string>>(state_,
                                                                       std::move(separators));
}

}  // namespace asyncio
