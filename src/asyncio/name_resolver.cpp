#include "name_resolver.hpp"

#include <ares.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <asyncio/futures.hpp>
#include <asyncio/log.hpp>

#include "fd_watchers.hpp"
#include "loop_state.hpp"

namespace asyncio::detail {

namespace {

constexpr const char* resolver_file = "/etc/resolv.conf";

int eai_of(int status) noexcept {
    switch (status) {
        case ARES_SUCCESS:
            return 0;
        case ARES_ENODATA:
            return EAI_NODATA;
        case ARES_ENOTFOUND:
        case ARES_EBADNAME:
            return EAI_NONAME;
        case ARES_ENOMEM:
            return EAI_MEMORY;
        case ARES_EFORMERR:
        case ARES_EBADRESP:
        case ARES_ENOTIMP:
            return EAI_FAIL;
        case ARES_EBADFAMILY:
            return EAI_FAMILY;
        default:  // nobody answered, or all said that they cannot now
            return EAI_AGAIN;
    }
}

// What the system's own resolver takes from `options timeout:N attempts:N`, which this one
// does not read.
struct Patience {
    int timeout_ms = 5000;
    int tries = 2;

    void read(const std::string& options) {
        std::istringstream words(options);
        for (std::string word; words >> word;) {
            const auto value = [&](std::string_view key, int most) {
                if (!word.starts_with(key)) return 0;
                return std::clamp(std::atoi(word.c_str() + key.size()), 1, most);
            };
            if (const int seconds = value("timeout:", 30)) timeout_ms = seconds * 1000;
            if (const int attempts = value("attempts:", 5)) tries = attempts;
        }
    }
};

Patience system_patience() {
    Patience patience;
    std::ifstream file(resolver_file);
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("options")) patience.read(line.substr(7));
    }
    if (const char* more = std::getenv("RES_OPTIONS")) patience.read(more);
    return patience;
}

// Changes whenever somebody wrote or replaced the file.
struct FileVersion {
    timespec changed = {};
    ino_t inode = 0;

    static FileVersion of(const char* path) noexcept {
        struct stat status{};
        if (::stat(path, &status) != 0) return {};
        return {.changed = status.st_mtim, .inode = status.st_ino};
    }
    friend bool operator==(const FileVersion& a, const FileVersion& b) noexcept {
        return a.inode == b.inode && a.changed.tv_sec == b.changed.tv_sec &&
               a.changed.tv_nsec == b.changed.tv_nsec;
    }
};

[[noreturn]] void throw_ares(int status, const std::string& doing) {
    throw OSError(status == ARES_ENOMEM ? ENOMEM : EINVAL, doing + ": " + ares_strerror(status));
}

// A channel of c-ares: settings, sockets and the questions under way.
class Channel {
  public:
    Channel(EventLoop& loop, const ResolverOptions& options) : loop_(loop), watchers_(loop) {
        Patience patience = system_patience();
        if (options.timeout) patience.timeout_ms = static_cast<int>(options.timeout->count());
        if (options.tries) patience.tries = *options.tries;
        ares_options settings{};
        settings.timeout = patience.timeout_ms;
        settings.tries = patience.tries;
        settings.sock_state_cb = [](void* self, ares_socket_t fd, int readable, int writable) {
            static_cast<Channel*>(self)->watch(fd, readable != 0, writable != 0);
        };
        settings.sock_state_cb_data = this;
        int status = ares_init_options(
            &channel_, &settings, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
        if (status != ARES_SUCCESS) throw_ares(status, "name resolver");
        if (options.servers.empty()) return;
        std::string list;
        for (const std::string& server : options.servers) list += server + ",";
        status = ares_set_servers_ports_csv(channel_, list.c_str());
        if (status == ARES_SUCCESS) return;
        ares_destroy(channel_);
        throw ValueError("not the address of a name server, or several: " + list);
    }
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;
    // Questions under way get no answer. Not within an answer.
    ~Channel() { close(true); }

    [[nodiscard]] bool idle() const noexcept { return questions_ == 0; }

    void close(bool loop_alive) noexcept {
        if (channel_ == nullptr) return;
        loop_alive_ = loop_alive;
        closing_ = true;
        alarm_.cancel();
        ares_destroy(channel_);
        channel_ = nullptr;
    }

    // A question's state, until c-ares has answered it.
    template <class Answer>
    struct Question {
        Channel* channel;
        Future<Answer> caller;

        void answered(Answer answer) {
            --channel->questions_;
            if (!channel->closing_ && !caller.done()) caller.set_result(std::move(answer));
        }
    };

    // `ask(channel, question)` hands a question to c-ares, which may answer it at once.
    template <class Answer, class Ask>
    Future<Answer> put(Ask ask) {
        Future<Answer> caller = loop_.create_future<Answer>();
        ++questions_;
        ask(channel_, new Question<Answer>{this, caller});
        set_alarm();
        return caller;
    }

  private:
    // Called by C code, which nothing may be thrown through.
    void watch(int fd, bool readable, bool writable) noexcept {
        if (!loop_alive_) return;
        try {
            watch_for(POLLIN, fd, readable);
            watch_for(POLLOUT, fd, writable);
        } catch (const std::exception& error) {  // the question will run into its timeout
            log(LogLevel::warning, std::string("name resolver: ") + error.what());
        }
        // It is about to be closed, and its number given to another.
        if (!readable && !writable) EventLoop::Internals::state(loop_).proactor->forget(fd);
    }
    void watch_for(std::uint32_t events, int fd, bool wanted) {
        if (!wanted) {
            watchers_.remove(fd, events);
            return;
        }
        watchers_.add(fd, events, Context(), bind_call([this, fd, events] {
                          ares_process_fd(channel_, events == POLLIN ? fd : ARES_SOCKET_BAD,
                                          events == POLLOUT ? fd : ARES_SOCKET_BAD);
                          set_alarm();
                      }));
    }

    // For when c-ares next wants to give up on a server.
    void set_alarm() {
        alarm_.cancel();
        timeval storage{};
        const timeval* wait = ares_timeout(channel_, nullptr, &storage);
        if (wait == nullptr) return;
        alarm_ = loop_.call_later(
            std::chrono::seconds(wait->tv_sec) + std::chrono::microseconds(wait->tv_usec), [this] {
                ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
                set_alarm();
            });
    }

    EventLoop& loop_;
    FdWatchers watchers_;
    ares_channel channel_ = nullptr;
    TimerHandle alarm_;
    std::size_t questions_ = 0;
    bool closing_ = false;
    bool loop_alive_ = true;
};

HostAnswer read_addresses(int status, const ares_addrinfo* found) {
    HostAnswer answer{.error = eai_of(status)};
    if (found == nullptr) return answer;
    for (const ares_addrinfo_node* node = found->nodes; node != nullptr; node = node->ai_next) {
        answer.addresses.emplace_back(node->ai_addr, node->ai_addrlen);
    }
    if (found->name != nullptr) answer.canonname = found->name;
    // The last alias leads to the name that the addresses are of.
    for (const ares_addrinfo_cname* alias = found->cnames; alias != nullptr; alias = alias->next) {
        if (alias->name != nullptr) answer.canonname = alias->name;
    }
    return answer;
}

class AresResolver final : public NameResolver, public LoopResource {
  public:
    explicit AresResolver(EventLoop& loop) : loop_(loop) { link(loop); }

