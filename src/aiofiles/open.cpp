// Opening files: modes, options, what a descriptor is.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <aiofiles/stdio.hpp>
#include <array>
#include <cerrno>

#include "file_object.hpp"

namespace aiofiles {

UnsupportedOperation::~UnsupportedOperation() = default;

namespace detail {

namespace {

constexpr std::size_t default_buffer = 64 * 1024;

std::string in_quotes(std::string_view text) {
    return "'" + std::string(text) + "'";
}

}  // namespace

// ---- modes and options --------------------------------------------------------------------

Mode parse_mode(const std::string& mode) {
    Mode parsed;
    bool text = false;
    bool binary = false;
    for (std::size_t i = 0; i < mode.size(); ++i) {
        bool* const flag = mode[i] == 'r'   ? &parsed.reading
                           : mode[i] == 'w' ? &parsed.writing
                           : mode[i] == 'a' ? &parsed.appending
                           : mode[i] == 'x' ? &parsed.creating
                           : mode[i] == '+' ? &parsed.updating
                           : mode[i] == 't' ? &text
                           : mode[i] == 'b' ? &binary
                                            : nullptr;
        if (flag == nullptr || std::exchange(*flag, true)) {
            throw asyncio::ValueError("invalid mode: " + in_quotes(mode));
        }
    }
    if (text && binary) throw asyncio::ValueError("can't have text and binary mode at once");
    const int bases = parsed.reading + parsed.writing + parsed.appending + parsed.creating;
    if (bases != 1) {
        throw asyncio::ValueError("must have exactly one of create/read/write/append mode");
    }
    parsed.text = !binary;
    return parsed;
}

int Mode::flags() const noexcept {
    int flags = O_CLOEXEC;
    flags |= updating ? O_RDWR : reading ? O_RDONLY : O_WRONLY;
    if (writing) flags |= O_CREAT | O_TRUNC;
    if (appending) flags |= O_CREAT | O_APPEND;
    if (creating) flags |= O_CREAT | O_EXCL;
    return flags;
}

std::string Mode::binary_name() const {
    std::string name = creating ? "xb" : appending ? "ab" : readable() ? "rb" : "wb";
    if (updating) name += '+';
    return name;
}

TextFormat checked_format(const Mode& mode, const OpenOptions& options) {
    TextFormat format;
    if (!mode.text) {
        const auto refuse = [](const char* argument) {
            throw asyncio::ValueError(std::string("binary mode doesn't take ") + argument +
                                      " argument");
        };
        if (options.encoding) refuse("an encoding");
        if (options.errors) refuse("an errors");
        if (options.newline) refuse("a newline");
    } else {
        if (options.buffering == 0) throw asyncio::ValueError("can't have unbuffered text I/O");
        if (options.encoding) format.encoding = encoding_named(*options.encoding);
        if (options.errors) format.errors = errors_named(*options.errors);
        format.newline = newline_named(options.newline);
    }
    if (options.buffering < -1) throw asyncio::ValueError("invalid buffering size");
    return format;
}

void check_path(const std::string& path) {
    if (path.find('\0') != std::string::npos) throw asyncio::ValueError("embedded null byte");
}

ObjectPointer make_object(const std::string& mode, const OpenOptions& options) {
    const Mode parsed = parse_mode(mode);
    auto object = std::make_shared<FileObject>();
    object->core = std::make_shared<Core>();
    object->format = checked_format(parsed, options);
    Core& core = *object->core;
    core.readable = parsed.readable();
    core.writable = parsed.writable();
    core.appending = parsed.appending;
    core.close_fd = options.closefd;
    core.executor = options.executor;
    core.line_buffering = options.buffering == 1 && parsed.text;
    core.buffer_size = options.buffering > 1    ? static_cast<std::size_t>(options.buffering)
                       : options.buffering == 0 ? 0
                                                : default_buffer;
    core.mode = parsed.text ? mode : parsed.binary_name();
    object->view = parsed.text ? View::text : options.buffering == 0 ? View::raw : View::binary;
    return object;
}

// ---- descriptors --------------------------------------------------------------------------

int look_at(Core& core) noexcept {
    struct ::stat status{};
    if (::fstat(core.fd, &status) != 0) return errno;
    if (S_ISDIR(status.st_mode)) return EISDIR;
    const bool disk = S_ISREG(status.st_mode) || S_ISBLK(status.st_mode);
    core.backing = disk ? Backing::disk : Backing::stream;
    core.seekable = ::lseek(core.fd, 0, SEEK_CUR) >= 0;
    core.terminal = S_ISCHR(status.st_mode) && ::isatty(core.fd) != 0;
    if (core.appending && core.seekable) ::lseek(core.fd, 0, SEEK_END);
    return 0;
}

namespace {

class OpenStep final : public Step {
  public:
    OpenStep(Core& core, std::function<int(Core&)> open_it, bool by_line)
        : core_(core.shared_from_this()), open_(std::move(open_it)), by_line_(by_line) {}

