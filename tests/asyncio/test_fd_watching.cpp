// add_reader(), add_writer(), as CPython's test_selector_events.py and test_events.py map them.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "support/loop_fixture.hpp"

using namespace asyncio;
using namespace std::chrono_literals;

namespace {

class FdTest : public LoopTest {
  protected:
    FdTest() {
        int ends[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        a = Socket(ends[0]);
        b = Socket(ends[1]);
    }
    void put(std::string_view text) {
        EXPECT_EQ(::send(a.fileno(), text.data(), text.size(), 0),
                  static_cast<ssize_t>(text.size()));
    }
    char take() {
        char c = 0;
        EXPECT_EQ(::recv(b.fileno(), &c, 1, 0), 1);
        return c;
    }

    Socket a, b;
};

}  // namespace

// test_reader_callback
TEST_F(FdTest, AReaderIsCalledInEveryIterationThatFindsSomething) {
    std::string read;
    loop.add_reader(b, [&] {
        read += take();
        if (read.size() == 3) loop.stop();
    });
    put("abc");
    loop.run_forever();
    EXPECT_EQ(read, "abc");
    EXPECT_TRUE(loop.remove_reader(b));
    EXPECT_FALSE(loop.remove_reader(b));
}

// test_writer_callback
TEST_F(FdTest, AWriterIsCalledUntilItIsRemoved) {
    int calls = 0;
    loop.add_writer(
        a.fileno(),
        [&](int by) {
            calls += by;
            if (calls < 3) return;
            EXPECT_TRUE(loop.remove_writer(a));
            loop.call_later(10ms, [this] { loop.stop(); });
        },
        1);
    loop.run_forever();
    EXPECT_EQ(calls, 3);
}

TEST_F(FdTest, BothAtOnce) {
    bool readable = false, writable = false;
    const auto both = [&] {
        if (readable && writable) loop.stop();
    };
    loop.add_reader(b, [&] {
        readable = true;
        both();
    });
    loop.add_writer(b, [&] {
        writable = true;
        both();
    });
    put("x");
    loop.run_forever();
    EXPECT_TRUE(loop.remove_reader(b));
    EXPECT_TRUE(loop.remove_writer(b));
}

// test_add_reader_existing
TEST_F(FdTest, AddingAgainReplaces) {
    int first = 0;
    loop.add_reader(b, [&] { ++first; });
    loop.add_reader(b, [&] {
        take();
        loop.stop();
    });
    put("x");
    loop.run_forever();
    EXPECT_EQ(first, 0);
    EXPECT_TRUE(loop.remove_reader(b));
}

TEST_F(FdTest, OneThatIsRemovedBeforeItsTurnIsNotCalled) {
    int calls = 0;
    Socket c = a.dup();
    put("x");
    // Both become ready in the same iteration; whoever runs first removes the other.
    loop.add_reader(b, [&] {
        ++calls;
        loop.remove_writer(a);
        loop.remove_reader(b);
    });
    loop.add_writer(a, [&] {
        ++calls;
        loop.remove_writer(a);
        loop.remove_reader(b);
    });
    loop.call_later(20ms, [this] { loop.stop(); });
    loop.run_forever();
    EXPECT_EQ(calls, 1);
}

TEST_F(FdTest, RunsInTheContextItWasAddedIn) {
    static ContextVar<int> variable("variable", 0);
    int seen = 0;
    Context().run([&] {
        variable.set(5);
        loop.add_reader(b, [&] {
            seen = variable.get();
            take();
            loop.stop();
        });
    });
    put("x");
    loop.run_forever();
    EXPECT_EQ(seen, 5);
    loop.remove_reader(b);
}

TEST_F(FdTest, AnErrorInTheCallbackIsReportedAndItGoesOn) {
    int calls = 0;
    loop.add_reader(b, [&] {
        take();
        if (++calls == 2) loop.stop();
        throw ValueError("from the callback");
    });
    put("ab");
    loop.run_forever();
    const auto reports = take_reports();
    ASSERT_EQ(reports.size(), 2u);
    EXPECT_THAT(reports[0], ::testing::HasSubstr("AnErrorInTheCallbackIsReported"));
    loop.remove_reader(b);
}

TEST_F(FdTest, TheOtherEndGoneIsReadable) {
    loop.add_reader(b, [&] { loop.stop(); });
    a.close();
    loop.run_forever();
    loop.remove_reader(b);
}

// test_add_reader_invalid_fd
TEST_F(FdTest, WhatCannotBeWatchedIsRefused) {
    EXPECT_THROW(loop.add_reader(-1, [] {}), ValueError);
    EXPECT_THROW(loop.add_writer(-1, [] {}), ValueError);
    EXPECT_THROW(loop.add_reader(9999, [] {}), OSError);
    const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    EXPECT_THROW(loop.add_reader(file, [] {}), PermissionError);
    ::close(file);
    EXPECT_FALSE(loop.remove_reader(9999));
    EXPECT_FALSE(loop.remove_writer(9999));
}

// test_add_reader_or_writer_transport_fd
TEST_F(FdTest, TheDescriptorOfATransportIsNobodyElses) {
    const int fd = b.fileno();
    const auto refused = [&](auto call) {
        EXPECT_EQ(thrown_by(call), "RuntimeError: file descriptor " + std::to_string(fd) +
                                       " is used by a transport");
    };
    loop.run_until_complete(loop.create_task([&]() -> Coroutine<void> {
        const TransportSocket sock(fd);
        auto [transport, protocol] = co_await loop.connect_accepted_socket(
            [] { return std::make_shared<Protocol>(); }, std::move(b));
        refused([&] { loop.add_reader(fd, [] {}); });
        refused([&] { loop.add_writer(fd, [] {}); });
        refused([&] { loop.remove_reader(fd); });
        refused([&] { loop.remove_writer(fd); });
        EXPECT_THROW(co_await loop.sock_recv(sock, 1), RuntimeError);

        transport->close();
        EXPECT_FALSE(loop.remove_reader(fd));
        co_await sleep(0);
        co_await sleep(0);
        // Its number is free for others.
        EXPECT_EQ(::dup2(a.fileno(), fd), fd);
        loop.add_writer(fd, [] {});
        EXPECT_TRUE(loop.remove_writer(fd));
        ::close(fd);
    }));
}

TEST_F(FdTest, TheDescriptorOfADatagramTransportIsNobodyElses) {
    loop.run_until_complete(loop.create_task([&]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.create_datagram_endpoint(
            [] { return std::make_shared<DatagramProtocol>(); },
            {.local_addr = HostPort("127.0.0.1", 0)});
        const int fd = transport->get_extra_info<TransportSocket>("socket")->fileno();
        EXPECT_THROW(loop.add_reader(fd, [] {}), RuntimeError);
        transport->abort();
        EXPECT_FALSE(loop.remove_reader(fd));
        co_await sleep(0);
    }));
}

// test_add_fds_after_closing, test_remove_fds_after_closing
TEST_F(FdTest, OfAClosedLoop) {
    loop.add_reader(b, [] {});
    loop.add_writer(b, [] {});
    close();
    EXPECT_THROW(loop.add_reader(b, [] {}), RuntimeError);
    EXPECT_THROW(loop.add_writer(b, [] {}), RuntimeError);
    EXPECT_FALSE(loop.remove_reader(b));
    EXPECT_FALSE(loop.remove_writer(b));
}

TEST_F(FdTest, AReaderThatWaitsWhenTheLoopClosesIsDropped) {
    const auto held = std::make_shared<int>(1);
    loop.add_reader(b, [held] {});
    iterate(3);
    close();
    loop_owner.reset();
    EXPECT_EQ(held.use_count(), 1);
}
