// asyncio/streams_detail.hpp - private: what a StreamReader and a StreamWriter name, and the
// awaiters of their coroutines.
//
// What arrives while a task waits goes straight into the result it waits for, or into its own
// memory; only what nobody asked for yet is kept in the reader's buffer. The one who waits is
// linked through its awaiter, in its own frame, and is woken through the ready queue.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <asyncio/awaiters_detail.hpp>
#include <asyncio/coroutines.hpp>
#include <asyncio/foreign_detail.hpp>
#include <asyncio/memory_detail.hpp>
#include <asyncio/protocols.hpp>
#include <asyncio/transports.hpp>
#include <asyncio/waiters_detail.hpp>

namespace asyncio {
class StreamReaderProtocol;
}

namespace asyncio::detail {

class ReaderState;

// One read. Knows what it wants, and holds it once it is there.
class ReadWaiter : public Suspension {
  public:
    // `asks_for_none`: has what it wants before anything came.
    ReadWaiter(Ref<ReaderState> reader, const char* name, bool asks_for_none = false) noexcept
        : reader_(std::move(reader)), name_(name), asks_for_none_(asks_for_none) {}
    ReadWaiter(const ReadWaiter&) = delete;
    ReadWaiter& operator=(const ReadWaiter&) = delete;

    // Takes what it wants out of the buffer. True when it has it, or an error. Not asked when
    // nothing is there, nor the end of file, and it asks for some.
    virtual bool advance(ReaderState& reader) = 0;
    // The same out of `data` that has just come while the buffer is empty: takes what it takes
    // off its front. False leaves the rest to the buffer, and to advance().
    virtual bool take_straight(ReaderState& reader, std::string_view& data) = 0;
    // The same once it has been woken and before its task runs: what comes meanwhile is part of
    // what there is.
    virtual void take_more(std::string_view& data);
    // Its own memory, when that is where what comes next belongs: large enough to be worth it.
    [[nodiscard]] virtual std::span<std::byte> lend_memory() noexcept { return {}; }
    // Gives bytes that it took back to the front of the buffer: they were never delivered.
    virtual void put_back(ReaderState& reader) = 0;

    bool request_cancel(const CancelMessage& message) final;
    [[nodiscard]] bool await_ready();
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) {
        suspend(FrameLink(frame));
    }

  protected:
    ~ReadWaiter() {
        if (phase_ != Phase::idle || message_ != nullptr) [[unlikely]]
            leave();
    }
    [[nodiscard]] ReaderState& reader() const noexcept { return *reader_; }
    // Throws what there is to throw, of the read or of the task.
    void finish() {
        if (phase_ == Phase::woken) let_go();
        if (phase_ == Phase::cancelled || error_ || failed_ ||
            (task_ != nullptr && task_->must_cancel())) [[unlikely]]
            fail();
        phase_ = Phase::idle;
    }
    void set_error(std::exception_ptr error) noexcept { error_ = std::move(error); }
    // What it took goes with an error, which throw_failure() makes once it is certain that
    // nobody cancels it.
    void set_failed() noexcept { failed_ = true; }
    [[noreturn]] virtual void throw_failure();

  private:
    friend class ReaderState;
    enum class Phase : std::uint8_t { idle, waiting, woken, cancelled };

    [[nodiscard]] bool finds_some(ReaderState& reader);
    void suspend(FrameLink frame);
    [[noreturn]] void refuse(const char* why) const;
    void leave() noexcept;
    void let_go() noexcept;
    void wake() noexcept {
        phase_ = Phase::woken;
        task_->wake();
    }
    [[noreturn]] void fail();

    Ref<ReaderState> reader_;
    const char* name_;
    TaskBase* task_ = nullptr;
    std::exception_ptr error_;
    CancelMessage* message_ = nullptr;  // its own
    Phase phase_ = Phase::idle;
    bool failed_ = false;
    const bool asks_for_none_;
};

// What read_view() gives; of no length, and of nothing, while nothing is read.
struct Viewed {
    std::string_view data;
    OwnedBlock block;  // of the loop's ViewMemory
};

class ReaderState : public Recycled {
  public:
    // Throws: ValueError unless limit > 0.
    ReaderState(EventLoop& loop, std::ptrdiff_t limit);
    ReaderState(const ReaderState&) = delete;
    ReaderState& operator=(const ReaderState&) = delete;
    ~ReaderState() { end_view(); }

    void add_reference() noexcept { references_.add(); }
    void drop_reference() noexcept {
        if (references_.drop()) [[unlikely]]
            destroy();
    }

