#include <aiofiles/tempfile.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <asyncio/log.hpp>
#include <atomic>
#include <cstdlib>
#include <random>

#include "file_object.hpp"
#include "in_thread.hpp"

namespace aiofiles::tempfile {

using aiofiles::detail::Core;
using aiofiles::detail::in_quotes;
using aiofiles::detail::ObjectPointer;

namespace {

constexpr int attempts = 10'000;

std::string random_name() {
    constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789_";
    std::random_device random;
    std::uniform_int_distribution<std::size_t> pick(0, letters.size() - 1);
    std::string name;
    for (int i = 0; i < 8; ++i) name += letters[pick(random)];
    return name;
}

bool is_usable_directory(const std::string& path) noexcept {
    struct ::stat status{};
    return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
           ::access(path.c_str(), W_OK | X_OK) == 0;
}

std::string current_directory() {
    std::string path(PATH_MAX, '\0');
    if (::getcwd(path.data(), path.size()) == nullptr) return ".";
    path.resize(path.find('\0'));
    return path;
}

std::string default_directory() {
    std::vector<std::string> candidates;
    for (const char* const variable : {"TMPDIR", "TEMP", "TMP"}) {
        const char* const value = std::getenv(variable);
        if (value != nullptr && *value != '\0') candidates.emplace_back(value);
    }
    for (const char* const path : {"/tmp", "/var/tmp", "/usr/tmp"}) candidates.emplace_back(path);
    candidates.push_back(current_directory());
    for (const std::string& path : candidates) {
        if (is_usable_directory(path)) return path;
    }
    throw asyncio::FileNotFoundError(
        ENOENT, "no usable temporary directory, not even " + in_quotes(candidates.back()));
}

// Where something temporary is made, and under which names.
struct Place {
    std::string directory;
    std::string prefix;
    std::string suffix;

