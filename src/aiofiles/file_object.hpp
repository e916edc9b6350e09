// What a File names: an open file, and whether it is looked at as text or as bytes.
#pragma once

#include <aiofiles/file.hpp>
#include <memory>
#include <string>

#include "core.hpp"
#include "text.hpp"

namespace aiofiles::detail {

enum class View : std::uint8_t { text, binary, raw };

struct FileObject {
    std::shared_ptr<Core> core;
    View view = View::binary;
    TextFormat format;
    bool detached = false;
};
using ObjectPointer = std::shared_ptr<FileObject>;

// The mode string, taken apart.
struct Mode {
    bool reading = false;
    bool writing = false;
    bool appending = false;
    bool creating = false;
    bool updating = false;
    bool text = true;

    [[nodiscard]] bool readable() const noexcept { return reading || updating; }
    [[nodiscard]] bool writable() const noexcept { return !reading || updating; }
    [[nodiscard]] int flags() const noexcept;
    // As Python's FileIO.mode gives it.
    [[nodiscard]] std::string binary_name() const;
};
// Throws: ValueError.
[[nodiscard]] Mode parse_mode(const std::string& mode);

// The options that open() and the temporary files share, checked.
// Throws: ValueError, LookupError.
[[nodiscard]] TextFormat checked_format(const Mode& mode, const OpenOptions& options);

// What `fd` is: sets what follows from it. Returns an errno, EISDIR for a directory.
[[nodiscard]] int look_at(Core& core) noexcept;

// A core for the mode and options, without a descriptor.
[[nodiscard]] ObjectPointer make_object(const std::string& mode, const OpenOptions& options);

// Opens by a function that runs in a thread and gives a descriptor, or -1 with errno set.
Coroutine<File> open_by(ObjectPointer object, std::function<int(Core&)> open_it);

// Throws: ValueError when there is a NUL in it.
void check_path(const std::string& path);

// Throws: ValueError.
Core& open_core(const FileObject& file);

// For the turn at a file: `if (!core.take_turn_if_free()) co_await core.wait_for_turn();`, then
// one of these.
class TurnEnd {
  public:
    explicit TurnEnd(Core& core) noexcept : core_(core) {}
    TurnEnd(const TurnEnd&) = delete;
    ~TurnEnd() { core_.end_turn(); }

  private:
    Core& core_;
};

}  // namespace aiofiles::detail