    void work() override {
        Core& core = *core_;
        const int fd = open_(core);
        if (fd < 0) {
            failure = errno;
            return;
        }
        core.fd = fd;
        failure = look_at(core);
        if (failure != 0) return give_back();
        if (by_line_ && core.terminal) core.line_buffering = true;
        // As Python's buffered reader and writer in one.
        unseekable = core.readable && core.writable && !core.seekable && core.buffer_size > 0;
        if (unseekable) give_back();
    }
    void settle(Core&) override { core_.reset(); }
    int failure = 0;
    bool unseekable = false;

  private:
    void give_back() noexcept {
        if (core_->close_fd) ::close(core_->fd);
        core_->fd = -1;
    }

    // Opening is over before anybody else can see it.
    std::shared_ptr<Core> core_;
    std::function<int(Core&)> open_;
    bool by_line_;
};

}  // namespace

Coroutine<File> open_by(ObjectPointer object, std::function<int(Core&)> open_it) {
    Core& core = *object->core;
    const bool by_line = object->view == View::text && core.buffer_size == default_buffer;
    const auto step = std::make_shared<OpenStep>(core, std::move(open_it), by_line);
    co_await core.run(step);
    if (step->failure != 0) core.fail(step->failure);
    if (step->unseekable) {
        throw UnsupportedOperation("File or stream is not seekable: " + core.shown_name +
                                   " cannot be open for both reading and writing");
    }
    core.announced = true;
    co_return File(std::move(object));
}

namespace {

Coroutine<File> open_path(std::string path, std::string mode, OpenOptions options,
                          std::source_location where) {
    ObjectPointer object = make_object(mode, options);
    check_path(path);
    if (!options.closefd) {
        throw asyncio::ValueError("Cannot use closefd=False with file name");
    }
    Core& core = *object->core;
    core.name = path;
    core.shown_name = in_quotes(path);
    core.opened_at = where;
    const int flags = parse_mode(mode).flags();
    co_return co_await open_by(std::move(object), [path = std::move(path), flags,
                                                   opener = std::move(options.opener)](Core&) {
        if (opener) {
            const int fd = opener(path, flags);
            if (fd < 0) {
                throw asyncio::ValueError("opener returned " + std::to_string(fd));
            }
            return fd;
        }
        int fd = -1;
        do {
            fd = ::open(path.c_str(), flags, 0666);
        } while (fd < 0 && errno == EINTR);
        return fd;
    });
}

Coroutine<File> open_descriptor(int descriptor, std::string mode, OpenOptions options,
                                std::source_location where) {
    ObjectPointer object = make_object(mode, options);
    if (descriptor < 0) throw asyncio::ValueError("negative file descriptor");
    Core& core = *object->core;
    core.name = std::to_string(descriptor);
    core.shown_name = "descriptor " + core.name;
    core.opened_at = where;
    co_return co_await open_by(std::move(object), [descriptor](Core&) { return descriptor; });
}

Coroutine<File> open_c_file(std::FILE* file, std::string mode, OpenOptions options) {
    if (file == nullptr) throw asyncio::ValueError("wrap() needs a FILE");
    options.closefd = false;
    ObjectPointer object = make_object(mode, options);
    Core& core = *object->core;
    const int descriptor = ::fileno(file);
    core.name = std::to_string(descriptor);
    core.shown_name = "descriptor " + core.name;
    co_return co_await open_by(std::move(object), [file, descriptor](Core&) {
        // Also puts the descriptor where the FILE has read to.
        return std::fflush(file) == 0 ? descriptor : -1;
    });
}

}  // namespace

}  // namespace detail

Opening open(std::string path, std::string mode, OpenOptions options, std::source_location where) {
    return Opening(detail::open_path(std::move(path), std::move(mode), std::move(options), where));
}

Opening open(int descriptor, std::string mode, OpenOptions options, std::source_location where) {
    return Opening(detail::open_descriptor(descriptor, std::move(mode), std::move(options), where));
}

Opening wrap(std::FILE* file, std::string mode, OpenOptions options) {
    return Opening(detail::open_c_file(file, std::move(mode), std::move(options)));
}

Coroutine<File> Opening::fetch() {
    if (!file_) file_ = co_await std::move(opening_);
    co_return file_;
}

Coroutine<void> Opening::aexit(std::exception_ptr error) {
    co_await file_.aexit(error);
}

// ---- standard streams ---------------------------------------------------------------------

constinit File stdin_{detail::Standard{0, true}};
constinit File stdout_{detail::Standard{1, true}};
constinit File stderr_{detail::Standard{2, true}};
constinit File stdin_bytes{detail::Standard{0, false}};
constinit File stdout_bytes{detail::Standard{1, false}};
constinit File stderr_bytes{detail::Standard{2, false}};

namespace detail {

namespace {

ObjectPointer make_standard(int descriptor) {
    const bool input = descriptor == 0;
    ObjectPointer object =
        make_object(input ? "rb" : "wb", {.buffering = input ? -1 : 0, .closefd = false});
    object->view = View::binary;
    Core& core = *object->core;
    core.fd = descriptor;
    core.name = descriptor == 0 ? "<stdin>" : descriptor == 1 ? "<stdout>" : "<stderr>";
    core.shown_name = core.name;
    core.standard = true;
    return object;
}

ObjectPointer standard_bytes(int descriptor) {
    // Never destroyed: other objects' destructors may still write.
    static auto* const all =
        new std::array<ObjectPointer, 3>{make_standard(0), make_standard(1), make_standard(2)};
    return (*all)[static_cast<std::size_t>(descriptor)];
}

ObjectPointer standard_text(int descriptor) {
    static auto* const all = [] {
        auto* const made = new std::array<ObjectPointer, 3>;
        for (int i = 0; i < 3; ++i) {
            auto object = std::make_shared<FileObject>(*standard_bytes(i));
            object->view = View::text;
            if (i == 2) object->format.errors = Errors::backslashreplace;
            (*made)[static_cast<std::size_t>(i)] = std::move(object);
        }
        return made;
    }();
    return (*all)[static_cast<std::size_t>(descriptor)];
}

}  // namespace

}  // namespace detail

std::shared_ptr<detail::FileObject> File::object() const {
    if (object_) return object_;
    if (standard_.descriptor < 0) {
        throw asyncio::RuntimeError("this File names nothing: await aiofiles::open() first");
    }
    detail::ObjectPointer object = standard_.text ? detail::standard_text(standard_.descriptor)
                                                  : detail::standard_bytes(standard_.descriptor);
    object->core->look_again();
    return object;
}

}  // namespace aiofiles