    Coroutine<HostAnswer> ask_host(std::string name, int family, int flags) override {
        co_return co_await channel().put<HostAnswer>([&](ares_channel channel, auto* question) {
            ares_addrinfo_hints hints{};
            hints.ai_family = family;
            if ((flags & AI_CANONNAME) != 0) hints.ai_flags = ARES_AI_CANONNAME;
            ares_getaddrinfo(
                channel, name.c_str(), nullptr, &hints,
                [](void* context, int status, int, ares_addrinfo* found) {
                    const std::unique_ptr<Channel::Question<HostAnswer>> question(
                        static_cast<Channel::Question<HostAnswer>*>(context));
                    const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owner(
                        found, ares_freeaddrinfo);
                    question->answered(read_addresses(status, found));
                },
                question);
        });
    }

    Coroutine<NameAnswer> ask_name(SocketAddress address, int flags) override {
        co_return co_await channel().put<NameAnswer>([&](ares_channel channel, auto* question) {
            const int ares_flags = ARES_NI_LOOKUPHOST | ARES_NI_NAMEREQD |
                                   ((flags & NI_NOFQDN) != 0 ? ARES_NI_NOFQDN : 0);
            ares_getnameinfo(
                channel, address.data(), address.size(), ares_flags,
                [](void* context, int status, int, char* node, char*) {
                    const std::unique_ptr<Channel::Question<NameAnswer>> question(
                        static_cast<Channel::Question<NameAnswer>*>(context));
                    question->answered(
                        {.error = eai_of(status), .host = node != nullptr ? node : ""});
                },
                question);
        });
    }

    void set_options(ResolverOptions options) override {
        auto next = std::make_unique<Channel>(loop_, options);  // throws for what makes no sense
        options_ = std::move(options);
        replace(std::move(next));
    }

    void loop_closed() noexcept override {
        for (const auto& channel : channels_) channel->close(false);
        channels_.clear();
    }

  private:
    // With the settings of now, as the system's own resolver takes them.
    Channel& channel() {
        std::erase_if(channels_,
                      [&](const auto& old) { return old != channels_.back() && old->idle(); });
        if (channels_.empty() || FileVersion::of(resolver_file) != version_) {
            replace(std::make_unique<Channel>(loop_, options_));
        }
        return *channels_.back();
    }
    void replace(std::unique_ptr<Channel> next) {
        version_ = FileVersion::of(resolver_file);
        channels_.push_back(std::move(next));
    }

    EventLoop& loop_;
    ResolverOptions options_;
    FileVersion version_;
    // The last is the one to ask; those before it only wait for their answers.
    std::vector<std::unique_ptr<Channel>> channels_;
};

}  // namespace

std::unique_ptr<NameResolver> make_name_resolver(EventLoop& loop) {
    return std::make_unique<AresResolver>(loop);
}

}  // namespace asyncio::detail
