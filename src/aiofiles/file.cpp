#include <sys/stat.h>
#include <unistd.h>
#include <aiofiles/file.hpp>
#include <algorithm>
#include <cerrno>

#include "file_object.hpp"

namespace aiofiles {

namespace detail {

Core& open_core(const FileObject& file) {
    if (file.detached) throw asyncio::ValueError("the file has been detached");
    if (file.core->closed) {
        throw asyncio::ValueError("I/O operation on closed file " + file.core->shown_name);
    }
    return *file.core;
}

namespace {

[[noreturn]] void refuse(const Core& core, const std::string& what) {
    throw UnsupportedOperation(what + ": " + core.shown_name + " is open in mode '" + core.mode +
                               "'");
}

// ---- reading ------------------------------------------------------------------------------

// Before a read, once it is our turn: whether something has to be flushed first.
bool must_flush_to_read(const FileObject& file) {
    const Core& core = open_core(file);  // it may have been closed meanwhile
    if (!core.readable) refuse(core, file.view == View::text ? "not readable" : "read");
    return !core.out.empty();
}

void require_binary(const FileObject& file, const char* method) {
    if (file.view == View::text) {
        refuse(open_core(file), std::string(method) + "() is for binary files, opened with 'b'");
    }
}

// Room for all of it, so that it is not copied as it grows.
void expect_the_rest(Core& core) {
    struct ::stat status{};
    if (core.backing != Backing::disk || ::fstat(core.fd, &status) != 0) return;
    constexpr std::int64_t most = 1 << 30;
    const std::int64_t rest = status.st_size - core.position();
    if (rest > 0)
        static_cast<void>(core.in.room(static_cast<std::size_t>(std::min(rest, most)) + 1));
}

Coroutine<void> fill_to_the_end(Core& core) {
    expect_the_rest(core);
    constexpr std::size_t step = 1024 * 1024;
    while (co_await core.fill(step) > 0) {
    }
}

std::string take_bytes(Core& core, std::size_t count) {
    std::string taken(core.in.view().substr(0, count));
    core.in.take(count);
    return taken;
}

std::string take(const FileObject& file, std::size_t count) {
    Core& core = *file.core;
    if (file.view != View::text) return take_bytes(core, count);
    std::string text = decode(core.in.view().substr(0, count), file.format, core.newlines);
    core.in.take(count);
    return text;
}

// Bytes on their way to the caller; they go back into the file if a cancellation comes first.
class InPassing {
  public:
    InPassing(Core& core, char* target) noexcept : core_(core), target_(target) {}
    InPassing(const InPassing&) = delete;
    ~InPassing() {
        if (count != 0) core_.in.prepend({target_, count});
    }
    std::size_t release() noexcept { return std::exchange(count, 0); }
    std::size_t count = 0;

