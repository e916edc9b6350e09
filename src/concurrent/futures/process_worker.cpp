// The child's side: how a process finds out that it is one, and what a worker does.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include <concurrent/futures/process_detail.hpp>

#include "process_errors.hpp"
#include "process_start.hpp"

extern "C" {
// Defined by process_entry.cpp where that is linked.
[[gnu::weak]] extern const char asyncio_cpp_process_entry;
// Written by the instrumentation of coverage builds; a worker skips the exit handlers.
[[gnu::weak]] int __llvm_profile_write_file();
[[gnu::weak]] void __gcov_dump();
}

namespace concurrent::futures::detail {
namespace {

// What the environment said when the process began.
struct Assignment {
    enum class Role { none, server, worker } role = Role::none;
    int socket = -1;
    pid_t parent = 0;
};
constinit Assignment assignment;
constinit bool main_was_entered = false;

// Runs before any initialiser of the user's, so that none of their code sees the
// variable, and a program they start does not take itself for a worker.
[[gnu::constructor(101)]] void read_assignment() {
    const char* text = std::getenv(child_variable);
    if (text == nullptr) return;
    char role = 0;
    int socket = -1, parent = 0;
    if (std::sscanf(text, "%c:%d:%d", &role, &socket, &parent) == 3) {
        assignment.role = role == 's' ? Assignment::Role::server : Assignment::Role::worker;
        assignment.socket = socket;
        assignment.parent = parent;
        fcntl(socket, F_SETFD, FD_CLOEXEC);
    }
    unsetenv(child_variable);
}

void take_over() {
    main_was_entered = true;
    if (assignment.role == Assignment::Role::none) return;
    const Assignment mine = std::exchange(assignment, Assignment());
    Descriptor socket(mine.socket);
    if (mine.role == Assignment::Role::server) serve_forks(std::move(socket), mine.parent);
    serve_calls(std::move(socket), mine.parent);
}

void flush_output() noexcept {
    try {
        std::cout.flush();
        std::clog.flush();
    } catch (...) {
        // The user asked for exceptions from a stream that cannot write.
    }
    std::fflush(nullptr);
}

class Worker {
  public:
    explicit Worker(Descriptor socket) : socket_(std::move(socket)) {}

    [[noreturn]] void run() {
        if (const Frame hello = greet(); hello.size != 0) take_messages(1);
        if (shared_.is_open()) serve_desk();
        for (;;) take_messages(UINT64_MAX);
    }

  private:
    Frame greet() {
        Frame hello;
        Descriptor received[2];
        if (!receive_with(socket_.get(), std::as_writable_bytes(std::span(&hello, 1)), received)) {
            leave(0);
        }
        if (received[0]) shared_.open(received[0].get());
        answered_ = std::move(received[1]);
        return hello;
    }

    // Through the socket, as many as are wanted; ends the process at the stream's end.
    void take_messages(std::uint64_t wanted) {
        while (wanted != 0) {
            std::span<const std::byte> payload;
            while (const Frame* frame = messages_.next(payload)) {
                MessageWriter& answer =
                    frame->kind == FrameKind::initialize ? first_answer_ : answers_[frame->slot];
                handle(*frame, payload, answer);
                if (--wanted == 0) return;
            }
            if (messages_.fill(socket_.get()) == MessageReader::Status::closed) leave(0);
        }
    }

    [[noreturn]] void serve_desk() {
        Desk& desk = shared_.desk();
        for (;;) {
            const std::uint32_t heard = desk.listen();
            if (take_call(desk)) continue;
            if (desk.closed.load() != 0) leave(0);
            desk.wait_after(heard);
        }
    }

