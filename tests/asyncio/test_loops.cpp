// Several loops in several threads: servers that share a port, each connection served by the loop
// that accepted it.
#include <support/stream_fixture.hpp>

#include <future>
#include <set>
#include <thread>

namespace {

using namespace asyncio;

// A loop in a thread of its own that serves until it is told to stop. It answers every line with
// its name.
class ServingLoop {
  public:
    explicit ServingLoop(std::string name, int port = 0)
        : name_(std::move(name)), thread_([this, port] { asyncio::run(serve(port)); }) {
        port_ = ready_.get_future().get();
    }
    ServingLoop(const ServingLoop&) = delete;
    ServingLoop& operator=(const ServingLoop&) = delete;
    ~ServingLoop() { stop(); }

    [[nodiscard]] int port() const noexcept { return port_; }

    // Returns when its loop is closed.
    void stop() {
        if (!thread_.joinable()) return;
        loop_->call_soon_threadsafe([this] { stop_->set(); });
        thread_.join();
    }

  private:
    Coroutine<void> serve(int port) {
        const auto answer = [this](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
            while (co_await anext(reader)) {
                writer.write(name_ + "\n");
                co_await writer.drain();
            }
            co_await end(writer);
        };
        Server server =
            co_await start_server(answer, "127.0.0.1", port, {.backlog = 1000, .reuse_port = true});
        Event stop;
        stop_ = &stop;
        loop_ = &get_running_loop();
        ready_.set_value(port_of(server));
        co_await stop.wait();
        co_await end(server);
    }

    std::string name_;
    std::promise<int> ready_;
    EventLoop* loop_ = nullptr;
    Event* stop_ = nullptr;
    int port_ = 0;
    std::thread thread_;
};

// Who answers, asked twice.
Coroutine<std::string> ask(int port) {
    auto [reader, writer] = co_await open_connection("127.0.0.1", port);
    writer.write("who?\n");
    std::string first = co_await reader.readline();
    writer.write("who?\n");
    EXPECT_EQ(co_await reader.readline(), first);
    co_await end(writer);
    co_return first;
}

// The names of those who answered. So many that none of a few loops is left out by chance: of
// four, once in 10 to the 24.
Coroutine<std::set<std::string>> ask_many(int port) {
    std::vector<Coroutine<std::string>> questions;
    for (int i = 0; i < 200; ++i) questions.push_back(ask(port));
    const auto answers = co_await gather(std::move(questions));
    co_return std::set<std::string>(answers.begin(), answers.end());
}

class Loops : public ConnectionTest {};

TEST_F(Loops, OfSeveralThreadsShareAPortAndItsConnections) {
    ServingLoop first("first");
    ServingLoop second("second", first.port());
    ServingLoop third("third", first.port());
    ServingLoop fourth("fourth", first.port());
    run([&]() -> Coroutine<void> {
        EXPECT_EQ(co_await ask_many(first.port()),
                  (std::set<std::string>{"first\n", "second\n", "third\n", "fourth\n"}));
    });
}

TEST_F(Loops, ThatAreLeftServeAllWhenOneStops) {
    ServingLoop first("first");
    ServingLoop second("second", first.port());
    run([&]() -> Coroutine<void> {
        EXPECT_EQ(co_await ask_many(first.port()), (std::set<std::string>{"first\n", "second\n"}));
        co_await to_thread([&] { first.stop(); });
        EXPECT_EQ(co_await ask_many(first.port()), (std::set<std::string>{"second\n"}));
    });
}

}  // namespace