    [[nodiscard]] std::string path() const {
        return directory + (directory.ends_with('/') ? "" : "/") + prefix + random_name() + suffix;
    }
};

Place place_for(const std::optional<std::string>& dir, const std::optional<std::string>& prefix,
                const std::string& suffix) {
    Place place{.directory = dir ? *dir : default_directory(),
                .prefix = prefix.value_or("tmp"),
                .suffix = suffix};
    detail::check_path(place.directory + place.prefix + place.suffix);
    if (!place.directory.starts_with('/')) {
        place.directory = current_directory() + "/" + place.directory;
    }
    return place;
}

// `make(path)` gives -1 and EEXIST while the name is taken. Gives what it gave, and the path.
template <class Make>
std::pair<int, std::string> make_unique(const Place& place, Make make) {
    for (int i = 0; i < attempts; ++i) {
        std::string path = place.path();
        const int result = detail::without_eintr([&] { return make(path.c_str()); });
        if (result >= 0) return {result, std::move(path)};
        if (errno != EEXIST) asyncio::throw_os_error(errno, in_quotes(path));
    }
    asyncio::throw_os_error(EEXIST, "no usable temporary name in " + in_quotes(place.directory));
}

std::pair<int, std::string> make_named(const Place& place) {
    return make_unique(place, [](const char* path) {
        return ::open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    });
}

int make_unnamed(const Place& place) {
    const int fd = detail::without_eintr([&] {
        return ::open(place.directory.c_str(), O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    });
    if (fd >= 0) return fd;
    // Not every file system has them.
    const auto [named, path] = make_named(place);
    ::unlink(path.c_str());
    return named;
}

ObjectPointer make_object(const std::string& mode, const TempFileOptions& options,
                          std::source_location where) {
    ObjectPointer object = detail::make_object(mode, {.buffering = options.buffering,
                                                      .encoding = options.encoding,
                                                      .errors = options.errors,
                                                      .newline = options.newline,
                                                      .executor = options.executor});
    object->core->opened_at = where;
    object->core->shown_name = "a temporary file";
    return object;
}

Coroutine<File> open_temporary(std::string mode, TempFileOptions options,
                               std::source_location where) {
    ObjectPointer object = make_object(mode, options, where);
    Place place = place_for(options.dir, options.prefix, options.suffix);
    co_return co_await detail::open_by(std::move(object), [place = std::move(place)](Core& core) {
        const int fd = make_unnamed(place);
        core.name = std::to_string(fd);
        return fd;
    });
}

Coroutine<File> open_named(std::string mode, TempFileOptions options, std::source_location where) {
    using detail::Removal;
    ObjectPointer object = make_object(mode, options, where);
    Place place = place_for(options.dir, options.prefix, options.suffix);
    const Removal removal = !options.delete_          ? Removal::never
                            : options.delete_on_close ? Removal::on_close
                                                      : Removal::on_exit;
    co_return co_await detail::open_by(std::move(object),
                                       [place = std::move(place), removal](Core& core) {
                                           auto [fd, path] = make_named(place);
                                           core.name = path;
                                           core.shown_name = in_quotes(path);
                                           core.removal = removal;
                                           core.removal_path = std::move(path);
                                           return fd;
                                       });
}

Coroutine<AsyncSpooledTemporaryFile> open_spooled(std::string mode, TempFileOptions options) {
    ObjectPointer object = make_object(mode, options, std::source_location());
    Core& core = *object->core;
    core.backing = detail::Backing::memory;
    core.seekable = true;
    core.spool_limit = options.max_size;
    core.shown_name = "a spooled temporary file";
    // Where it will be is looked for when it is needed, as in Python.
    core.open_spool_file = [options] {
        return make_unnamed(place_for(options.dir, options.prefix, options.suffix));
    };
    co_return AsyncSpooledTemporaryFile(std::move(object));
}

}  // namespace

Opening TemporaryFile(std::string mode, TempFileOptions options, std::source_location where) {
    return Opening(open_temporary(std::move(mode), std::move(options), where));
}

Opening NamedTemporaryFile(std::string mode, TempFileOptions options, std::source_location where) {
    return Opening(open_named(std::move(mode), std::move(options), where));
}

SpooledOpening SpooledTemporaryFile(std::string mode, TempFileOptions options) {
    return SpooledOpening(open_spooled(std::move(mode), std::move(options)));
}

namespace {

Coroutine<void> roll_over(ObjectPointer file) {
    Core& core = detail::open_core(*file);
    if (!core.take_turn_if_free()) co_await core.wait_for_turn();
    const detail::TurnEnd turn(core);
    detail::open_core(*file);
    co_await core.roll_over();
}

}  // namespace

Coroutine<void> AsyncSpooledTemporaryFile::rollover() {
    return roll_over(object());
}

Coroutine<int> AsyncSpooledTemporaryFile::fileno() {
    const File file = *this;
    co_await roll_over(file.object());
    co_return file.fileno();
}

Coroutine<AsyncSpooledTemporaryFile> AsyncSpooledTemporaryFile::aenter() {
    co_return *this;
}

Coroutine<AsyncSpooledTemporaryFile> SpooledOpening::fetch() {
    if (!file_) file_ = co_await std::move(opening_);
    co_return file_;
}

Coroutine<void> SpooledOpening::aexit(std::exception_ptr error) {
    co_await file_.aexit(error);
}

// ---- directories --------------------------------------------------------------------------

namespace {

int remove_tree(int parent, const char* name);

// All names first: removing while reading may skip some.
std::vector<std::string> names_in(DIR* directory) {
    std::vector<std::string> names;
    ::rewinddir(directory);
    while (const dirent* const entry = ::readdir(directory)) {
        const std::string_view child = entry->d_name;
        if (child != "." && child != "..") names.emplace_back(child);
    }
    return names;
}

// What somebody else removed meanwhile is no error: a file that was open in there may go by
// itself at the same time, in another thread.
int remove_content(DIR* directory) {
    int error = 0;
    for (const std::string& child : names_in(directory)) {
        const int failed = remove_tree(::dirfd(directory), child.c_str());
        if (failed != 0 && failed != ENOENT) error = failed;
    }
    return error;
}

// The errno that stopped it, 0 if nothing did. Through descriptors, so that nobody can put a
// link in the way.
int remove_tree(int parent, const char* name) {
    if (::unlinkat(parent, name, 0) == 0) return 0;
    if (errno != EISDIR && errno != EPERM) return errno;
    const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return errno;
    DIR* const directory = ::fdopendir(fd);
    if (directory == nullptr) {
        const int error = errno;
        ::close(fd);
        return error;
    }
    // Again, when an open that was cancelled put one more file there; it ends soon.
    constexpr int passes = 10;
    int error = 0;
    for (int pass = 0; pass < passes; ++pass) {
        error = remove_content(directory);
        if (error == 0 && ::unlinkat(parent, name, AT_REMOVEDIR) != 0) error = errno;
        if (error != ENOTEMPTY) break;
    }
    ::closedir(directory);
    return error;
}

}  // namespace

struct AsyncTemporaryDirectory::State {
    std::string path;
    std::atomic<bool> removed{false};  // or about to be, by a call that has begun
    std::shared_ptr<concurrent::futures::ThreadPoolExecutor> executor = {};

