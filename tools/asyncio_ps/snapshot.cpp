#include "snapshot.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>
#include "asyncio/describe.hpp"

#include "tables.hpp"
#include "types.hpp"

namespace asyncio_ps {

namespace {

// The process goes on while it is read, so each list and each task is read until two looks at
// it agree, this many times at most.
constexpr int tries_of_a_list = 40;
constexpr int tries_of_a_task = 10;
constexpr useconds_t microseconds_between_tries = 500;
constexpr std::size_t most_loops = 100'000;
constexpr std::size_t most_waiters = 1'000'000;
constexpr std::size_t most_frames = 2'000'000;
// What a very deep stack shows of its two ends.
constexpr std::size_t frames_shown = 50;

std::int64_t monotonic_now() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{1'000'000'000} * now.tv_sec + now.tv_nsec;
}

// A task's bytes as they were at one read.
class Bytes {
  public:
    Bytes(const Memory& memory, Address from, std::size_t size) : bytes_(size) {
        memory.read(from, bytes_.data(), size);
    }
    template <class T>
    [[nodiscard]] T at(std::size_t offset) const {
        T value;
        std::memcpy(&value, bytes_.data() + offset, sizeof value);
        return value;
    }
    friend bool operator==(const Bytes&, const Bytes&) = default;

  private:
    std::vector<unsigned char> bytes_;
};

class Reader {
  public:
    Reader(const Memory& memory, const Table& table, Snapshot& snapshot)
        : memory_(memory), table_(table), types_(memory, table), snapshot_(snapshot) {
        task_size_ = std::max({table.future_created, table.future_waiters + 8, table.task_links + 8,
                               table.task_node + 8, table.task_name, table.task_resume_at,
                               table.task_waiting_on, table.task_root, table.task_since,
                               table.task_cancel_requests}) +
                     8;
        future_size_ =
            std::max({table.future_state, table.future_is_task, table.future_waiters + 8}) + 8;
    }

    void read_loops() {
        std::vector<Address> loops;
        retry(tries_of_a_list, [&] { loops = list_at(table_.loops, most_loops); });
        for (const Address loop : loops) read_loop(loop);
    }

  private:
    // False when every try was torn.
    template <class F>
    static bool retry(int tries, F f) {
        for (int i = 0; i < tries; ++i) {
            try {
                f();
                return true;
            } catch (const Torn&) {
                usleep(microseconds_between_tries);
            }
        }
        return false;
    }

    // A circular list of next and previous, without its head.
    std::vector<Address> list_at(Address head, std::size_t most) {
        std::vector<Address> all;
        struct Links {
            Address next, previous;
        };
        Address previous = head;
        for (Address link = memory_.get<Links>(head).next; link != head;) {
            const auto links = memory_.get<Links>(link);
            if (links.previous != previous || all.size() == most) throw Torn();
            all.push_back(link);
            previous = std::exchange(link, links.next);
        }
        return all;
    }

    void read_loop(Address address) {
        Loop loop;
        loop.id = address;
        const auto read = [&] {
            loop.tid = memory_.get<std::int32_t>(address + table_.loop_tid);
            simulated_ = memory_.get<bool>(address + table_.loop_simulated);
            tasks_.clear();
            ready_.clear();
            read_ready_queue(address);
            read_task_list(address + table_.loop_tasks);
        };
        loop.complete = retry(tries_of_a_list, read);
        for (const Address task : tasks_) {
            Node node;
            node.id = task;
            bool done = false;
            const auto read_one = [&] { done = !read_task(task, node); };
            if (!retry(tries_of_a_task, read_one)) {
                loop.complete = false;
                continue;
            }
            if (done) continue;
            loop.tasks.push_back(task);
            snapshot_.nodes[task] = std::move(node);
        }
        read_plain_futures();
        if (loop.tid != 0) loop.thread = memory_.thread_name(loop.tid);
        snapshot_.loops.push_back(std::move(loop));
    }

    // Keeps what it found even if the list changes under it.
    void read_task_list(Address head) {
        const auto first = memory_.get<Address>(head);
        Address previous = head;
        for (Address link = first; link != head;) {
            struct {
                Address next, previous;
            } links{};
            memory_.read(link, &links, sizeof links);
            if (links.previous != previous) throw Torn();
            tasks_.push_back(link - table_.task_links);
            previous = std::exchange(link, links.next);
        }
    }