    [[nodiscard]] EventLoop& loop() const noexcept { return *loop_; }
    [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
    [[nodiscard]] bool has_eof() const noexcept { return eof_; }
    [[nodiscard]] bool at_eof() const noexcept { return eof_ && buffered().empty(); }
    [[nodiscard]] const std::exception_ptr& exception() const noexcept { return exception_; }

    void feed_data(std::string_view data);
    // Where a transport best puts what it receives next, to feed it right afterwards.
    [[nodiscard]] std::span<std::byte> lend_memory() noexcept {
        return waiter_ != nullptr && buffered().empty() ? waiter_->lend_memory()
                                                        : std::span<std::byte>();
    }
    void feed_eof();
    void set_exception(std::exception_ptr error);
    void set_transport(std::shared_ptr<ReadTransport> transport);
    // After start_tls().
    void replace_transport(std::shared_ptr<ReadTransport> transport);
    [[nodiscard]] const std::shared_ptr<ReadTransport>& transport() const noexcept {
        return transport_;
    }

    [[nodiscard]] std::string_view buffered() const noexcept {
        return buffer_ == nullptr ? std::string_view()
                                  : std::string_view(buffer_->bytes).substr(buffer_->start);
    }
    // Takes bytes off the front, and lets the transport go on when there is room again.
    void discard(std::size_t count);
    [[nodiscard]] std::string take(std::size_t count);
    [[nodiscard]] std::string take_all() { return take(buffered().size()); }
    void put_back(std::string_view data);
    void resume_if_room();

    // -- What read_view() gives views of ---------------------------------------------------

    // Where it is best received, see lend_memory().
    [[nodiscard]] std::span<std::byte> next_view_memory() noexcept;
    // `data`, which has just come, with the memory it was received into, or a copy of it.
    [[nodiscard]] Viewed view_of(std::string_view data);
    // What is buffered, up to `most` bytes.
    [[nodiscard]] Viewed view_buffered(std::size_t most);
    // Keeps it until the next read, out of `viewed`.
    std::string_view show(Viewed& viewed) noexcept {
        end_view();  // of another task, which has read meanwhile
        if (viewed.data.empty()) return {};
        viewed_ = std::move(viewed);
        return viewed_.data;
    }
    void end_view() noexcept {
        if (!viewed_.data.empty()) drop_view();
    }
    [[nodiscard]] std::string repr() const;

  private:
    friend class ReadWaiter;
    struct Buffer {
        std::string bytes;
        std::size_t start = 0;  // of what was not taken yet
    };

    void destroy() noexcept;
    Buffer& buffer();
    // Neither data, nor the end, nor an error.
    [[nodiscard]] bool has_nothing() const noexcept {
        return !eof_ && !exception_ && buffered().empty();
    }
    void feed_nobody(std::string_view data);
    void feed_late(std::string_view data, bool straight);
    void append(std::string_view data);
    void wake_waiter() noexcept;
    void pause_if_full();
    void drop_view() noexcept;

    RefCount references_;
    bool eof_ = false;
    bool paused_ = false;
    LoopReference loop_;
    std::size_t limit_;
    std::unique_ptr<Buffer> buffer_;  // made for what comes while nobody waits
    Viewed viewed_;                   // by who read last
    std::exception_ptr exception_;
    ReadWaiter* waiter_ = nullptr;
    ReadWaiter* woken_ = nullptr;  // and not resumed yet
    std::shared_ptr<ReadTransport> transport_;
};

inline void ReadWaiter::let_go() noexcept {
    if (reader_->woken_ == this) reader_->woken_ = nullptr;
}

// read(n), up to n bytes of what there is; everything until the end of file for a negative n.
class SomeWaiter final : public ReadWaiter {
  public:
    SomeWaiter(Ref<ReaderState> reader, std::ptrdiff_t size) noexcept
        : ReadWaiter(std::move(reader), "read", size == 0), size_(size) {}
    bool advance(ReaderState& reader) override;
    bool take_straight(ReaderState& reader, std::string_view& data) override;
    void take_more(std::string_view& data) override;
    void put_back(ReaderState& reader) override;
    std::string await_resume() {
        finish();
        return std::move(result_);
    }

  private:
    std::ptrdiff_t size_;
    std::string result_;
};

// What is smaller would take many system calls where the transport's own memory takes one.
inline constexpr std::size_t least_lent = 16 * 1024;

// read_into(), up to the size of the caller's memory.
class IntoWaiter final : public ReadWaiter {
  public:
    IntoWaiter(Ref<ReaderState> reader, std::span<std::byte> memory) noexcept
        : ReadWaiter(std::move(reader), "read_into", memory.empty()), memory_(memory) {}
    bool advance(ReaderState& reader) override;
    bool take_straight(ReaderState& reader, std::string_view& data) override;
    void take_more(std::string_view& data) override;
    [[nodiscard]] std::span<std::byte> lend_memory() noexcept override {
        return memory_.size() >= least_lent ? memory_ : std::span<std::byte>();
    }
    void put_back(ReaderState& reader) override;
    std::size_t await_resume() {
        finish();
        return count_;
    }

  private:
    void put(std::string_view data) noexcept;
    std::span<std::byte> memory_;
    std::size_t count_ = 0;
};

// read_view(), up to `most` bytes.
class ViewWaiter final : public ReadWaiter {
  public:
    ViewWaiter(Ref<ReaderState> reader, std::size_t most) noexcept
        : ReadWaiter(std::move(reader), "read_view", most == 0), most_(most) {}
    bool advance(ReaderState& reader) override;
    bool take_straight(ReaderState& reader, std::string_view& data) override;
    [[nodiscard]] std::span<std::byte> lend_memory() noexcept override;
    void put_back(ReaderState& reader) override;
    std::string_view await_resume() {
        finish();
        return reader().show(viewed_);
    }

