// The proactors' socket operations: the same results from all of them.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <array>
#include <set>

#include "proactor_fixture.hpp"

namespace asyncio::detail::testing {

using ProactorSockets = ProactorTest;

ASYNCIO_FOR_EACH_PROACTOR(ProactorSockets);

struct Socket {
    int fd = -1;
    explicit Socket(int number) : fd(number) {}
    Socket() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {}
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() {
        if (fd >= 0) close_descriptor(fd);
    }
};

struct Listener : Socket {
    sockaddr_in address{};
    explicit Listener(int backlog = 128) {
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
        auto* const generic = reinterpret_cast<sockaddr*>(&address);
        socklen_t size = sizeof address;
        if (fd < 0) std::abort();
        EXPECT_EQ(::bind(fd, generic, size), 0);
        EXPECT_EQ(::listen(fd, backlog), 0);
        EXPECT_EQ(::getsockname(fd, generic, &size), 0);
    }
};

void start_connecting(const Socket& client, const Listener& listener) {
    const int result = ::connect(client.fd, reinterpret_cast<const sockaddr*>(&listener.address),
                                 sizeof listener.address);
    EXPECT_TRUE(result == 0 || errno == EINPROGRESS);
}

Operation accept(int fd, bool multishot = false) {
    return {.kind = Kind::accept,
            .multishot = multishot,
            .fd = fd,
            .flags = SOCK_CLOEXEC | SOCK_NONBLOCK};
}
Operation connect(int fd, sockaddr_in& address) {
    return {.kind = Kind::connect, .fd = fd, .buffer = &address, .size = sizeof address};
}

TEST_P(ProactorSockets, ConnectsAcceptsAndTalks) {
    Listener listener;
    const Socket client;
    Recorder accepting{accept(listener.fd)}, connecting{connect(client.fd, listener.address)};
    submit(accepting);
    settle();
    EXPECT_TRUE(accepting.seen.empty());
    submit(connecting);
    run_until([&] { return accepting.done() && connecting.done(); });
    EXPECT_EQ(connecting.result(), 0);
    ASSERT_GE(accepting.result(), 0);
    const Socket server(accepting.result());
    EXPECT_NE(::fcntl(server.fd, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(server.fd, F_GETFD) & FD_CLOEXEC, 0);

    std::array<char, 16> buffer{};
    std::string text = "hello";
    Recorder receiving{transfer(Kind::recv, server.fd, buffer)};
    Recorder sending{transfer(Kind::send, client.fd, text)};
    submit(receiving);
    settle();
    EXPECT_TRUE(receiving.seen.empty());
    submit(sending);
    run_until([&] { return receiving.done() && sending.done(); });
    EXPECT_EQ(sending.result(), 5);
    EXPECT_EQ(receiving.result(), 5);
    EXPECT_STREQ(buffer.data(), "hello");
    ::shutdown(client.fd, SHUT_WR);
    receiving.seen.clear();
    submit(receiving);
    run(receiving);
    EXPECT_EQ(receiving.result(), 0);
}

TEST_P(ProactorSockets, ARefusedConnectionSaysSo) {
    sockaddr_in nobody;
    nobody = Listener().address;  // closed again at once
    const Socket client;
    Recorder connecting{connect(client.fd, nobody)};
    submit(connecting);
    run(connecting);
    EXPECT_EQ(connecting.result(), -ECONNREFUSED);
}

TEST_P(ProactorSockets, AConnectionBeingMadeIsCancelled) {
    // A full backlog leaves further connections waiting.
    Listener listener(0);
    std::vector<std::unique_ptr<Socket>> clients;
    std::vector<std::unique_ptr<Recorder>> connecting;
    for (int i = 0; i < 4; ++i) {
        clients.push_back(std::make_unique<Socket>());
        connecting.push_back(
            std::make_unique<Recorder>(connect(clients.back()->fd, listener.address)));
        submit(*connecting.back());
        settle();
    }
    ASSERT_FALSE(connecting.back()->done());
    for (auto& recorder : connecting) end(*recorder);
    EXPECT_EQ(connecting.front()->result(), 0);
    EXPECT_EQ(connecting.back()->result(), -ECANCELED);
}

TEST_P(ProactorSockets, MultishotAcceptTakesConnectionsUntilCancelled) {
    Listener listener;
    std::set<int> accepted;
    Recorder accepting{accept(listener.fd, true)};
    accepting.then = [&] {
        const int result = accepting.seen.back().result;
        if (result >= 0) EXPECT_TRUE(accepted.insert(result).second);
    };
    submit(accepting);
    for (const std::size_t count : {1U, 100U, 3U}) {
        const std::size_t before = accepted.size();
        std::vector<std::unique_ptr<Socket>> clients;
        for (std::size_t i = 0; i < count; ++i) {
            clients.push_back(std::make_unique<Socket>());
            start_connecting(*clients.back(), listener);
        }
        run_until([&] { return accepted.size() == before + count; });
    }
    proactor->detach();  // and goes on after it
    const Socket late;
    start_connecting(late, listener);
    run_until([&] { return accepted.size() == 105; });
    end(accepting);
    EXPECT_EQ(accepting.seen.back(), (Completion{-ECANCELED, false}));
    for (const int fd : accepted) ::close(fd);
}

TEST_P(ProactorSockets, MultishotAcceptIsCancelledInsideItsCompletion) {
    Listener listener;
    Recorder accepting{accept(listener.fd, true)};
    std::vector<std::unique_ptr<Socket>> clients;
    for (int i = 0; i < 10; ++i) {
        clients.push_back(std::make_unique<Socket>());
        start_connecting(*clients.back(), listener);
    }
    accepting.then = [&] { cancel(accepting); };
    submit(accepting);
    run(accepting);
    for (const Completion completion : accepting.seen) {
        if (completion.result >= 0) ::close(completion.result);
    }
    EXPECT_EQ(accepting.seen.back(), (Completion{-ECANCELED, false}));
}

TEST_P(ProactorSockets, SendWaitsForRoomAndIsCancelled) {
    const SocketPair sockets;
    std::string block(1 << 20, 'x');
    Recorder first{transfer(Kind::send, sockets[0], block)};
    submit(first);
    run(first);
    EXPECT_GT(first.result(), 0);
    Recorder second{transfer(Kind::send, sockets[0], block)};
    while (true) {  // until it is full
        second.seen.clear();
        submit(second);
        settle();
        if (!second.done()) break;
        ASSERT_GT(second.result(), 0);
    }
    end(second);
    EXPECT_EQ(second.result(), -ECANCELED);
    submit(second);
    second.seen.clear();
    std::string sink(1 << 20, '\0');
    run_until([&] {
        (void)!::recv(sockets[1], sink.data(), sink.size(), 0);
        return second.done();
    });
    EXPECT_GT(second.result(), 0);
}

TEST_P(ProactorSockets, SendToAClosedPeerFailsWithoutASignal) {
    SocketPair sockets;
    sockets.close(1);
    std::signal(SIGPIPE, SIG_DFL);  // would end the test
    std::string text = "x";
    iovec part{text.data(), text.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    Recorder sending{transfer(Kind::send, sockets[0], text)};
    Recorder scattering{{.kind = Kind::sendmsg, .fd = sockets[0], .buffer = &message}};
    submit(sending);
    submit(scattering);
    run_until([&] { return proactor->in_flight() == 0; });
    std::signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(sending.result(), -EPIPE);
    EXPECT_EQ(scattering.result(), -EPIPE);
}

TEST_P(ProactorSockets, MessagesCarryDescriptors) {
    const SocketPair sockets;
    const Pipe pipe;
    char byte = 'x';
    iovec part{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int passed = pipe[1];
    std::memcpy(CMSG_DATA(header), &passed, sizeof passed);

    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> arrived{};
    char there = 0;
    iovec target{&there, 1};
    msghdr reply{};
    reply.msg_iov = &target;
    reply.msg_iovlen = 1;
    reply.msg_control = arrived.data();
    reply.msg_controllen = arrived.size();
    Recorder receiving{
        {.kind = Kind::recvmsg, .fd = sockets[1], .flags = MSG_CMSG_CLOEXEC, .buffer = &reply}};
    Recorder sending{{.kind = Kind::sendmsg, .fd = sockets[0], .buffer = &message}};
    submit(receiving);
    settle();
    submit(sending);
    run_until([&] { return proactor->in_flight() == 0; });
    EXPECT_EQ(sending.result(), 1);
    EXPECT_EQ(receiving.result(), 1);
    EXPECT_EQ(there, 'x');
    const cmsghdr* const came = CMSG_FIRSTHDR(&reply);
    ASSERT_NE(came, nullptr);
    if (came == nullptr) return;
    int copy = -1;
    std::memcpy(&copy, CMSG_DATA(came), sizeof copy);
    put(copy, "y");
    ::close(copy);
}

TEST_P(ProactorSockets, APeekThatGotLessDoesNotHideTheRest) {
    const SocketPair sockets;
    std::array<char, 16> buffer{};
    Operation what = transfer(Kind::recv, sockets[0], buffer);
    Recorder warming{what};
    submit(warming);
    settle();
    put(sockets[1], "x");
    run(warming);
    put(sockets[1], "yz");
    for (const unsigned flags : {static_cast<unsigned>(MSG_PEEK), 0U}) {
        what.flags = flags;
        Recorder receiving{what};
        submit(receiving);
        run(receiving);
        EXPECT_EQ(receiving.result(), 2);
    }
}

TEST_P(ProactorSockets, TheEndIsSeenAfterAShortRead) {
    // The end comes before, with and after the report of the last bytes.
    for (const int when : {0, 1, 2}) {
        SocketPair sockets;
        std::array<char, 16> buffer{};
        Recorder receiving{transfer(Kind::recv, sockets[0], buffer)};
        for (int round = 0; round < 3; ++round) {
            receiving.seen.clear();
            submit(receiving);
            settle();
            put(sockets[1], "abc");
            if (round == 2 && when == 0) sockets.close(1);
            run(receiving);
            EXPECT_EQ(receiving.result(), 3);
        }
        if (when == 1) sockets.close(1);
        receiving.seen.clear();
        submit(receiving);
        settle();
        if (when == 2) sockets.close(1);
        run(receiving);
        EXPECT_EQ(receiving.result(), 0);
    }
}

TEST_P(ProactorSockets, UrgentDataDoesNotHideWhatIsBehindIt) {
    Listener listener;
    const Socket client;
    Recorder accepting{accept(listener.fd)}, connecting{connect(client.fd, listener.address)};
    submit(accepting);
    submit(connecting);
    run_until([&] { return accepting.done() && connecting.done(); });
    const Socket server(accepting.result());
    std::array<char, 64> buffer{};
    Recorder receiving{transfer(Kind::recv, server.fd, buffer)};
    submit(receiving);
    settle();
    put(client.fd, "a");
    run(receiving);
    put(client.fd, "before");
    ASSERT_EQ(::send(client.fd, "!", 1, MSG_OOB), 1);
    put(client.fd, "behind");
    int received = 0;
    while (received < 12) {
        receiving.seen.clear();
        submit(receiving);
        run(receiving);
        ASSERT_GT(receiving.result(), 0);
        received += receiving.result();
    }
    EXPECT_EQ(received, 12);
}

TEST_P(ProactorSockets, ReadingAndWritingInTurnNeverStalls) {
    // Both directions fill and drain, so that every state of readiness is passed through.
    const SocketPair sockets;
    std::string out(100'000, 'x');
    std::array<char, 1000> in{};
    Recorder sending{transfer(Kind::send, sockets[0], out)};
    Recorder receiving{transfer(Kind::recv, sockets[0], in)};
    std::size_t sent = 0, received = 0, echoed = 0, drained = 0;
    sending.then = [&] {
        if (sending.seen.back().result > 0) {
            sent += static_cast<std::size_t>(sending.seen.back().result);
        }
        if (sent < 5'000'000) submit(sending);
    };
    receiving.then = [&] {
        if (receiving.seen.back().result > 0) {
            received += static_cast<std::size_t>(receiving.seen.back().result);
            submit(receiving);
        }
    };
    submit(sending);
    submit(receiving);
    std::string peer(30'000, 'y');
    run_until([&] {
        for (int i = 0; i < 3; ++i) {
            const ssize_t got = ::recv(sockets[1], peer.data(), peer.size(), 0);
            if (got > 0) drained += static_cast<std::size_t>(got);
            if (sent >= 5'000'000) continue;
            const ssize_t put_back = ::send(sockets[1], peer.data(), 5000, 0);
            if (put_back > 0) echoed += static_cast<std::size_t>(put_back);
        }
        return sent >= 5'000'000 && drained == sent && received == echoed;
    });
    end(receiving);
}

TEST_P(ProactorSockets, DatagramsKeepTheirBounds) {
    const SocketPair sockets(SOCK_DGRAM);
    std::array<char, 16> buffer{};
    Recorder receiving{transfer(Kind::recv, sockets[0], buffer)};
    submit(receiving);
    settle();
    put(sockets[1], "one");
    put(sockets[1], "three");
    run(receiving);
    EXPECT_EQ(receiving.result(), 3);
    receiving.seen.clear();
    submit(receiving);
    run(receiving);
    EXPECT_EQ(receiving.result(), 5);
}

TEST_P(ProactorSockets, PeekLeavesTheData) {
    const SocketPair sockets;
    std::array<char, 4> buffer{};
    Operation peek = transfer(Kind::recv, sockets[0], buffer);
    peek.flags = MSG_PEEK;
    put(sockets[1], "x");
    for (int i = 0; i < 2; ++i) {
        Recorder receiving{peek};
        submit(receiving);
        run(receiving);
        EXPECT_EQ(receiving.result(), 1);
    }
}

TEST_P(ProactorSockets, OperationsOnWhatIsNoSocketFail) {
    const Pipe pipe;
    std::array<char, 4> buffer{};
    Recorder receiving{transfer(Kind::recv, pipe[0], buffer)}, accepting{accept(pipe[0])};
    submit(receiving);
    submit(accepting);
    run_until([&] { return proactor->in_flight() == 0; });
    EXPECT_EQ(receiving.result(), -ENOTSOCK);
    EXPECT_EQ(accepting.result(), -ENOTSOCK);
}

TEST_P(ProactorSockets, CloseGivesTheNumberBack) {
    SocketPair sockets;
    Recorder polled{poll(sockets[0], POLLOUT)};
    submit(polled);
    run(polled);
    Recorder closing{{.kind = Kind::close, .fd = sockets[0]}};
    submit(closing);
    run(closing);
    EXPECT_EQ(closing.result(), 0);
    EXPECT_EQ(::fcntl(sockets[0], F_GETFD), -1);
    char byte = 0;
    EXPECT_EQ(::read(sockets[1], &byte, 1), 0);
    closing.seen.clear();
    submit(closing);
    run(closing);
    EXPECT_EQ(closing.result(), -EBADF);
    sockets.fds[0] = -1;
}

TEST_P(ProactorSockets, UnixSocketsConnect) {
    const Socket listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ASSERT_GE(listener.fd, 0);
    if (listener.fd < 0) return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socklen_t size = sizeof(sa_family_t);  // an abstract name of the kernel's choice
    ASSERT_EQ(::bind(listener.fd, reinterpret_cast<sockaddr*>(&address), size), 0);
    size = sizeof address;
    ASSERT_EQ(::getsockname(listener.fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
    ASSERT_EQ(::listen(listener.fd, 8), 0);
    const Socket client(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    Recorder connecting{{.kind = Kind::connect, .fd = client.fd, .buffer = &address, .size = size}};
    Recorder accepting{accept(listener.fd)};
    submit(connecting);
    submit(accepting);
    run_until([&] { return proactor->in_flight() == 0; });
    EXPECT_EQ(connecting.result(), 0);
    ASSERT_GE(accepting.result(), 0);
    const Socket server(accepting.result());
}

}  // namespace asyncio::detail::testing