    void read_ready_queue(Address loop) {
        const auto queue = memory_.get<Address>(loop + table_.loop_ready);
        for (auto node = memory_.get<Address>(queue); node != 0;
             node = memory_.get<Address>(node)) {
            if (!ready_.insert(node).second) throw Torn();
        }
    }

    // False when it is done meanwhile.
    bool read_task(Address address, Node& node) {
        const Bytes task(memory_, address, task_size_);
        if (task.at<std::uint8_t>(table_.future_state) != 0) return false;
        if (task.at<std::uint8_t>(table_.future_is_task) != 1) throw Torn();
        Node fresh;
        fresh.id = address;
        fresh.is_task = true;
        fresh.name = task_name(task.at<Address>(table_.task_name));
        fresh.cancel_requests = task.at<std::uint32_t>(table_.task_cancel_requests);
        fresh.created = place_at(task.at<Address>(table_.future_created));
        fresh.awaited_by = waiters_of(address);
        const auto since = task.at<std::int64_t>(table_.task_since);
        if (since != 0 && !simulated_) {
            fresh.seconds = std::max(0.0, static_cast<double>(monotonic_now() - since) * 1e-9);
        }
        read_position(address, task, fresh);
        // The same task at the same place, or all of it was of two minds.
        const Bytes again(memory_, address, task_size_);
        if (fresh.state != State::running && !(again == task)) throw Torn();
        node = std::move(fresh);
        return true;
    }

    void read_position(Address address, const Bytes& task, Node& node) {
        const auto waiting_on = task.at<Address>(table_.task_waiting_on);
        const auto function = task.at<Address>(table_.task_node + 8);
        const auto root = task.at<Address>(table_.task_root);
        if (waiting_on == 0) {
            // Of what runs, only the outermost frame is sure to be there still.
            node.state = function == table_.task_first_step ? State::fresh : State::running;
            if (root != 0) read_stack(root, node);
            return;
        }
        read_stack(task.at<Address>(table_.task_resume_at), node);
        node.state = ready_.contains(address + table_.task_node) ? State::ready : State::waiting;
        describe_wait(waiting_on, node);
    }

    std::string task_name(Address word) {
        if ((word & 1) != 0) return "Task-" + std::to_string(word >> 1);
        if (table_.string_data == UINT32_MAX) return "a named task";
        return memory_.text(memory_.get<Address>(word + table_.string_data),
                            memory_.get<std::size_t>(word + table_.string_size));
    }

    Place place_at(Address address) {
        if (address == 0) return {};
        if (const auto known = places_.find(address); known != places_.end()) {
            return known->second;
        }
        Place place;
        place.file = memory_.text(memory_.get<Address>(address + table_.place_file));
        place.function = asyncio::detail::function_text(
            memory_.text(memory_.get<Address>(address + table_.place_function)).c_str());
        place.line = memory_.get<std::uint32_t>(address + table_.place_line);
        return places_[address] = place;
    }

    void read_stack(Address link, Node& node) {
        std::vector<Address> wheres;
        while (link != 0 && (link & table_.link_foreign) == 0) {
            const Address frame = link & ~Address{table_.link_marks};
            wheres.push_back(memory_.get<Address>(frame + table_.frame_where));
            link = memory_.get<Address>(frame + table_.frame_parent);
            if (wheres.size() == most_frames) throw Torn();
        }
        for (std::size_t i = 0; i < wheres.size(); ++i) {
            if (wheres.size() > 2 * frames_shown && i == frames_shown) {
                node.frames_left_out = wheres.size() - 2 * frames_shown;
                i += node.frames_left_out;
            }
            Place place = place_at(wheres[i]);
            // How with() or create_task(f) call the user's function is nobody's business.
            if (!place.function.starts_with("asyncio::detail::")) {
                node.stack.push_back(std::move(place));
            }
        }
    }

    void describe_wait(Address waiting_on, Node& node) {
        const Types::Object object = types_.object_at(waiting_on);
        if (const auto field = types_.field(object, table_.future_awaiter_awaits)) {
            describe_awaited(memory_.get<Address>(*field), node);
        } else if (const auto deadline = types_.field(object, table_.sleep)) {
            node.waits_for = "sleep";
            const auto left = memory_.get<std::int64_t>(*deadline) - monotonic_now();
            if (!simulated_) node.wakes_in = static_cast<double>(left) * 1e-9;
        } else if (types_.field(object, table_.yield)) {
            node.waits_for = "its next turn";
            node.state = State::ready;
        } else {
            node.waits_for = words_for(types_.name(object.type));
        }
    }