    // Runs the older of the calls on offer. False if there is none.
    bool take_call(Desk& desk) {
        Desk::Slot* oldest = nullptr;
        std::uint64_t sequence = 0;
        for (Desk::Slot& slot : desk.slots) {
            const std::uint64_t standing = slot.offer.standing();
            if (standing == 0 || (oldest != nullptr && standing > sequence)) continue;
            oldest = &slot;
            sequence = standing;
        }
        if (oldest == nullptr) return false;
        // Else taken back by the pool, for a worker that had nothing to do.
        if (oldest->offer.claim(sequence)) {
            const auto index = static_cast<unsigned>(oldest - desk.slots);
            const Frame frame = oldest->call;
            const auto size = static_cast<std::size_t>(frame.size);
            handle(frame, {shared_.calls(index).reserve(size), size}, answers_[index]);
        }
        return true;
    }

    void handle(const Frame& frame, std::span<const std::byte> payload, MessageWriter& answer) {
        answer.clear();
        Call call{Reader(payload.data(), payload.size()), answer};
        const std::exception_ptr error = run_traced(Call::run, &call, running_);
        if (frame.kind == FrameKind::initialize && !error) return;

        Frame reply{.kind = FrameKind::result, .slot = frame.slot, .sequence = frame.sequence};
        if (error) {
            reply.kind = frame.kind == FrameKind::call ? FrameKind::error : FrameKind::broken;
            answer.clear();
            write_exception(answer, error, running_);
        }
        flush_output();
        if (!send(reply, answer)) leave(0);
        if (reply.kind == FrameKind::broken) leave(1);
    }

    bool send(Frame reply, MessageWriter& answer) {
        if (!answer.is_shared()) return send_all(socket_.get(), answer.finish(reply));
        Desk::Slot& slot = shared_.desk().slots[reply.slot];
        slot.answer = answer.complete(reply);
        slot.answered.store(reply.sequence, std::memory_order_release);
        return notify(answered_.get());
    }

    struct Call {
        Reader arguments;
        MessageWriter& result;

        static void run(void* self) {
            auto& call = *static_cast<Call*>(self);
            const void* function = read_code(call.arguments);
            reinterpret_cast<RemoteFunction*>(const_cast<void*>(function))(call.arguments,
                                                                           call.result);
        }
    };

    Descriptor socket_;
    SharedFile shared_;
    Descriptor answered_;  // an eventfd, to tell the pool
    MessageReader messages_;
    MessageWriter first_answer_;  // the initializer's, through the socket
    MessageWriter answers_[call_slots] = {MessageWriter(&shared_.results(0)),
                                          MessageWriter(&shared_.results(1))};
    std::vector<const void*> running_;
};

}  // namespace

bool is_unclaimed_child() noexcept {
    return assignment.role != Assignment::Role::none;
}

bool can_take_over() noexcept {
    return main_was_entered || &asyncio_cpp_process_entry != nullptr;
}

void become_child(const char* name, pid_t parent) {
    prctl(PR_SET_NAME, name);
    // A child must not outlive the program, however that ends.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);  // it ended before the line above
    // Ctrl-C goes to every process of the terminal. The pool's owner handles it.
    signal(SIGINT, SIG_IGN);
}

void serve_calls(Descriptor socket, pid_t parent) {
    become_child("pool-worker", parent);
    // The terminal's input belongs to the program.
    const Descriptor nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (nothing) dup2(nothing.get(), STDIN_FILENO);
    // Never destroyed, as leave() ends the process from within.
    Worker& worker = *new Worker(std::move(socket));
    worker.run();
}

void leave(int status) noexcept {
    flush_output();
    if (__llvm_profile_write_file != nullptr) __llvm_profile_write_file();
    if (__gcov_dump != nullptr) __gcov_dump();
    _exit(status);
}

}  // namespace concurrent::futures::detail

extern "C" void asyncio_cpp_before_main() {
    concurrent::futures::detail::take_over();
}

namespace multiprocessing {

std::string_view name(StartMethod method) noexcept {
    switch (method) {
        case StartMethod::spawn:
            return "spawn";
        case StartMethod::fork:
            return "fork";
        case StartMethod::forkserver:
            break;
    }
    return "forkserver";
}

void freeze_support() {
    concurrent::futures::detail::take_over();
}

}  // namespace multiprocessing
