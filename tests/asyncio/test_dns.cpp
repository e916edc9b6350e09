// loop.getaddrinfo() and getnameinfo(): real answers from dnsmasq, and name servers that are
// silent, late or not there at all.
#include <optional>

#include <asyncio/testing.hpp>

#include "support/program.hpp"
#include "support/stream_fixture.hpp"

namespace asyncio {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// Knows some names under .test, and that there are no others.
class NameServer {
  public:
    NameServer() { EXPECT_TRUE(program_.says("started")) << program_.said(); }
    [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  private:
    static std::vector<std::string> command(int port) {
        std::vector<std::string> words{"dnsmasq",
                                       "--keep-in-foreground",
                                       "--log-facility=-",
                                       "--conf-file=/dev/null",
                                       "--pid-file=",
                                       "--user=root",
                                       "--no-resolv",
                                       "--no-hosts",
                                       "--listen-address=127.0.0.1",
                                       "--bind-interfaces",
                                       "--port=" + std::to_string(port),
                                       "--local=/test/",
                                       "--local=/in-addr.arpa/",
                                       "--host-record=both.test,192.0.2.1,2001:db8::1",
                                       "--host-record=v4.test,192.0.2.4",
                                       "--host-record=v6.test,2001:db8::6",
                                       "--host-record=me.test,127.0.0.1",
                                       "--cname=alias.test,both.test"};
        for (const char* figure : {"1", "2", "3"}) {  // nobody listens there, in two families
            words.push_back("--host-record=six.test,127.0.0." + std::string(figure) +
                            ",::ffff:127.0.0." + figure);
        }
        for (int i = 1; i <= 60; ++i) {  // more than fits into one datagram
            words.push_back("--host-record=big.test,10.9.8." + std::to_string(i));
        }
        return words;
    }
    int port_ = free_port();
    Program program_{command(port_)};
};

// A name server of the test's own, which answers when it is told to.
class SlowServer {
  public:
    SlowServer() { socket_.bind(SocketAddress("127.0.0.1", 0)); }
    [[nodiscard]] std::string address() const { return socket_.getsockname().str(); }
    [[nodiscard]] Socket& socket() { return socket_; }
    // That there is no such name.
    static std::string deny(std::string question) {
        question[2] = static_cast<char>(question[2] | 0x80);  // a response
        question[3] = static_cast<char>((question[3] & 0xf0) | 3);
        return question;
    }
    [[nodiscard]] std::size_t questions() const {
        std::size_t count = 0;
        char buffer[512];
        while (::recv(socket_.fileno(), buffer, sizeof buffer, MSG_DONTWAIT) > 0) ++count;
        return count;
    }

  private:
    Socket socket_ = Socket::create(AF_INET, SOCK_DGRAM);
};

class DnsTest : public ConnectionTest {
  protected:
    void TearDown() override {
        server_.reset();
        ConnectionTest::TearDown();
    }
    NameServer& server() { return server_ ? *server_ : server_.emplace(); }
    void ask_dnsmasq() { loop.set_resolver({.servers = {server().address()}}); }
    // The code of the GaiError that `coroutine` throws.
    template <class Coro>
    static Coroutine<int> error_of(Coro coroutine) {
        try {
            co_await std::move(coroutine);
        } catch (const GaiError& error) {
            co_return error.number();
        }
        co_return 0;
    }

