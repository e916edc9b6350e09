// An operating system in a hundred lines: tasks are plain generators, a co_yield is a trap. A
// task yields a system call, the scheduler carries it out, and sends the answer when it is the
// task's turn again.

#include <asyncio/generators.hpp>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace {

class Scheduler;
struct Process;

// [system_call]
struct SystemCall {
    virtual ~SystemCall() = default;
    virtual void carry_out(Scheduler& scheduler, Process& caller) = 0;
};

// A body yields system calls, nullptr to let others have their turn, and takes answers.
using Trap = std::unique_ptr<SystemCall>;
using Body = asyncio::Generator<Trap, int>;

struct Process {
    int id;
    Body body;
    std::optional<int> answer = std::nullopt;
};
// [/system_call]

// [scheduler]
class Scheduler {
  public:
    int start(Body body) {
        const int id = ++last_id_;
        processes_.emplace(id, Process{id, std::move(body)});
        ready_.push_back(id);
        return id;
    }
    void answer(Process& process, std::optional<int> value) {
        process.answer = value;
        ready_.push_back(process.id);
    }
    bool wait_for(Process& waiting, int id) {
        if (!processes_.contains(id)) return false;
        waiting_for_.emplace(id, waiting.id);
        return true;
    }
    bool end(int id) {
        if (processes_.erase(id) == 0) return false;  // closes the body
        const auto [first, last] = waiting_for_.equal_range(id);
        for (auto it = first; it != last; ++it) answer(processes_.at(it->second), 1);
        waiting_for_.erase(first, last);
        return true;
    }
    void run() {
        while (!ready_.empty()) {
            const auto it = processes_.find(ready_.front());
            ready_.pop_front();
            if (it == processes_.end()) continue;  // it was killed
            step(it->second);
        }
    }

  private:
    void step(Process& process) {
        std::optional<Trap> trap =
            process.answer ? process.body.send(*process.answer) : process.body.next();
        process.answer.reset();
        if (!trap) {
            fmt::print("process {} has ended\n", process.id);
            end(process.id);
        } else if (*trap) {
            (*trap)->carry_out(*this, process);
        } else {
            answer(process, std::nullopt);
        }
    }

    int last_id_ = 0;
    std::map<int, Process> processes_;
    std::multimap<int, int> waiting_for_;  // who has to end, who waits
    std::deque<int> ready_;
};
// [/scheduler]

// [calls]
struct GetId : SystemCall {
    void carry_out(Scheduler& scheduler, Process& caller) override {
        scheduler.answer(caller, caller.id);
    }
};
struct Start : SystemCall {
    explicit Start(Body body) : body(std::move(body)) {}
    void carry_out(Scheduler& scheduler, Process& caller) override {
        scheduler.answer(caller, scheduler.start(std::move(body)));
    }
    Body body;
};
struct Kill : SystemCall {
    explicit Kill(int id) : id(id) {}
    void carry_out(Scheduler& scheduler, Process& caller) override {
        scheduler.answer(caller, scheduler.end(id) ? 1 : 0);
    }
    int id;
};
struct WaitFor : SystemCall {
    explicit WaitFor(int id) : id(id) {}
    void carry_out(Scheduler& scheduler, Process& caller) override {
        if (!scheduler.wait_for(caller, id)) scheduler.answer(caller, 0);
    }
    int id;
};
// [/calls]

// [processes]
// A part of a process: system calls reach the scheduler through any number of yield_from(). The
// library steps the innermost generator itself, so that depth costs nothing: its trampoline.
asyncio::Generator<Trap, int, std::string> name_and_number(std::string name) {
    const std::optional<int> id = co_yield std::make_unique<GetId>();
    co_return fmt::format("{} is process {}", name, *id);
}

Body count(std::string name, int to) {
    const std::string text = co_yield yield_from(name_and_number(name));
    for (int i = 1; i <= to; ++i) {
        fmt::print("{}: {}\n", text, i);
        co_yield nullptr;
    }
}

Body for_ever() {
    try {
        for (;;) co_yield nullptr;
    } catch (const asyncio::GeneratorExit&) {
        fmt::print("killed\n");
    }
}

Body parent() {
    const int endless = (co_yield std::make_unique<Start>(for_ever())).value();
    const int child = (co_yield std::make_unique<Start>(count("child", 3))).value();
    fmt::print("waiting for {}\n", child);
    co_yield std::make_unique<WaitFor>(child);
    fmt::print("killing {}\n", endless);
    co_yield std::make_unique<Kill>(endless);
}
// [/processes]

}  // namespace

int main() {
    // [scheduler_main]
    Scheduler scheduler;
    scheduler.start(parent());
    scheduler.start(count("other", 2));
    scheduler.run();
    // [/scheduler_main]
}
