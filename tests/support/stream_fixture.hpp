// What the tests of connections share.
#pragma once

#include <support/loop_fixture.hpp>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <filesystem>
#include <iterator>

inline std::size_t count_descriptors() {
    namespace fs = std::filesystem;
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

// What they are, for messages.
inline std::string list_descriptors() {
    std::string text;
    std::error_code gone;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        text += entry.path().filename().string() + " -> " +
                std::filesystem::read_symlink(entry.path(), gone).string() + "\n";
    }
    return text;
}

// A loop whose test may not leave a descriptor behind.
class ConnectionTest : public LoopTest {
  protected:
    void TearDown() override {
        if (loop_owner && !loop.is_closed()) {
            loop.run_until_complete(asyncio::sleep(0));
            // A thread that looked up a name may still be about to let go of the loop.
            loop.run_until_complete(loop.shutdown_default_executor());
        }
        LoopTest::TearDown();
        loop_owner.reset();
        EXPECT_EQ(count_descriptors(), descriptors_) << "descriptors leaked:\n" << list_descriptors();
    }

    // Runs `body` as a task. What it throws fails the test.
    template <class Body>
    void run(Body body) {
        loop.run_until_complete(
            loop.create_task([&body]() -> asyncio::Coroutine<void> { co_await body(); }));
    }

  private:
    // The loop's own are open already, but for those that io_uring makes when it is first used.
    static std::size_t before_any_loop() {
        static const std::size_t count = count_descriptors();
        return count;
    }
    static inline const std::size_t descriptors_ = before_any_loop();
};

inline int port_of(const asyncio::Server& server) {
    return server.sockets().at(0).getsockname().port();
}

inline asyncio::Coroutine<void> end(asyncio::StreamWriter writer) {
    writer.close();
    co_await writer.wait_closed();
}

inline asyncio::Coroutine<void> end(asyncio::Server server) {
    server.close();
    co_await server.wait_closed();
}

// Sends back what it gets.
inline asyncio::Coroutine<void> echo(asyncio::StreamReader reader, asyncio::StreamWriter writer) {
    for (;;) {
        const std::string data = co_await reader.read(65536);
        if (data.empty()) break;
        writer.write(data);
        co_await writer.drain();
    }
    co_await end(writer);
}

// Writes down what happens to it.
class Recorder : public asyncio::Protocol {
  public:
    void connection_made(std::shared_ptr<asyncio::Transport> made) override {
        events.push_back("made");
        transport = std::move(made);
        if (on_made) on_made();
    }
    void connection_lost(std::exception_ptr error) override {
        events.push_back(error ? "lost " + asyncio::exception_type_name(error) : "lost");
        lost = true;
        if (!done.done()) done.set_result();
        transport.reset();
    }
    void data_received(std::string_view data) override {
        received += data;
        if (on_data) on_data(data);
    }
    bool eof_received() override {
        events.push_back("eof");
        return keep_open;
    }
    void pause_writing() override { events.push_back("pause"); }
    void resume_writing() override {
        events.push_back("resume");
        if (on_resume) on_resume();
    }

    std::vector<std::string> events;
    std::string received;
    bool keep_open = false;
    bool lost = false;
    std::shared_ptr<asyncio::Transport> transport;
    std::function<void()> on_made, on_resume;
    std::function<void(std::string_view)> on_data;
    asyncio::Future<void> done;  // of the current loop: once the connection is lost
};

// Gives others their turn until `condition()`; for at most some seconds.
template <class Condition>
asyncio::Coroutine<void> until(Condition condition) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition() && std::chrono::steady_clock::now() < limit) {
        co_await asyncio::sleep(std::chrono::milliseconds(1));
    }
    EXPECT_TRUE(condition()) << "did not come true in 30 s";
}

// Bytes that differ from place to place.
inline std::string numbered(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7 + i / 253);
    return text;
}