    explicit State(std::string path) : path(std::move(path)) {}
    State(const State&) = delete;
    ~State() {
        if (removed) return;
        const auto remove = [path = path] {
            const int error = remove_tree(AT_FDCWD, path.c_str());
            if (error == 0 || error == ENOENT) return;
            asyncio::log(asyncio::LogLevel::error,
                         "removing the temporary directory " + in_quotes(path) +
                             " failed: " + std::generic_category().message(error));
        };
        asyncio::EventLoop* const loop = asyncio::detail::this_thread.running;
        try {
            if (loop != nullptr && !loop->is_closed()) {
                detail::executor_or_default(executor, *loop).submit(remove);
                return;
            }
        } catch (...) {
            // The executor was shut down.
        }
        remove();
    }
};

namespace {

using DirectoryState = std::shared_ptr<AsyncTemporaryDirectory::State>;

template <class F>
auto in_executor(std::shared_ptr<concurrent::futures::ThreadPoolExecutor> executor, F f)
    -> Coroutine<std::invoke_result_t<F>> {
    asyncio::EventLoop& loop = asyncio::get_running_loop();
    co_return co_await loop.run_in_executor(detail::executor_or_default(executor, loop),
                                            std::move(f));
}

Coroutine<AsyncTemporaryDirectory> make_directory(TempDirOptions options) {
    Place place = place_for(options.dir, options.prefix, options.suffix);
    // The state is made in the thread: whoever drops it, the directory goes with it.
    DirectoryState state =
        co_await in_executor(options.executor, [place = std::move(place)]() -> DirectoryState {
            auto path =
                make_unique(place, [](const char* name) { return ::mkdir(name, 0700); }).second;
            return std::make_shared<AsyncTemporaryDirectory::State>(std::move(path));
        });
    state->executor = options.executor;
    co_return AsyncTemporaryDirectory(std::move(state));
}

Coroutine<void> clean_up(DirectoryState state) {
    const int error = co_await in_executor(state->executor, [state] {
        return state->removed.exchange(true) ? 0 : remove_tree(AT_FDCWD, state->path.c_str());
    });
    if (error != 0) asyncio::throw_os_error(error, in_quotes(state->path));
}

const DirectoryState& required(const DirectoryState& state) {
    if (!state) {
        throw asyncio::RuntimeError(
            "this names no directory: await aiofiles::tempfile::TemporaryDirectory() first");
    }
    return state;
}

}  // namespace

const std::string& AsyncTemporaryDirectory::name() const {
    return required(state_)->path;
}

Coroutine<void> AsyncTemporaryDirectory::cleanup() {
    return clean_up(required(state_));
}

Coroutine<AsyncTemporaryDirectory> DirectoryOpening::fetch() {
    if (!directory_) directory_ = co_await std::move(opening_);
    co_return directory_;
}

Coroutine<std::string> DirectoryOpening::aenter() {
    co_return (co_await fetch()).name();
}

Coroutine<void> DirectoryOpening::aexit(std::exception_ptr) {
    co_await directory_.cleanup();
}

DirectoryOpening TemporaryDirectory(TempDirOptions options) {
    return DirectoryOpening(make_directory(std::move(options)));
}

}  // namespace aiofiles::tempfile