  private:
    std::size_t most_;
    Viewed viewed_;
};

class ExactlyWaiter final : public ReadWaiter {
  public:
    // Throws: ValueError for a negative size.
    ExactlyWaiter(Ref<ReaderState> reader, std::ptrdiff_t size);
    bool advance(ReaderState& reader) override;
    bool take_straight(ReaderState& reader, std::string_view& data) override;
    void put_back(ReaderState& reader) override;
    std::string await_resume() {
        finish();
        return std::move(result_);
    }

  private:
    [[noreturn]] void throw_failure() override;
    std::size_t size_;
    std::string result_;
};

class LineWaiter : public ReadWaiter {
  public:
    explicit LineWaiter(Ref<ReaderState> reader) noexcept
        : ReadWaiter(std::move(reader), "readuntil") {}
    bool advance(ReaderState& reader) override;
    bool take_straight(ReaderState& reader, std::string_view& data) override;
    void put_back(ReaderState& reader) override;
    std::string await_resume() {
        finish();
        return std::move(result_);
    }

  protected:
    ~LineWaiter() = default;
    std::string result_;

  private:
    [[noreturn]] void throw_failure() override;
    std::size_t searched_ = 0;
};
class ReadLine final : public LineWaiter {
  public:
    using LineWaiter::LineWaiter;
};
// For anext(): nothing at the end of file.
class NextLine final : public LineWaiter {
  public:
    using LineWaiter::LineWaiter;
    std::optional<std::string> await_resume() {
        std::string line = LineWaiter::await_resume();
        if (line.empty()) return std::nullopt;
        return line;
    }
};

class UntilWaiter final : public ReadWaiter {
  public:
    // Throws: ValueError for no separator, or an empty one.
    UntilWaiter(Ref<ReaderState> reader, std::vector<std::string> separators);
    bool advance(ReaderState& reader) override;
    bool take_straight(ReaderState& reader, std::string_view& data) override;
    void put_back(ReaderState& reader) override;
    std::string await_resume() {
        finish();
        return std::move(result_);
    }

  private:
    [[noreturn]] void throw_failure() override;
    std::vector<std::string> separators_;
    std::size_t searched_ = 0;
    std::string result_;
};

// What a coroutine of a reader gives: awaited as an rvalue, or handed to create_task(),
// gather(), wait_for(). Nothing happens before that. Keeps the reader's state alive.
template <class Awaiter, class... Args>
class [[nodiscard]] Read {
  public:
    using asyncio_native_awaiter = void;
    explicit Read(Ref<ReaderState> reader, Args... args) noexcept
        : reader_(std::move(reader)), args_(std::move(args)...) {}
    Awaiter operator co_await() && {
        return std::apply(
            [this](Args&... args) { return Awaiter(std::move(reader_), std::move(args)...); },
            args_);
    }

  private:
    Ref<ReaderState> reader_;
    std::tuple<Args...> args_;
};

// What a StreamWriter names.
class WriterState : public Recycled {
  public:
    // `reader` is null for a stream that is written to only.
    WriterState(std::shared_ptr<Transport> transport,
                std::shared_ptr<StreamReaderProtocol> protocol, Ref<ReaderState> reader) noexcept;
    WriterState(const WriterState&) = delete;
    WriterState& operator=(const WriterState&) = delete;
    ~WriterState();  // closes the transport, if nobody has

    void add_reference() noexcept { references_.add(); }
    void drop_reference() noexcept {
        if (references_.drop()) [[unlikely]]
            destroy();
    }

    std::shared_ptr<Transport> transport;
    std::shared_ptr<StreamReaderProtocol> protocol;
    Ref<ReaderState> reader;

  private:
    void destroy() noexcept;
    void close_forgotten() noexcept;

    RefCount references_;
};

// One drain(): nothing to wait for in the usual case, else a coroutine.
class DrainAwaiter {
  public:
    using asyncio_native_awaiter = void;
    explicit DrainAwaiter(Ref<WriterState> writer) noexcept : writer_(std::move(writer)) {}
    [[nodiscard]] bool await_ready() const noexcept;
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
        slow_.emplace(wait(writer_).release_to_await());
        return slow_->await_suspend(frame);
    }
    void await_resume() {
        if (slow_) [[unlikely]]
            finish_waiting();
    }

  private:
    void finish_waiting();
    static Coroutine<void> wait(Ref<WriterState> writer);
    Ref<WriterState> writer_;
    std::optional<CoroutineAwaiter<void>> slow_;
};

// What drain() gives: awaited as an rvalue, or handed to create_task() and the like.
class [[nodiscard]] Drain {
  public:
    using asyncio_native_awaiter = void;
    explicit Drain(Ref<WriterState> writer) noexcept : writer_(std::move(writer)) {}
    DrainAwaiter operator co_await() && { return DrainAwaiter(std::move(writer_)); }

  private:
    Ref<WriterState> writer_;
};

}  // namespace asyncio::detail