    void describe_awaited(Address future, Node& node) {
        const Bytes bytes(memory_, future, future_size_);
        // Done, and the loop has only to get round to it.
        if (bytes.at<std::uint8_t>(table_.future_state) != 0) node.state = State::ready;
        if (bytes.at<std::uint8_t>(table_.future_is_task) == 1) {
            node.waits_for = task_name(memory_.get<Address>(future + table_.task_name));
            return;
        }
        node.waits_for = kind_of_future(future);
        futures_.insert(future);
    }

    std::string kind_of_future(Address future) {
        const Types::Object object = types_.object_at(future);
        if (types_.field(object, table_.gather)) return "gather()";
        if (types_.field(object, table_.shield)) return "shield()";
        return "a future";
    }

    // "asyncio::Queue<int>::Getter" as "Queue::Getter", for what has no name of its own here.
    static std::string words_for(std::string type) {
        int depth = 0;
        std::string text;
        for (const char c : type) {
            if (c == '<') ++depth;
            if (depth == 0) text += c;
            if (c == '>') --depth;
        }
        for (const char* space : {"asyncio::detail::", "asyncio::"}) {
            if (text.starts_with(space)) text.erase(0, std::strlen(space));
        }
        if (text.ends_with("Awaiter") && !text.ends_with("::Awaiter")) {
            text.erase(text.size() - std::strlen("Awaiter"));
        }
        static const std::map<std::string, std::string> known = {
            {"Acquire", "lock or semaphore"},           {"Event::Awaiter", "event"},
            {"Condition::Notification", "condition"},   {"BasicQueue::Get", "queue, to get"},
            {"BasicQueue::Put", "queue, to put"},       {"QueueBase::Join", "queue, to be done"},
            {"Foreign", "another library's awaitable"},
        };
        const auto word = known.find(text);
        return word == known.end() ? text : word->second;
    }

    // The tasks and futures that wait for `future`.
    std::vector<Address> waiters_of(Address future) {
        std::vector<Address> ids;
        for (const Address link : list_at(future + table_.future_waiters, most_waiters)) {
            const Types::Object object =
                types_.object_at(link + static_cast<Address>(std::int64_t{table_.waiter_object}));
            Address waiter = 0;
            if (const auto field = types_.field(object, table_.future_awaiter)) {
                waiter = memory_.get<Address>(*field);
            } else if (const auto record = types_.field(object, table_.awaited_by)) {
                waiter = memory_.get<Address>(*record);
            } else if (const auto child = types_.field(object, table_.gather_child)) {
                waiter = memory_.get<Address>(memory_.get<Address>(*child) + table_.relay.field);
                futures_.insert(waiter);
            } else if (const auto relay = types_.field(object, table_.relay)) {
                waiter = memory_.get<Address>(*relay);
                futures_.insert(waiter);
            }
            if (waiter != 0) ids.push_back(waiter);
        }
        return ids;
    }

    // Those that tasks wait for or that wait for tasks, and so on.
    void read_plain_futures() {
        while (!futures_.empty()) {
            const Address future = *futures_.begin();
            futures_.erase(futures_.begin());
            if (snapshot_.nodes.contains(future)) continue;
            Node node;
            const auto read = [&] {
                node = Node();
                node.id = future;
                node.name = kind_of_future(future);
                node.awaited_by = waiters_of(future);
            };
            if (retry(tries_of_a_task, read)) snapshot_.nodes[future] = std::move(node);
        }
    }

    const Memory& memory_;
    const Table& table_;
    Types types_;
    Snapshot& snapshot_;
    std::size_t task_size_;
    std::size_t future_size_;
    std::map<Address, Place> places_;

    // Of the loop being read.
    bool simulated_ = false;
    std::vector<Address> tasks_;
    std::set<Address> ready_;
    std::set<Address> futures_;
};

}  // namespace

const char* name_of(State state) noexcept {
    switch (state) {
        case State::fresh:
            return "new";
        case State::ready:
            return "ready";
        case State::running:
            return "running";
        case State::waiting:
            break;
    }
    return "waiting";
}

Snapshot take_snapshot(const Memory& memory) {
    Snapshot snapshot;
    snapshot.pid = memory.pid();
    try {
        for (const Table& table : find_tables(memory)) {
            Reader(memory, table, snapshot).read_loops();
        }
    } catch (const Torn&) {
        throw Failure("process " + std::to_string(memory.pid()) + " could not be read; try again");
    }
    return snapshot;
}

}  // namespace asyncio_ps
