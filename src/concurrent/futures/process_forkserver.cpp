// The fork server: the program, stopped before main(), that forks when it is told.
// It never runs a thread, so that a fork copies no lock that somebody holds.
//
//   pool    request(ticket) + worker's socket
//   server  started(ticket, pid or errno) + pidfd  ...  ended(ticket, how)
//
// Each message is one packet. When the pool closes its end, the server ends, and
// with it the workers that are left.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <deque>
#include <iostream>
#include <vector>

#include <asyncio/exceptions.hpp>

#include "process_start.hpp"

namespace concurrent::futures::detail {
namespace {

struct Request {
    std::uint64_t ticket = 0;
};

struct Report {
    enum class Kind : std::uint32_t { ready, started, ended } kind = Kind::ready;
    pid_t pid = 0;
    std::uint64_t ticket = 0;
    int error = 0;
    ExitStatus status{};
};

// --- The pool's side ------------------------------------------------------------------------

class ForkServer final : public Launcher {
  public:
    ForkServer() {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
            asyncio::throw_os_error(errno, "making a socket for the fork server");
        }
        control_ = Descriptor(ends[0]);
        const Descriptor servers_end(ends[1]);
        server_ = spawn_program('s', servers_end.get());
    }

    ~ForkServer() override {
        control_.reset();
        wait_child(server_.pidfd.get());
    }

    void launch(std::uint64_t ticket, Descriptor socket) override {
        const Request request{ticket};
        const int descriptor = socket.get();
        if (!send_with(control_.get(), bytes_of(request), std::span(&descriptor, 1))) lose();
    }

    std::optional<Started> news() override {
        while (receive(MSG_DONTWAIT)) {
        }
        if (started_.empty()) return std::nullopt;
        Started first = std::move(started_.front());
        started_.pop_front();
        return first;
    }

    [[nodiscard]] int poll_descriptor() const noexcept override { return control_.get(); }

    [[nodiscard]] std::string failure() override {
        if (!lost_) return {};
        if (end_.kind == 0) end_ = wait_child(server_.pidfd.get());
        return std::string("the fork server ") + (was_ready_ ? "" : "did not begin to work: it ") +
               end_.describe();
    }

    ExitStatus reap(std::uint64_t ticket, int) override {
        for (;;) {
            const auto found =
                std::find_if(ended_.begin(), ended_.end(),
                             [&](const Report& report) { return report.ticket == ticket; });
            if (found != ended_.end()) {
                const ExitStatus status = found->status;
                ended_.erase(found);
                return status;
            }
            if (!receive(0)) return {};
        }
    }

  private:
    // Takes one report. False if there is none (with MSG_DONTWAIT) or never will be.
    bool receive(int flags) {
        if (lost_) return false;
        Report report;
        union {
            cmsghdr aligned;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control{};
        iovec data{&report, sizeof report};
        msghdr message{};
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        ssize_t count;
        do {
            count = recvmsg(control_.get(), &message, flags | MSG_CMSG_CLOEXEC);
        } while (count < 0 && errno == EINTR);
        if (count < 0 && errno == EAGAIN) return false;
        if (count != sizeof report) {
            lose();
            return false;
        }
        Descriptor pidfd;
        if (const cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr) {
            int descriptor;
            std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
            pidfd = Descriptor(descriptor);
        }
        switch (report.kind) {
            case Report::Kind::ready:
                was_ready_ = true;
                break;
            case Report::Kind::started:
                started_.push_back({report.ticket, report.pid, std::move(pidfd), report.error});
                break;
            case Report::Kind::ended:
                ended_.push_back(report);
                break;
        }
        return true;
    }

    void lose() { lost_ = true; }

    Descriptor control_;
    Child server_;
    std::deque<Started> started_;
    std::vector<Report> ended_;
    bool was_ready_ = false;
    bool lost_ = false;
    ExitStatus end_;
};

// --- The server's side ----------------------------------------------------------------------

struct ServedChild {
    std::uint64_t ticket;
    pid_t pid;
    Descriptor pidfd;
};

class Server {
  public:
    explicit Server(Descriptor control) : control_(std::move(control)) {}

    [[noreturn]] void run() {
        report({.kind = Report::Kind::ready});
        std::vector<pollfd> waiting;
        for (;;) {
            waiting.assign(1, {control_.get(), POLLIN, 0});
            for (const ServedChild& child : children_) {
                waiting.push_back({child.pidfd.get(), POLLIN, 0});
            }
            if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
            for (std::size_t i = waiting.size(); i-- > 1;) {
                if (waiting[i].revents != 0) reap(i - 1);
            }
            if (waiting[0].revents != 0) serve();
        }
    }

  private:
    void serve() {
        Request request;
        Descriptor socket;
        if (!receive_with(control_.get(), std::as_writable_bytes(std::span(&request, 1)),
                          std::span(&socket, 1))) {
            end();
        }
        const pid_t server = getpid();
        const pid_t pid = fork();
        if (pid == 0) {
            control_.reset();
            children_.clear();
            serve_calls(std::move(socket), server);
        }
        Report answer{.kind = Report::Kind::started, .ticket = request.ticket};
        if (pid < 0) {
            answer.error = errno;
            return report(answer);
        }
        answer.pid = pid;
        Descriptor pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
        if (!pidfd) {
            answer.error = errno;
            kill(pid, SIGKILL);
            waitpid(pid, nullptr, 0);
            return report(answer);
        }
        report(answer, pidfd.get());
        children_.push_back({request.ticket, pid, std::move(pidfd)});
    }

    void reap(std::size_t index) {
        const ServedChild child = std::move(children_[index]);
        children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(index));
        report({.kind = Report::Kind::ended,
                .pid = child.pid,
                .ticket = child.ticket,
                .status = wait_child(child.pidfd.get())});
    }

    void report(const Report& report, int descriptor = -1) {
        const std::span<const int> attached(&descriptor, descriptor < 0 ? 0 : 1);
        if (!send_with(control_.get(), bytes_of(report), attached)) end();
    }

    // The pool is gone. It has seen its workers end, unless the program died.
    [[noreturn]] void end() {
        for (const ServedChild& child : children_) kill(child.pid, SIGKILL);
        for (const ServedChild& child : children_) waitpid(child.pid, nullptr, 0);
        leave(0);
    }

    Descriptor control_;
    std::vector<ServedChild> children_;
};

}  // namespace

std::unique_ptr<Launcher> make_fork_server() {
    return std::make_unique<ForkServer>();
}

void serve_forks(Descriptor control, pid_t parent) {
    become_child("pool-forkserver", parent);
    // What initialisers printed, before it is copied into each worker.
    std::cout.flush();
    std::fflush(nullptr);
    Server& server = *new Server(std::move(control));  // the workers leave from within
    server.run();
}

}  // namespace concurrent::futures::detail
