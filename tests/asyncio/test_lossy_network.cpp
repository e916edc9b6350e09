// Connections over a network that is slow and loses packets: one of this thread's own, made of
// a network namespace, with netem where the kernel has it, else with a token bucket and a rule
// that drops at random. Needs the privileges for that.
#include <support/program.hpp>
#include <support/stream_fixture.hpp>

#include <sched.h>

namespace {

using namespace asyncio;
using namespace std::chrono_literals;

bool does(const std::string& command) {
    return std::system(("PATH=$PATH:/usr/sbin:/sbin; { " + command + "; } 2>/dev/null").c_str()) ==
           0;
}

// Until the end of the scope: sockets that are made meanwhile stay in it.
class Network {
  public:
    Network() : outside_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
        usable_ = ::unshare(CLONE_NEWNET) == 0 && does("ip link set lo mtu 1500 up");
    }
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;
    ~Network() {
        ::setns(outside_, CLONE_NEWNET);
        ::close(outside_);
    }
    [[nodiscard]] bool usable() const { return usable_; }
    // Every packet late, one of fifty lost.
    [[nodiscard]] bool is_bad() const {
        return usable_ && (does("tc qdisc add dev lo root netem delay 3ms 2ms loss 2%") ||
                           does("tc qdisc add dev lo root tbf rate 50mbit burst 16kb latency 20ms "
                                "&& iptables -A INPUT -m statistic --mode random "
                                "--probability 0.02 -j DROP"));
    }
    // Nothing comes through any more, until it is mended.
    [[nodiscard]] bool breaks() const { return usable_ && does("iptables -I INPUT -j DROP"); }
    void mend() const { EXPECT_TRUE(does("iptables -D INPUT -j DROP")); }

  private:
    int outside_;
    bool usable_ = false;
};

class LossyNetwork : public ConnectionTest {};

TEST_F(LossyNetwork, StreamsComeWholeAndInOrder) {
    const Network network;
    if (!network.is_bad()) GTEST_SKIP() << "no such network can be made here";
    run([&]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        const auto talk = [](int port, std::string data) -> Coroutine<void> {
            auto [reader, writer] = co_await open_connection("127.0.0.1", port);
            writer.write(data);
            writer.write_eof();
            EXPECT_TRUE(co_await reader.read() == data);
            co_await end(writer);
        };
        std::vector<Task<void>> talks;
        for (std::size_t size : {1U, 1000U, 300'000U, 500'000U}) {
            talks.push_back(create_task(talk, port_of(server), numbered(size)));
        }
        for (auto& task : talks) co_await task;
        co_await end(server);
    });
}

TEST_F(LossyNetwork, DatagramsComeWholeIfTheyCome) {
    const Network network;
    if (!network.is_bad()) GTEST_SKIP() << "no such network can be made here";
    run([&]() -> Coroutine<void> {
        const Socket sender = Socket::create(AF_INET, SOCK_DGRAM);
        const Socket receiver = Socket::create(AF_INET, SOCK_DGRAM);
        receiver.bind(SocketAddress("127.0.0.1", 0));
        std::vector<int> came(300);
        const auto receiving = create_task([&]() -> Coroutine<void> {
            for (;;) {
                const auto [data, from] = co_await loop.sock_recvfrom(receiver, 2000);
                const auto number = static_cast<std::size_t>(std::stoi(data));
                if (data.size() != 1000) throw RuntimeError("a part of a datagram");
                ++came.at(number);
            }
        });
        for (std::size_t i = 0; i < came.size(); ++i) {
            std::string data = std::to_string(i);
            data.resize(1000, ' ');
            co_await loop.sock_sendto(sender, data, receiver.getsockname());
            co_await sleep(200us);
        }
        co_await until([&] { return std::count(came.begin(), came.end(), 1) > 200; });
        EXPECT_EQ(std::count_if(came.begin(), came.end(), [](int n) { return n > 1; }), 0);
        receiving.cancel();
        EXPECT_TRUE((co_await try_(receiving)).cancelled());
    });
}

TEST_F(LossyNetwork, ABreakIsWaitedOutOrTimesOut) {
    const Network network;
    if (!network.breaks()) GTEST_SKIP() << "no such network can be made here";
    network.mend();
    run([&]() -> Coroutine<void> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
        writer.write("before\n");
        EXPECT_EQ(co_await reader.readline(), "before\n");
        EXPECT_TRUE(network.breaks());
        writer.write("meanwhile\n");
        const auto late = co_await try_(wait_for(reader.readline(), 30ms));
        EXPECT_TRUE(holds_exception<TimeoutError>(late.exception()));
        const auto refused =
            co_await try_(wait_for(open_connection("127.0.0.1", port_of(server)), 30ms));
        EXPECT_TRUE(holds_exception<TimeoutError>(refused.exception()));
        network.mend();
        EXPECT_EQ(co_await reader.readline(), "meanwhile\n");
        co_await end(writer);
        auto [reader2, writer2] = co_await open_connection("127.0.0.1", port_of(server));
        writer2.write("afterwards\n");
        EXPECT_EQ(co_await reader2.readline(), "afterwards\n");
        co_await end(writer2);
        co_await end(server);
    });
}

}  // namespace