  private:
    Core& core_;
    char* target_;
};

// Fills `target`, past the buffer where nothing waits.
Coroutine<std::size_t> read_bytes_into(Core& core, char* target, std::size_t size, bool one_read) {
    InPassing passing(core, target);
    bool end = false;
    for (;;) {
        const std::size_t there = std::min(core.in.size(), size - passing.count);
        std::copy_n(core.in.view().data(), there, target + passing.count);
        core.in.take(there);
        passing.count += there;
        if (end || passing.count == size || (one_read && passing.count > 0)) break;
        const std::size_t rest = size - passing.count;
        // Small reads go through the buffer, so that the next ones find their bytes there.
        const std::size_t ahead = one_read ? 0 : core.read_ahead();
        if (core.backing != Backing::memory && rest >= ahead) {
            if (const auto now = core.read_now(target + passing.count, rest)) {
                passing.count += *now;
                end = *now == 0 || one_read;
                if (core.owes_a_turn(*now)) co_await asyncio::sleep(0);
                continue;
            }
        }
        end = co_await core.fill(std::max(rest, ahead)) == 0 || one_read;
    }
    co_return passing.release();
}

Coroutine<std::string> read_bytes(Core& core, std::int64_t size, bool one_read) {
    if (size < 0) {
        co_await fill_to_the_end(core);
        co_return take_bytes(core, core.in.size());
    }
    const auto wanted = static_cast<std::size_t>(size);
    if (core.in.size() >= wanted) co_return take_bytes(core, wanted);
    // A size need not be true: it is believed step by step.
    constexpr std::size_t believed = 16 * 1024 * 1024;
    if (wanted <= believed) {
        std::string result(wanted, '\0');
        result.resize(co_await read_bytes_into(core, result.data(), wanted, one_read));
        co_return result;
    }
    while (core.in.size() < wanted) {
        if (co_await core.fill(wanted - core.in.size()) == 0 || one_read) break;
    }
    co_return take_bytes(core, std::min(wanted, core.in.size()));
}

Coroutine<std::string> read_text(const FileObject& file, std::int64_t size) {
    Core& core = *file.core;
    if (size < 0) {
        co_await fill_to_the_end(core);
        co_return take(file, core.in.size());
    }
    Measure measure(file.format, static_cast<std::size_t>(size));
    bool end = false;
    while (!measure.advance(core.in.view(), end)) {
        end = co_await core.fill(core.read_ahead()) == 0;
    }
    co_return take(file, measure.bytes());
}

Coroutine<std::string> read(ObjectPointer file, std::int64_t size) {
    Core& core = open_core(*file);
    if (!core.take_turn_if_free()) co_await core.wait_for_turn();
    const TurnEnd turn(core);
    if (must_flush_to_read(*file)) co_await core.flush();
    if (file->view == View::text) co_return co_await read_text(*file, size);
    co_return co_await read_bytes(core, size, file->view == View::raw);
}

Coroutine<std::string> read1(ObjectPointer file, std::int64_t size) {
    Core& core = open_core(*file);
    require_binary(*file, "read1");
    if (!core.take_turn_if_free()) co_await core.wait_for_turn();
    const TurnEnd turn(core);
    if (must_flush_to_read(*file)) co_await core.flush();
    constexpr std::size_t default_size = 64 * 1024;
    const std::size_t wanted = size < 0 ? default_size : static_cast<std::size_t>(size);
    if (core.in.empty() && wanted > 0) co_await core.fill(std::min(wanted, default_size));
    co_return take_bytes(core, std::min(wanted, core.in.size()));
}

Coroutine<std::size_t> readinto(ObjectPointer file, std::span<std::byte> target) {
    Core& core = open_core(*file);
    require_binary(*file, "readinto");
    if (!core.take_turn_if_free()) co_await core.wait_for_turn();
    const TurnEnd turn(core);
    if (must_flush_to_read(*file)) co_await core.flush();
    if (target.empty()) co_return 0;
    co_return co_await read_bytes_into(core, reinterpret_cast<char*>(target.data()), target.size(),
                                       file->view == View::raw);
}

Coroutine<std::string> peek(ObjectPointer file) {
    Core& core = open_core(*file);
    require_binary(*file, "peek");
    if (!core.take_turn_if_free()) co_await core.wait_for_turn();
    const TurnEnd turn(core);
    if (must_flush_to_read(*file)) co_await core.flush();
    if (core.in.empty()) co_await core.fill(core.read_ahead());
    co_return std::string(core.in.view());
}

// How many bytes the line at `offset` in the buffer has, of at most `most` characters. Reads
// what it needs, takes nothing.
Coroutine<std::size_t> measure_line(const FileObject& file, std::size_t offset, std::size_t most) {
    Core& core = *file.core;
    const bool text = file.view == View::text;
    LineSearch search(text ? file.format.newline : Newline::lf);
    Measure measure(file.format, most);
    for (bool end = false;;) {
        const std::string_view bytes = core.in.view().substr(offset);
        const std::optional<std::size_t> line = search.find(bytes, end);
        if (!text || most == unlimited) {
            if (line) co_return std::min(*line, most);
            if (bytes.size() >= most) co_return most;
        } else if (measure.advance(bytes.substr(0, line.value_or(bytes.size())),
                                   end || line.has_value())) {
            co_return measure.bytes();
        }
        if (end) co_return bytes.size();
        end = co_await core.fill(core.read_ahead()) == 0;
    }
}

Coroutine<std::string> readline(ObjectPointer file, std::int64_t size) {
    Core& core = open_core(*file);
    if (!core.take_turn_if_free()) co_await core.wait_for_turn();
    const TurnEnd turn(core);
    if (must_flush_to_read(*file)) co_await core.flush();
    const std::size_t most = size < 0 ? unlimited : static_cast<std::size_t>(size);
    co_return take(*file, co_await measure_line(*file, 0, most));
}

Coroutine<std::vector<std::string>> readlines(ObjectPointer file, std::int64_t hint) {
    Core& core = open_core(*file);
    if (!core.take_turn_if_free()) co_await core.wait_for_turn();
    const TurnEnd turn(core);
    if (must_flush_to_read(*file)) co_await core.flush();
    const bool text = file->view == View::text;
    std::vector<std::string> lines;
    std::size_t offset = 0;
    for (std::size_t total = 0;;) {
        const std::size_t length = co_await measure_line(*file, offset, unlimited);
        if (length == 0) break;
        const std::string_view line = core.in.view().substr(offset, length);
        lines.push_back(text ? decode(line, file->format, core.newlines) : std::string(line));
        offset += length;
        total += text ? count_characters(lines.back()) : length;
        if (hint > 0 && total > static_cast<std::size_t>(hint)) break;
    }
    core.in.take(offset);
    co_return lines;
}

// ---- writing ------------------------------------------------------------------------------

Coroutine<void> write_bytes(const FileObject& file, std::string bytes, bool flushes) {
    Core& core = *file.core;
    core.forget_read_ahead();
    const bool fits =
        bytes.size() <= core.buffer_size && core.out.size() <= core.buffer_size - bytes.size();
    if (fits && file.view != View::raw && core.backing != Backing::memory) {
        core.out += bytes;
        if (flushes) co_await core.flush();
    } else {
        co_await core.write_through(std::move(bytes));
    }
    if (core.spool_is_full()) co_await core.roll_over();
}

Coroutine<std::size_t> write(ObjectPointer file, std::string data) {
    Core& core = open_core(*file);
    if (!core.take_turn_if_free()) co_await core.wait_for_turn();
    const TurnEnd turn(core);
    open_core(*file);
    if (!core.writable) refuse(core, file->view == View::text ? "not writable" : "write");
    std::size_t count = data.size();
    bool flushes = false;
    if (file->view == View::text) {
        count = count_characters(data);
        flushes = core.line_buffering && data.find_first_of("\r\n") != std::string::npos;
        data = encode(std::move(data), file->format);
    }
    co_await write_bytes(*file, std::move(data), flushes);
    co_return count;
}

Coroutine<void> flush(ObjectPointer file) {
    Core& core = open_core(*file);
    if (!core.take_turn_if_free()) co_await core.wait_for_turn();
    const TurnEnd turn(core);
    open_core(*file);
    co_await core.flush();
}

// ---- positions ----------------------------------------------------------------------------

void require_positions(const Core& core) {
    if (!core.seekable) {
        throw UnsupportedOperation("File or stream is not seekable: " + core.shown_name);
    }
}

void check_seek(const FileObject& file, std::int64_t offset, int whence) {
    const bool text = file.view == View::text;
    const bool known = whence == SEEK_SET || whence == SEEK_CUR || whence == SEEK_END ||
                       (!text && (whence == SEEK_DATA || whence == SEEK_HOLE));
    if (!known) {
        throw asyncio::ValueError("invalid whence (" + std::to_string(whence) +
                                  ", should be 0, 1 or 2)");
    }
    if (text && whence == SEEK_CUR && offset != 0) {
        throw UnsupportedOperation("can't do nonzero cur-relative seeks");
    }
    if (text && whence == SEEK_END && offset != 0) {
        throw UnsupportedOperation("can't do nonzero end-relative seeks");
    }
    const bool checked = text || file.core->backing == Backing::memory;
    if (checked && whence == SEEK_SET && offset < 0) {
        throw asyncio::ValueError("negative seek position " + std::to_string(offset));
    }
}

Coroutine<std::int64_t> seek(ObjectPointer file, std::int64_t offset, int whence) {
    Core& core = open_core(*file);
    if (!core.take_turn_if_free()) co_await core.wait_for_turn();
    const TurnEnd turn(core);
    open_core(*file);
    require_positions(core);
    check_seek(*file, offset, whence);
    if (!core.out.empty()) co_await core.flush();
    co_return co_await core.seek(offset, whence);
}

Coroutine<std::int64_t> tell(ObjectPointer file) {
    Core& core = open_core(*file);
    if (!core.take_turn_if_free()) co_await core.wait_for_turn();
    const TurnEnd turn(core);
    open_core(*file);
    require_positions(core);
    co_return core.position();
}

Coroutine<std::int64_t> truncate(ObjectPointer file, std::optional<std::int64_t> size) {
    Core& core = open_core(*file);
    if (!core.take_turn_if_free()) co_await core.wait_for_turn();
    const TurnEnd turn(core);
    open_core(*file);
    if (!core.writable) refuse(core, file->view == View::text ? "not writable" : "truncate");
    if (!core.out.empty()) co_await core.flush();
    if (!size) require_positions(core);
    const std::int64_t wanted = size ? *size : core.position();
    co_await core.truncate(wanted);
    co_return wanted;
}

Coroutine<void> close(ObjectPointer file) {
    if (file->detached) throw asyncio::ValueError("the file has been detached");
    Core& core = *file->core;
    if (core.closed) co_return;
    if (!core.take_turn_if_free()) co_await core.wait_for_turn();
    const TurnEnd turn(core);
    co_await core.close();
}

Coroutine<void> leave(ObjectPointer file) {
    Core& core = *file->core;
    if (!core.take_turn_if_free()) co_await core.wait_for_turn();
    const TurnEnd turn(core);
    co_await core.leave();
}

// Answers that need no system; coroutines because they are in Python.
Coroutine<bool> answer(ObjectPointer file, bool Core::* which) {
    co_return open_core(*file).*which;
}

}  // namespace

}  // namespace detail

// ---- the public face ----------------------------------------------------------------------

Coroutine<std::string> File::read(std::int64_t size) {
    return detail::read(object(), size);
}
Coroutine<std::string> File::readline(std::int64_t size) {
    return detail::readline(object(), size);
}
Coroutine<std::vector<std::string>> File::readlines(std::int64_t hint) {
    return detail::readlines(object(), hint);
}
Coroutine<std::string> File::read1(std::int64_t size) {
    return detail::read1(object(), size);
}
Coroutine<std::size_t> File::readinto(std::span<std::byte> target) {
    return detail::readinto(object(), target);
}
Coroutine<std::string> File::peek(std::size_t) {
    return detail::peek(object());
}
Coroutine<std::optional<std::string>> File::anext() {
    std::string line = co_await detail::readline(object(), -1);
    if (line.empty()) co_return std::nullopt;
    co_return line;
}
Coroutine<std::size_t> File::write_owned(std::string data) {
    return detail::write(object(), std::move(data));
}
Coroutine<void> File::writelines_owned(std::string data) {
    co_await detail::write(object(), std::move(data));
}
Coroutine<void> File::flush() {
    return detail::flush(object());
}
Coroutine<std::int64_t> File::seek(std::int64_t offset, int whence) {
    return detail::seek(object(), offset, whence);
}
Coroutine<std::int64_t> File::tell() {
    return detail::tell(object());
}
Coroutine<std::int64_t> File::truncate(std::optional<std::int64_t> size) {
    return detail::truncate(object(), size);
}
Coroutine<void> File::close() {
    return detail::close(object());
}
Coroutine<bool> File::isatty() {
    return detail::answer(object(), &detail::Core::terminal);
}
Coroutine<bool> File::readable() {
    return detail::answer(object(), &detail::Core::readable);
}
Coroutine<bool> File::writable() {
    return detail::answer(object(), &detail::Core::writable);
}
Coroutine<bool> File::seekable() {
    return detail::answer(object(), &detail::Core::seekable);
}

int File::fileno() const {
    const detail::Core& core = detail::open_core(*object());
    if (core.fd < 0) {
        throw UnsupportedOperation("fileno: " + core.shown_name +
                                   " is still in memory; await its rollover() first");
    }
    return core.fd;
}
bool File::closed() const {
    return object()->core->closed;
}
std::string File::name() const {
    return object()->core->name;
}
std::string File::mode() const {
    const auto here = object();
    const bool plain = here->core->standard && here->view == detail::View::text;
    return plain ? here->core->mode.substr(0, 1) : here->core->mode;
}
std::string File::repr() const {
    if (!*this) return "<no file>";
    return "<File name='" + name() + "' mode='" + mode() + "'" + (closed() ? " closed>" : ">");
}

namespace {

const detail::FileObject& text_of(const detail::ObjectPointer& object, const char* what) {
    if (object->view != detail::View::text) {
        throw UnsupportedOperation(std::string(what) + " is of text files; " +
                                   object->core->shown_name + " is open as bytes");
    }
    return *object;
}

}  // namespace

std::string File::encoding() const {
    return std::string(detail::name_of(text_of(object(), "encoding()").format.encoding));
}
std::string File::errors() const {
    return std::string(detail::name_of(text_of(object(), "errors()").format.errors));
}
bool File::line_buffering() const {
    return text_of(object(), "line_buffering()").core->line_buffering;
}
std::vector<std::string> File::newlines() const {
    return text_of(object(), "newlines()").core->newlines.list();
}

File File::buffer() const {
    auto other = std::make_shared<detail::FileObject>(*object());
    detail::open_core(*other);
    other->view = detail::View::binary;
    return File(std::move(other));
}
File File::raw() const {
    File other = buffer();
    other.object_->view = detail::View::raw;
    return other;
}
File File::detach() {
    const auto here = object();
    File other = here->view == detail::View::text ? buffer() : raw();
    here->detached = true;
    return other;
}

Coroutine<File> File::aenter() {
    detail::open_core(*object());
    co_return *this;
}
Coroutine<void> File::aexit(std::exception_ptr) {
    co_await detail::leave(object());
}

}  // namespace aiofiles