  private:
    std::optional<NameServer> server_;
};

std::vector<std::string> addresses(const std::vector<AddressInfo>& infos) {
    std::vector<std::string> texts;
    for (const AddressInfo& info : infos) texts.push_back(info.address.str());
    return texts;
}

// What the C library says, in its order.
std::vector<AddressInfo> by_system(const char* host, const char* service, AddressOptions options) {
    addrinfo hints{};
    hints.ai_family = options.family;
    hints.ai_socktype = options.type;
    hints.ai_flags = options.flags;
    addrinfo* list = nullptr;
    EXPECT_EQ(::getaddrinfo(host, service, &hints, &list), 0);
    std::vector<AddressInfo> infos;
    for (const addrinfo* info = list; info != nullptr; info = info->ai_next) {
        infos.push_back({.family = info->ai_family,
                         .type = info->ai_socktype,
                         .proto = info->ai_protocol,
                         .canonname = {},
                         .address = {info->ai_addr, info->ai_addrlen}});
    }
    ::freeaddrinfo(list);
    return infos;
}

TEST_F(DnsTest, FiguresAreAnsweredAsTheSystemDoesAndAskNobody) {
    SlowServer nobody;
    loop.set_resolver({.servers = {nobody.address()}});
    run([&]() -> Coroutine<void> {
        const AddressOptions any, stream{.type = SOCK_STREAM},
            passive{.type = SOCK_STREAM, .flags = AI_PASSIVE}, v6{.family = AF_INET6};
        EXPECT_EQ(co_await loop.getaddrinfo("127.0.0.1", 80), by_system("127.0.0.1", "80", any));
        EXPECT_EQ(co_await loop.getaddrinfo("::1", "80", stream), by_system("::1", "80", stream));
        EXPECT_EQ(co_await loop.getaddrinfo("127.1", 80, stream), by_system("127.1", "80", stream));
        EXPECT_EQ(co_await loop.getaddrinfo("fe80::1%lo", 80, v6),
                  by_system("fe80::1%lo", "80", v6));
        EXPECT_EQ(co_await loop.getaddrinfo("", 80, stream), by_system(nullptr, "80", stream));
        EXPECT_EQ(co_await loop.getaddrinfo("", "http", passive),
                  by_system(nullptr, "http", passive));
        EXPECT_EQ(co_await error_of(loop.getaddrinfo("::1", 80, {.family = AF_INET})),
                  EAI_ADDRFAMILY);
        EXPECT_EQ(co_await error_of(loop.getaddrinfo("a.test", 80, {.flags = AI_NUMERICHOST})),
                  EAI_NONAME);
    });
    EXPECT_EQ(nobody.questions(), 0u);
}

TEST_F(DnsTest, TheHostsFileComesFirst) {
    SlowServer nobody;
    loop.set_resolver({.servers = {nobody.address()}});
    run([&]() -> Coroutine<void> {
        const AddressOptions v4{.family = AF_INET, .type = SOCK_STREAM};
        EXPECT_EQ(co_await loop.getaddrinfo("localhost", 80, v4), by_system("localhost", "80", v4));
    });
    EXPECT_EQ(nobody.questions(), 0u);
}

TEST_F(DnsTest, NameServersAnswer) {
    ask_dnsmasq();
    run([&]() -> Coroutine<void> {
        const AddressOptions stream{.type = SOCK_STREAM};
        EXPECT_THAT(addresses(co_await loop.getaddrinfo("both.test", 80, stream)),
                    UnorderedElementsAre("192.0.2.1:80", "[2001:db8::1]:80"));
        EXPECT_THAT(addresses(co_await loop.getaddrinfo("both.test", 80, {.family = AF_INET})),
                    ElementsAre("192.0.2.1:80", "192.0.2.1:80", "192.0.2.1:80"));
        EXPECT_THAT(addresses(co_await loop.getaddrinfo("v4.test", "https", stream)),
                    ElementsAre("192.0.2.4:443"));
        EXPECT_THAT(addresses(co_await loop.getaddrinfo("v6.test", "", stream)),
                    ElementsAre("[2001:db8::6]:0"));
    });
}

TEST_F(DnsTest, EachAddressComesForEachKindOfSocket) {
    ask_dnsmasq();
    run([&]() -> Coroutine<void> {
        std::vector<std::pair<int, int>> kinds;
        for (const AddressInfo& info : co_await loop.getaddrinfo("v4.test", 53)) {
            EXPECT_EQ(info.family, AF_INET);
            EXPECT_EQ(info.canonname, "");
            kinds.emplace_back(info.type, info.proto);
        }
        EXPECT_THAT(kinds, ElementsAre(std::pair(SOCK_STREAM, IPPROTO_TCP),
                                       std::pair(SOCK_DGRAM, IPPROTO_UDP), std::pair(SOCK_RAW, 0)));
        const auto udp = co_await loop.getaddrinfo("v4.test", "domain", {.proto = IPPROTO_UDP});
        EXPECT_EQ(udp.size(), 1u);
        EXPECT_EQ(udp.at(0).type, SOCK_DGRAM);
        EXPECT_EQ(udp.at(0).address.str(), "192.0.2.4:53");
    });
}

TEST_F(DnsTest, TheCanonicalNameIsTheOneThatTheAliasLeadsTo) {
    ask_dnsmasq();
    run([&]() -> Coroutine<void> {
        const AddressOptions wanted{.family = AF_INET, .type = SOCK_STREAM, .flags = AI_CANONNAME};
        EXPECT_EQ((co_await loop.getaddrinfo("alias.test", 80, wanted)).at(0).canonname,
                  "both.test");
        EXPECT_EQ((co_await loop.getaddrinfo("v4.test", 80, wanted)).at(0).canonname, "v4.test");
    });
}

TEST_F(DnsTest, OldAddressesServeForNewOnesIfAsked) {
    ask_dnsmasq();
    run([&]() -> Coroutine<void> {
        const AddressOptions mapped{.family = AF_INET6, .type = SOCK_STREAM, .flags = AI_V4MAPPED};
        EXPECT_THAT(addresses(co_await loop.getaddrinfo("v4.test", 80, mapped)),
                    ElementsAre("[::ffff:192.0.2.4]:80"));
        EXPECT_THAT(addresses(co_await loop.getaddrinfo("v6.test", 80, mapped)),
                    ElementsAre("[2001:db8::6]:80"));
    });
}

TEST_F(DnsTest, AnAnswerTooLongForADatagramComesByTcp) {
    ask_dnsmasq();
    run([&]() -> Coroutine<void> {
        const auto all = co_await loop.getaddrinfo("big.test", 80, {.type = SOCK_STREAM});
        EXPECT_EQ(all.size(), 60u);
    });
}

TEST_F(DnsTest, ErrorsSayWhat) {
    ask_dnsmasq();
    run([&]() -> Coroutine<void> {
        try {
            co_await loop.getaddrinfo("nobody.test", 80);
            ADD_FAILURE() << "there is no such name";
        } catch (const OSError& error) {  // and so for who knows nothing of name servers
            EXPECT_STREQ(error.what(), "[Errno -2] Name or service not known: nobody.test");
            EXPECT_EQ(error.number(), EAI_NONAME);
            EXPECT_STREQ(error.code().category().name(), "getaddrinfo");
        }
        EXPECT_EQ(co_await error_of(loop.getaddrinfo("v4.test", 80, {.family = AF_INET6})),
                  EAI_NODATA);
        EXPECT_EQ(co_await error_of(loop.getaddrinfo("v4.test", "no-such-service")), EAI_SERVICE);
        EXPECT_EQ(co_await error_of(loop.getaddrinfo("v4.test", 80, {.type = 77})), EAI_SOCKTYPE);
        EXPECT_EQ(co_await error_of(loop.getaddrinfo("v4.test", 80, {.family = 77})), EAI_FAMILY);
        for (const int port : {-1, 65536}) {
            EXPECT_EQ(describe_exception((co_await try_(loop.getaddrinfo("x", port))).exception()),
                      "ValueError: port must be 0-65535, not " + std::to_string(port));
        }
        for (const std::string& name : {std::string("a\0b", 3), std::string("b\xc3\xbc"
                                                                            "cher.test")}) {
            const auto outcome = co_await try_(loop.getaddrinfo(name, 80));
            EXPECT_TRUE(holds_exception<ValueError>(outcome.exception()));
        }
    });
}

TEST_F(DnsTest, AServerThatIsNotThereIsNoAnswer) {
    loop.set_resolver({.servers = {"127.0.0.1:" + std::to_string(free_port())}});
    run([&]() -> Coroutine<void> {
        EXPECT_EQ(co_await error_of(loop.getaddrinfo("both.test", 80)), EAI_AGAIN);
    });
}

TEST_F(DnsTest, ASilentServerBlocksNobodyAndIsGivenUp) {
    SlowServer silent;
    loop.set_resolver({.servers = {silent.address()}, .timeout = 100ms, .tries = 2});
    run([&]() -> Coroutine<void> {
        int turns = 0;
        auto others = loop.create_task([&turns]() -> Coroutine<void> {
            for (;; ++turns) co_await sleep(1ms);
        });
        EXPECT_EQ(co_await error_of(loop.getaddrinfo("a.test", 80, {.family = AF_INET})),
                  EAI_AGAIN);
        EXPECT_GE(turns, 10);
        others.cancel();
        (void)co_await try_(others);
    });
    EXPECT_EQ(silent.questions(), 2u);
}

TEST_F(DnsTest, TheNextServerIsAskedWhenOneIsSilent) {
    SlowServer silent;
    loop.set_resolver({.servers = {silent.address(), server().address()}, .timeout = 50ms});
    run([&]() -> Coroutine<void> {
        EXPECT_THAT(addresses(co_await loop.getaddrinfo("v4.test", 80, {.type = SOCK_STREAM})),
                    ElementsAre("192.0.2.4:80"));
    });
    EXPECT_GE(silent.questions(), 1u);
}

TEST_F(DnsTest, CancellingFreesTheCallerAtOnceAndTheLateAnswerIsDropped) {
    SlowServer slow;
    loop.set_resolver({.servers = {slow.address()}});
    run([&]() -> Coroutine<void> {
        auto asking = loop.create_task([this]() -> Coroutine<void> {
            co_await loop.getaddrinfo("late.test", 80, {.family = AF_INET});
        });
        const auto [question, from] = co_await loop.sock_recvfrom(slow.socket(), 512);
        asking.cancel();
        co_await sleep(0);
        co_await sleep(0);
        EXPECT_TRUE(asking.cancelled());
        co_await loop.sock_sendto(slow.socket(), SlowServer::deny(question), from);

        // The next question finds everything in order.
        auto next =
            loop.create_task(error_of(loop.getaddrinfo("next.test", 80, {.family = AF_INET})));
        const auto [second, asker] = co_await loop.sock_recvfrom(slow.socket(), 512);
        co_await loop.sock_sendto(slow.socket(), SlowServer::deny(second), asker);
        EXPECT_EQ(co_await next, EAI_NONAME);
    });
}

TEST_F(DnsTest, CancelledEverywhereItEndsAndTheNextQuestionIsAnswered) {
    const auto ask = [this]() -> Coroutine<void> {
        const auto infos = co_await loop.getaddrinfo("v4.test", 80, {.type = SOCK_STREAM});
        EXPECT_THAT(addresses(infos), ElementsAre("192.0.2.4:80"));
        const auto [name, service] = co_await loop.getnameinfo(SocketAddress("192.0.2.4", 80));
        EXPECT_EQ(name, "v4.test");
    };
    ask_dnsmasq();
    const auto report = asyncio::testing::cancel_everywhere(loop, ask, [&] { run(ask); });
    EXPECT_GT(report.cancelled, 1U);

    loop.set_resolver({.system = true});
    const auto ask_the_system = [this]() -> Coroutine<void> {
        EXPECT_FALSE((co_await loop.getaddrinfo("localhost", 80)).empty());
    };
    asyncio::testing::cancel_everywhere(loop, ask_the_system, [&] { run(ask_the_system); });
}

TEST_F(DnsTest, ALoopMayBeClosedOverAQuestion) {
    SlowServer silent;
    loop.set_resolver({.servers = {silent.address()}});
    run([&]() -> Coroutine<void> {
        auto asking = loop.create_task(loop.getaddrinfo("a.test", 80));
        co_await sleep(0);
        co_await sleep(0);
        asking.cancel();  // the question itself stays under way
        (void)co_await try_(asking);
    });
    EXPECT_GE(silent.questions(), 1u);
}  // the fixture counts descriptors once the loop is gone

TEST_F(DnsTest, ManyQuestionsAtOnceHoldNoThread) {
    ask_dnsmasq();
    namespace fs = std::filesystem;
    const auto threads = [] {
        return std::distance(fs::directory_iterator("/proc/self/task"), fs::directory_iterator());
    };
    run([&]() -> Coroutine<void> {
        const auto before = threads();
        std::vector<Task<std::vector<AddressInfo>>> found;
        std::vector<Task<int>> errors;
        for (int i = 0; i < 40; ++i) {
            found.push_back(
                loop.create_task(loop.getaddrinfo("both.test", i, {.type = SOCK_STREAM})));
            errors.push_back(loop.create_task(
                error_of(loop.getaddrinfo("n" + std::to_string(i) + ".test", 80))));
        }
        co_await sleep(0);
        EXPECT_EQ(threads(), before);
        for (int i = 0; i < 40; ++i) {
            const auto infos = co_await found[static_cast<std::size_t>(i)];
            EXPECT_EQ(infos.size(), 2u);
            EXPECT_EQ(infos.at(0).address.port(), i);
            EXPECT_EQ(co_await errors[static_cast<std::size_t>(i)], EAI_NONAME);
        }
        EXPECT_EQ(threads(), before);
    });
}

TEST_F(DnsTest, ConnectionsLookTheirHostsUpTheSameWay) {
    ask_dnsmasq();
    run([&]() -> Coroutine<void> {
        auto server = co_await start_server(echo, "me.test", 0);
        auto [reader, writer] = co_await open_connection("me.test", port_of(server));
        writer.write("by name");
        EXPECT_EQ(co_await reader.readexactly(7), "by name");
        co_await end(writer);
        co_await end(server);
        const auto outcome = co_await try_(open_connection("nobody.test", 1));
        EXPECT_TRUE(holds_exception<GaiError>(outcome.exception()));
    });
}

// The order in which a connection tries them, by what each one's error says.
TEST_F(DnsTest, ConnectionsTryTheFamiliesInTurnsIfAsked) {
    ask_dnsmasq();
    run([&]() -> Coroutine<void> {
        const auto infos = co_await loop.getaddrinfo("six.test", 1, {.type = SOCK_STREAM});
        if (infos.size() != 6) throw RuntimeError("six addresses were expected");
        std::string unchanged;
        for (const AddressInfo& info : infos) {
            unchanged += info.family == infos[0].family ? 'a' : 'b';
        }
        for (const auto& [interleave, expected] :
             {std::pair<std::optional<int>, std::string>{std::nullopt, unchanged},
              {0, unchanged},
              {1, "ababab"},
              {2, "aababb"},
              {3, "aaabbb"}}) {
            const auto failed = co_await try_(
                open_connection("six.test", 1, {.interleave = interleave, .all_errors = true}));
            std::string order;
            try {
                std::rethrow_exception(failed.exception());
            } catch (const ExceptionGroup& group) {
                for (const std::exception_ptr& error : group.exceptions()) {
                    const bool v6 = describe_exception(error).find("[::ffff:") != std::string::npos;
                    order += v6 == (infos[0].family == AF_INET6) ? 'a' : 'b';
                }
            }
            EXPECT_EQ(order, expected);
        }
    });
}

TEST_F(DnsTest, AddressesHaveNames) {
    ask_dnsmasq();
    run([&]() -> Coroutine<void> {
        using Names = std::pair<std::string, std::string>;
        const SocketAddress known("192.0.2.4", 80), unknown("192.0.2.99", 80);
        EXPECT_EQ(co_await loop.getnameinfo(known), Names("v4.test", "http"));
        EXPECT_EQ(co_await loop.getnameinfo(known, NI_NUMERICSERV), Names("v4.test", "80"));
        EXPECT_EQ(co_await loop.getnameinfo(known, NI_NUMERICHOST | NI_NUMERICSERV),
                  Names("192.0.2.4", "80"));
        EXPECT_EQ(co_await loop.getnameinfo(unknown), Names("192.0.2.99", "http"));
        EXPECT_EQ(co_await error_of(loop.getnameinfo(unknown, NI_NAMEREQD)), EAI_NONAME);
        EXPECT_EQ(co_await error_of(loop.getnameinfo(SocketAddress())), EAI_FAMILY);
    });
}

TEST_F(DnsTest, TheSystemsOwnResolverMayDoIt) {
    loop.set_resolver({.system = true});
    run([&]() -> Coroutine<void> {
        const AddressOptions v4{.family = AF_INET, .type = SOCK_STREAM};
        EXPECT_EQ(co_await loop.getaddrinfo("localhost", 80, v4), by_system("localhost", "80", v4));
        EXPECT_THAT((co_await loop.getnameinfo(SocketAddress("127.0.0.1", 80))).second, "http");
    });
}

TEST_F(DnsTest, AServerWithoutAnAddressIsRefused) {
    EXPECT_THAT(thrown_by([&] { loop.set_resolver({.servers = {"name.of.a.server"}}); }),
                HasSubstr("ValueError: not the address of a name server"));
}

TEST_F(DnsTest, AClosedLoopAsksNobody) {
    loop.close();
    const auto other = new_event_loop();
    for (const auto& ask :
         {+[](EventLoop& closed) -> Coroutine<void> { co_await closed.getaddrinfo("a.test", 80); },
          +[](EventLoop& closed) -> Coroutine<void> {
              co_await closed.getnameinfo(SocketAddress("127.0.0.1", 1));
          }}) {
        EXPECT_EQ(thrown_by([&] { other->run_until_complete(ask(loop)); }),
                  "RuntimeError: the event loop is closed");
    }
}

TEST_F(DnsTest, DebugModeTellsOfSlowOnes) {
    ask_dnsmasq();
    loop.set_debug(true);
    loop.slow_callback_duration = 0ns;
    std::string logged;
    const auto before = get_log_level();
    set_log_level(LogLevel::info);
    const auto sink = set_log_sink([&](LogLevel, std::string_view text) { logged += text; });
    run([&]() -> Coroutine<void> { co_await loop.getaddrinfo("v4.test", 80); });
    set_log_sink(sink);
    set_log_level(before);
    EXPECT_THAT(logged, HasSubstr("Getting address info v4.test:80 took"));
}

}  // namespace
}  // namespace asyncio
