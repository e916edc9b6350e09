// An open file: its descriptor, its buffers, whose turn it is, and the steps of which every
// operation is made. A step is one call in a thread, one operation of the proactor or one
// system call that does not block. It works on memory of its own and puts its result into the
// file when it ends, whether or not anybody still waits: so a cancelled operation leaves the
// file in order, and nothing that was read is lost.
#pragma once

#include <concurrent/futures/thread.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>

#include <asyncio.hpp>

#include "text.hpp"

namespace aiofiles::detail {

using asyncio::Coroutine;
using ExecutorPointer = std::shared_ptr<concurrent::futures::ThreadPoolExecutor>;

// Who may use a file, in order of asking. Binds itself to no loop.
class Turns {
  public:
    [[nodiscard]] bool take_if_free() noexcept { return !std::exchange(busy_, true); }
    Coroutine<void> wait();
    void pass_on();

  private:
    bool busy_ = false;
    std::deque<asyncio::Future<void>> waiting_;  // empty unless busy
};

// Bytes read and not yet taken.
class InBuffer {
  public:
    [[nodiscard]] std::string_view view() const noexcept {
        return {memory_.get() + begin_, end_ - begin_};
    }
    [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
    [[nodiscard]] std::size_t begin() const noexcept { return begin_; }
    [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
    void take(std::size_t count) noexcept { begin_ += count; }
    // Towards the start of what is still there, or the end.
    void move_to(std::size_t place) noexcept { begin_ = place; }
    [[nodiscard]] std::size_t end() const noexcept { return end_; }
    void clear() noexcept { begin_ = end_ = 0; }
    // Room behind what is there; then commit() what was put into it.
    [[nodiscard]] char* room(std::size_t count);
    void commit(std::size_t count) noexcept { end_ += count; }
    void append(std::string_view bytes);
    void prepend(std::string_view bytes);
    // The memory a step filled, without a copy where it can be helped.
    void adopt(std::unique_ptr<char[]> memory, std::size_t capacity, std::size_t count);

  private:
    std::unique_ptr<char[]> memory_;
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

enum class Backing : std::uint8_t {
    disk,    // regular files and block devices: may block, but not for long
    stream,  // pipes, terminals, devices: may block for ever
    memory,  // a spooled file before it is rolled over
};

enum class Removal : std::uint8_t { never, on_close, on_exit };

class Core;

// See above. Made on the loop's thread; ends there, too, unless the loop closed meanwhile.
class Step {
  public:
    Step() = default;
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;
    virtual ~Step() = default;
    // In a thread, or not at all: then `worked` stays false.
    virtual void work() = 0;
    // Then this, once.
    virtual void settle(Core& core) = 0;
    bool worked = false;
    std::exception_ptr error;  // that work() threw, or the executor
};

class Core : public std::enable_shared_from_this<Core> {
  public:
    Core() = default;
    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;
    // Flushes and closes what nobody closed.
    ~Core();

    // ---- what it is, fixed once open ----
    int fd = -1;
    Backing backing = Backing::disk;
    bool close_fd = true;
    bool closed = false;
    bool readable = false;
    bool writable = false;
    bool seekable = false;
    bool appending = false;
    bool terminal = false;
    bool line_buffering = false;
    std::size_t buffer_size = 0;  // 0: unbuffered
    std::string name;             // the path, or the descriptor's number
    std::string shown_name;       // in_quotes if it is a path, for messages
    std::string mode;             // as given to open()
    bool standard = false;        // 0, 1 or 2, which may lead elsewhere at any time
    bool announced = false;       // somebody has a File of it
    // Which file goes, and when.
    Removal removal = Removal::never;
    std::string removal_path;
    ExecutorPointer executor;  // null: the loop's
    std::source_location opened_at;

    // ---- its state ----
    InBuffer in;        // never with `out` at the same time
    std::string out;    // written and not yet in the file
    std::string spool;  // Backing::memory: all of it
    std::size_t spool_position = 0;
    NewlinesSeen newlines;

    // ---- turns ----
    [[nodiscard]] bool take_turn_if_free() noexcept { return turns_.take_if_free(); }
    Coroutine<void> wait_for_turn() { return turns_.wait(); }
    void end_turn();

    // ---- steps, for whose turn it is ----

    // Runs a step in a thread. Cancellation frees the caller at once; a step that had not
    // begun is dropped unless it `must` run.
    Coroutine<void> run(std::shared_ptr<Step> step, bool must = false);

    // One read of at most `wanted` bytes into `in`; 0 is the end.
    Coroutine<std::size_t> fill(std::size_t wanted);
    // One read into `target`, if that takes no waiting: nullopt if it does. Not while there is
    // something in `in`.
    [[nodiscard]] std::optional<std::size_t> read_now(char* target, std::size_t size);
    // Gives up the turn of the loop now and then, so that a file in the page cache does not
    // starve everybody else.
    [[nodiscard]] bool owes_a_turn(std::size_t bytes) noexcept;
    // What the next fill() should ask for: more and more while reading goes straight on.
    [[nodiscard]] std::size_t read_ahead() noexcept;

    // Writes `out` and then `more`. When that fails, what is left of `out` stays there, and
    // what is left of `more` is gone.
    Coroutine<void> write_through(std::string more);
    Coroutine<void> flush() { return write_through(std::string()); }

    // The position of whoever reads or writes, buffers considered.
    [[nodiscard]] std::int64_t position();
    // Drops what was read ahead, so that the descriptor stands where the reader does.
    void forget_read_ahead();
    // As lseek(), after a flush(). Buffers are kept where that is possible.
    Coroutine<std::int64_t> seek(std::int64_t offset, int whence);
    Coroutine<void> truncate(std::int64_t size);
    Coroutine<void> close();
    // At the end of with(): close(), and what else has to go by then.
    Coroutine<void> leave();
    // Moves a spooled file to a temporary one.
    Coroutine<void> roll_over();
    [[nodiscard]] bool spool_is_full() const noexcept {
        return backing == Backing::memory && spool_limit > 0 && spool_position > spool_limit;
    }
    std::size_t spool_limit = 0;  // 0: none
    std::function<int()> open_spool_file;
    // Of a standard stream: notices that its number means something else now.
    void look_again() noexcept;

    // Throws OSError with the file's name.
    [[noreturn]] void fail(int error) const;

  private:
    friend class Submission;

    void begin_step() noexcept { step_running_ = true; }
    void end_step();
    [[nodiscard]] std::size_t fill_from_spool(std::size_t wanted);
    void write_to_spool(std::string_view bytes);
    Coroutine<std::size_t> fill_from_stream(std::size_t wanted);
    Coroutine<std::size_t> read_in_thread(std::size_t wanted);
    Coroutine<void> write_stream();
    Coroutine<bool> wait_until_ready(std::uint32_t events);

    Turns turns_;
    bool step_running_ = false;
    bool turn_ended_ = false;      // while the step still ran
    std::uint64_t identity_ = 0;   // of what a standard stream leads to
    bool may_not_wait_ = true;     // RWF_NOWAIT works here, as far as known
    bool has_readiness_ = true;    // the proactor can wait for it, as far as known
    std::size_t ahead_ = 0;        // see read_ahead()
    std::size_t since_yield_ = 0;  // bytes
};

// Blocks SIGPIPE in this thread, so that writing to a pipe nobody reads gives EPIPE.
class WithoutSigpipe {
  public:
    WithoutSigpipe() noexcept;
    WithoutSigpipe(const WithoutSigpipe&) = delete;
    ~WithoutSigpipe();

  private:
    bool ours_ = false;
};

// write() until all is written: how much was, and the errno that ended it.
struct Written {
    std::size_t count = 0;
    int error = 0;
};
[[nodiscard]] Written write_all(int fd, std::string_view bytes) noexcept;
// read() but for EINTR; a negative errno.
[[nodiscard]] std::ptrdiff_t read_once(int fd, char* target, std::size_t size) noexcept;

// The executor to use: `own`, else the running loop's.
[[nodiscard]] concurrent::futures::ThreadPoolExecutor& executor_or_default(
    const ExecutorPointer& own, asyncio::EventLoop& loop);

}  // namespace aiofiles::detail
