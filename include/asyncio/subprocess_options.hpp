// asyncio/subprocess_options.hpp - how a child process is to be started.
//
//   using namespace asyncio::subprocess;
//   SubprocessOptions options{
//       .stdin_ = DEVNULL,              // from nowhere
//       .stdout_ = PIPE,                // to us
//       .stderr_ = STDOUT,              // where stdout_ goes
//       .cwd = "/var/tmp",
//       .env = environment(),           // this process's own, as a map to change
//   };
//   options.env->insert_or_assign("LC_ALL", "C");
//
// Source: the keyword arguments of Python's subprocess.Popen that asyncio passes on.
#pragma once

#include <sys/types.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace asyncio {
namespace subprocess {

// The values of Python's constants of these names.
enum class Special : std::int8_t {
    PIPE = -1,     // a new pipe to a stream of ours
    STDOUT = -2,   // only for stderr_: where stdout_ goes
    DEVNULL = -3,  // /dev/null
};
using enum Special;

// What one of the child's standard streams is connected to.
class Stdio {
  public:
    enum class Kind : std::uint8_t { unset, inherit, special, descriptor };

    // The default of the call: inherited for create_subprocess_exec() and its like, PIPE for
    // EventLoop::subprocess_exec() and its like.
    constexpr Stdio() noexcept = default;
    // Python's None: the child has ours.
    constexpr Stdio(std::nullopt_t) noexcept : kind_(Kind::inherit) {}
    constexpr Stdio(Special special) noexcept
        : kind_(Kind::special), value_(static_cast<int>(special)) {}
    // The child gets a duplicate of an open descriptor, which stays the caller's and has to be
    // open until the call that starts the child has returned.
    constexpr Stdio(int descriptor) noexcept : kind_(Kind::descriptor), value_(descriptor) {}
    // The same of a file or socket. What a FILE has buffered is not written out first.
    explicit(false) Stdio(std::FILE* file) noexcept
        : Stdio(file != nullptr ? ::fileno(file) : -1) {}
    template <class T>
        requires requires(const T& object) {
            { object.fileno() } -> std::convertible_to<int>;
        }
    Stdio(const T& object) : Stdio(static_cast<int>(object.fileno())) {}

    [[nodiscard]] constexpr Kind kind() const noexcept { return kind_; }
    // Of Kind::descriptor.
    [[nodiscard]] constexpr int descriptor() const noexcept { return value_; }
    [[nodiscard]] constexpr bool is(Special special) const noexcept {
        return kind_ == Kind::special && value_ == static_cast<int>(special);
    }

  private:
    Kind kind_ = Kind::unset;
    int value_ = -1;
};

using Environment = std::map<std::string, std::string>;

// A copy of this process's environment, Python's os.environ.
// Thread: any, unless another one changes the environment at the same time.
[[nodiscard]] Environment environment();

}  // namespace subprocess

struct SubprocessOptions {
    subprocess::Stdio stdin_ = {};
    subprocess::Stdio stdout_ = {};
    subprocess::Stdio stderr_ = {};
    // Bytes that the streams of a Process buffer before the child has to wait, and the longest
    // line their readline() takes. Not used by EventLoop::subprocess_exec() and its like.
    std::size_t limit = 64 * 1024;
    // The child starts here. A relative program with a slash is looked for from here.
    std::optional<std::filesystem::path> cwd = {};
    // All of the child's environment; default: ours. Its PATH is also where the program is
    // looked for.
    std::optional<subprocess::Environment> env = {};
    // What to execute in place of the first argument, which the program still gets as its
    // argv[0]. For shell commands: in place of /bin/sh.
    std::optional<std::filesystem::path> executable = {};
    // Of our other descriptors, the child gets those in `pass_fds` and no more; with `close_fds`
    // off, also all that are not marked close-on-exec.
    bool close_fds = true;
    std::vector<int> pass_fds = {};
    // SIGPIPE and SIGXFSZ, where ignored, are the default again in the child.
    bool restore_signals = true;
    // setsid() in the child.
    bool start_new_session = false;
    // setpgid(0, process_group) in the child: 0 is a group of its own.
    std::optional<pid_t> process_group = {};
    // By number, unlike in Python also by number only. They need privileges.
    std::optional<gid_t> group = {};
    std::optional<std::vector<gid_t>> extra_groups = {};
    std::optional<uid_t> user = {};
    std::optional<mode_t> umask = {};
    // Bytes of buffer in each PIPE, where the kernel allows; default: its own, 64 KiB.
    std::optional<int> pipesize = {};
};

}  // namespace asyncio
