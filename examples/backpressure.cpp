// The programs of docs/howto/backpressure.md.
#include <fmt/format.h>

#include <algorithm>
#include <asyncio.hpp>
#include <string>

using namespace std::chrono_literals;
using asyncio::Coroutine;
using asyncio::StreamPair;
using asyncio::StreamReader;
using asyncio::StreamWriter;

namespace {

constexpr int PIECES = 500;
const std::string PIECE(10'000, 'x');

// [without]
void send_all_at_once(StreamWriter writer) {
    for (int i = 0; i < PIECES; ++i) writer.write(PIECE);
}
// [/without]

// [drain]
Coroutine<void> send_as_it_goes(StreamWriter writer) {
    for (int i = 0; i < PIECES; ++i) {
        writer.write(PIECE);
        co_await writer.drain();
    }
}
// [/drain]

Coroutine<std::size_t> receive(StreamReader reader) {
    std::size_t bytes = 0;
    while (true) {
        const std::string part = co_await reader.read(64 * 1024);
        if (part.empty()) co_return bytes;
        bytes += part.size();
    }
}

// [marks]
Coroutine<void> until_all_is_sent(StreamWriter writer) {
    writer.transport()->set_write_buffer_limits({.high = 0});
    co_await writer.drain();  // returns when the kernel has it all
}
// [/marks]

// [queue]
Coroutine<void> produce(asyncio::Queue<int>& jobs) {
    for (int i = 0; i < 1000; ++i) co_await jobs.put(i);  // waits while it is full
    jobs.shutdown();
}

Coroutine<std::size_t> consume(asyncio::Queue<int>& jobs) {
    std::size_t most = 0;
    while (co_await jobs.next()) most = std::max(most, jobs.qsize());
    co_return most;
}
// [/queue]

// [protocol]
class Inbox : public asyncio::Protocol {
  public:
    Coroutine<std::optional<std::string>> next() {
        auto part = co_await parts_.next();
        if (parts_.empty()) transport_->resume_reading();
        co_return part;
    }

  private:
    void connection_made(std::shared_ptr<asyncio::Transport> transport) override {
        transport_ = std::move(transport);
    }
    void data_received(std::string_view data) override {
        parts_.put_nowait(std::string(data));
        if (parts_.qsize() >= 4) transport_->pause_reading();
    }
    void connection_lost(std::exception_ptr) override { parts_.shutdown(); }

    std::shared_ptr<asyncio::Transport> transport_;
    asyncio::Queue<std::string> parts_;
};
// [/protocol]

Coroutine<std::pair<StreamPair, StreamPair>> connected() {
    auto [ours, theirs] = asyncio::socketpair();
    co_return {co_await asyncio::open_unix_connection({.sock = std::move(ours)}),
               co_await asyncio::open_unix_connection({.sock = std::move(theirs)})};
}

void show_buffer(const StreamWriter& writer, std::string_view when) {
    const auto& transport = writer.transport();
    const auto [low, high] = transport->get_write_buffer_limits();
    fmt::print("{}: {} the high-water mark of {}\n", when,
               transport->get_write_buffer_size() > high ? "above" : "not above", high);
}

Coroutine<void> streams() {
    auto [here, there] = co_await connected();
    auto [from_there, to_there] = here;
    auto [from_here, to_here] = there;

    send_all_at_once(to_there);  // nobody reads yet
    show_buffer(to_there, "without drain()");
    auto receiving = asyncio::create_task(receive(from_here));
    co_await to_there.drain();
    show_buffer(to_there, "after drain()");
    co_await send_as_it_goes(to_there);
    show_buffer(to_there, "with drain()");

    co_await until_all_is_sent(to_there);
    show_buffer(to_there, "with a mark of our own");
    to_there.close();
    fmt::print("{} bytes received\n", co_await receiving);
    to_here.close();
}

Coroutine<void> queues() {
    asyncio::Queue<int> jobs(10);
    auto [_, most] = co_await asyncio::gather(produce(jobs), consume(jobs));
    fmt::print("at most {} jobs waited\n", most);
}

Coroutine<void> protocols() {
    auto [ours, theirs] = asyncio::socketpair();
    auto [transport, inbox] = co_await asyncio::get_running_loop().create_unix_connection(
        [] { return std::make_shared<Inbox>(); }, {.sock = std::move(ours)});
    auto [reader, writer] = co_await asyncio::open_unix_connection({.sock = std::move(theirs)});
    auto sending = asyncio::create_task(send_as_it_goes(writer));
    while (transport->is_reading()) co_await asyncio::sleep(0);
    co_await asyncio::sleep(10ms);  // time enough to send all of it, if it could
    fmt::print("the sender {}\n", sending.done() ? "has finished" : "waits");
    std::size_t bytes = 0;
    while (bytes < PIECES * PIECE.size()) bytes += (co_await inbox->next())->size();
    fmt::print("{} bytes received\n", bytes);
    co_await sending;
    for (const auto& one : {writer.transport(), transport}) one->close();
}

Coroutine<void> program() {
    co_await streams();
    co_await queues();
    co_await protocols();
}

}  // namespace

int main() {
    asyncio::run(program());
}
