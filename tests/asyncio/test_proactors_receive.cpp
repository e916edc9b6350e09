// Multishot reads into memory of the proactor's, on every proactor.
#include "proactor_fixture.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <numeric>
#include <span>
#include <thread>

namespace asyncio::detail::testing {
namespace {

// A multishot recv or read that keeps what came.
class Receiver : public Recorder {
  public:
    explicit Receiver(int fd, Kind kind = Kind::recv)
        : Recorder({.kind = kind, .multishot = true, .fd = fd}) {
        operation.complete = [](Operation& self, int result, bool more) {
            auto& receiver = *static_cast<Receiver*>(static_cast<Recorder*>(self.owner));
            receiver.seen.push_back({result, more});
            if (result > 0) {
                receiver.text.append(static_cast<const char*>(self.buffer),
                                     static_cast<std::size_t>(result));
            }
            if (receiver.then) receiver.then();
        };
    }
    std::string text;
};

std::string numbered(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + i / 251);
    return text;
}

class ProactorReceive : public ProactorTest {
  protected:
    // Lets much come first, so that the reading is as with large messages.
    void expect_much(Receiver& receiver, int peer) {
        submit(receiver);
        put(peer, numbered(16 * 1024));
        run_until([&] { return receiver.text.size() == 16 * 1024; });
        receiver.text.clear();
    }
};
ASYNCIO_FOR_EACH_PROACTOR(ProactorReceive);

TEST_P(ProactorReceive, DeliversWhatComesUntilEndOfFile) {
    SocketPair pair;
    Receiver receiver(pair[0]);
    submit(receiver);
    settle();
    EXPECT_TRUE(receiver.seen.empty());
    put(pair[1], "one");
    run_until([&] { return receiver.text == "one"; });
    EXPECT_EQ(receiver.seen.back(), (Completion{3, true}));
    EXPECT_EQ(receiver.operation.buffer, nullptr) << "it is the proactor's, and gone";
    put(pair[1], "two");
    run_until([&] { return receiver.text == "onetwo"; });
    pair.close(1);
    run(receiver);
    EXPECT_EQ(receiver.seen.back(), (Completion{0, false}));
}

TEST_P(ProactorReceive, DeliversWhatWasThereBefore) {
    SocketPair pair;
    put(pair[1], "early");
    pair.close(1);
    Receiver receiver(pair[0]);
    submit(receiver);
    run(receiver);
    EXPECT_EQ(receiver.text, "early");
}

TEST_P(ProactorReceive, ReadsPipes) {
    Pipe pipe;
    Receiver receiver(pipe[0], Kind::read);
    submit(receiver);
    settle();
    put(pipe[1], "through a pipe");
    run_until([&] { return receiver.text == "through a pipe"; });
    put(pipe[1], "!");
    pipe.close(1);
    run(receiver);
    EXPECT_EQ(receiver.text, "through a pipe!");
    EXPECT_EQ(receiver.seen.back(), (Completion{0, false}));
}

TEST_P(ProactorReceive, CancelledLosesNothing) {
    SocketPair pair;
    Receiver receiver(pair[0]);
    submit(receiver);
    settle();
    put(pair[1], "a");
    cancel(receiver);  // the byte is on its way, or stays in the socket
    run(receiver);
    EXPECT_EQ(receiver.seen.back(), (Completion{-ECANCELED, false}));
    put(pair[1], "b");
    settle();
    submit(receiver);
    run_until([&] { return receiver.text == "ab"; });
    end(receiver);
}

TEST_P(ProactorReceive, MayBeCancelledFromItsOwnCompletion) {
    SocketPair pair;
    Receiver receiver(pair[0]);
    receiver.then = [&] { cancel(receiver); };
    submit(receiver);
    put(pair[1], "x");
    run(receiver);
    EXPECT_EQ(receiver.text, "x");
    EXPECT_EQ(receiver.seen.back(), (Completion{-ECANCELED, false}));
    receiver.then = {};
    put(pair[1], "y");
    submit(receiver);
    run_until([&] { return receiver.text == "xy"; });
    end(receiver);
}

TEST_P(ProactorReceive, CancelledAndSubmittedAgainAtEveryTurn) {
    SocketPair pair;
    Receiver receiver(pair[0]);
    std::string sent;
    for (int i = 0; i < 300; ++i) {
        submit(receiver);
        const std::string piece(static_cast<std::size_t>(i % 7), static_cast<char>('a' + i % 26));
        if (!piece.empty()) put(pair[1], piece);
        sent += piece;
        if (i % 3 == 0) wait_now();
        cancel(receiver);
        run(receiver);
    }
    submit(receiver);
    run_until([&] { return receiver.text.size() >= sent.size(); });
    EXPECT_EQ(receiver.text, sent);
    end(receiver);
}

TEST_P(ProactorReceive, BadDescriptorIsAnError) {
    Receiver receiver(9999);
    submit(receiver);
    run(receiver);
    EXPECT_EQ(receiver.result(), -EBADF);
}

// A connection over loopback: [0] was accepted and does not block, [1] connected.
struct TcpPair : Pair {
    TcpPair() {
        const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const raw = reinterpret_cast<sockaddr*>(&address);
        EXPECT_EQ(::bind(listener, raw, size), 0);
        EXPECT_EQ(::listen(listener, 1), 0);
        EXPECT_EQ(::getsockname(listener, raw, &size), 0);
        fds[1] = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        EXPECT_EQ(::connect(fds[1], raw, size), 0);
        fds[0] = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        EXPECT_GE(fds[0], 0);
        ::close(listener);
    }
};

void reset(Pair& pair, int which) {
    const linger hard{1, 0};
    EXPECT_EQ(::setsockopt(pair[which], SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    pair.close(which);
}

TEST_P(ProactorReceive, PeerThatResets) {
    TcpPair pair;
    Receiver receiver(pair[0]);
    submit(receiver);
    settle();
    reset(pair, 1);
    run(receiver);
    EXPECT_EQ(receiver.result(), -ECONNRESET);
}

TEST_P(ProactorReceive, MuchMoreThanTheBuffersHold) {
    // 40 connections with a quarter of a megabyte each, all before anybody reads.
    constexpr std::size_t count = 40;
    const std::string sent = numbered(256 * 1024);
    std::vector<std::unique_ptr<SocketPair>> pairs;
    std::vector<std::unique_ptr<Receiver>> receivers;
    for (std::size_t i = 0; i < count; ++i) {
        pairs.push_back(std::make_unique<SocketPair>());
        const int room = 1 << 20;
        ::setsockopt((*pairs.back())[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        receivers.push_back(std::make_unique<Receiver>((*pairs.back())[0]));
        submit(*receivers.back());
    }
    settle();
    std::vector<std::size_t> written(count);
    const auto fill = [&] {
        for (std::size_t i = 0; i < count; ++i) {
            const std::string_view rest = std::string_view(sent).substr(written[i]);
            const ssize_t n = rest.empty() ? 0 : ::write((*pairs[i])[1], rest.data(), rest.size());
            if (n > 0) written[i] += static_cast<std::size_t>(n);
        }
    };
    run_until([&] {
        fill();
        for (const auto& receiver : receivers) {
            if (receiver->text.size() < sent.size()) return false;
        }
        return true;
    });
    for (const auto& receiver : receivers) {
        EXPECT_TRUE(receiver->text == sent);
        end(*receiver);
    }
}

// Lends memory of its own for what comes, when `lending`.
class Lender : public Receiver {
  public:
    explicit Lender(int fd, Kind kind = Kind::recv) : Receiver(fd, kind) {
        operation.lend = [](Operation& self) noexcept -> std::span<std::byte> {
            auto& lender = static_cast<Lender&>(*static_cast<Recorder*>(self.owner));
            ++lender.asked;
            return lender.lending ? lender.memory : std::span<std::byte>();
        };
        then = [this] {
            if (operation.buffer == memory.data()) {
                lent += static_cast<std::size_t>(seen.back().result);
            }
        };
    }
    std::vector<std::byte> memory = std::vector<std::byte>(64 * 1024);
    bool lending = true;
    std::size_t lent = 0;  // bytes that came in `memory`
    int asked = 0;         // how often
};

TEST_P(ProactorReceive, ReadsMuchIntoLentMemory) {
    for (const bool pipes : {false, true}) {
        SocketPair sockets;
        Pipe pipe;
        Pair& pair = pipes ? static_cast<Pair&>(pipe) : sockets;
        Lender lender(pair[0], pipes ? Kind::read : Kind::recv);
        submit(lender);
        const std::string sent = numbered(2'000'000);
        std::string_view rest = sent;
        run_until([&] {
            const ssize_t n = rest.empty() ? 0 : ::write(pair[1], rest.data(), rest.size());
            if (n > 0) rest.remove_prefix(static_cast<std::size_t>(n));
            return lender.text.size() == sent.size();
        });
        EXPECT_TRUE(lender.text == sent);
        EXPECT_GT(lender.lent, sent.size() / 2);
        pair.close(1);
        run(lender);
        EXPECT_EQ(lender.seen.back(), (Completion{0, false}));
    }
}

TEST_P(ProactorReceive, GoesOnReadingIntoLentMemoryThoughLittleComesInBetween) {
    const SocketPair pair;
    Lender lender(pair[0]);
    submit(lender);
    const std::string much = numbered(32 * 1024);
    std::string sent;
    for (int i = 0; i < 50; ++i) {
        for (const std::string_view piece : {std::string_view(much), std::string_view("little")}) {
            put(pair[1], piece);
            sent += piece;
            run_until([&] { return lender.text.size() == sent.size(); });
        }
    }
    EXPECT_TRUE(lender.text == sent);
    EXPECT_GT(lender.lent, sent.size() - 3 * much.size());
    end(lender);
}

TEST_P(ProactorReceive, LosesNothingWhateverIsLentAndCancelled) {
    SocketPair pair;
    Lender lender(pair[0]);
    const std::string all = numbered(8'000'000);
    std::string_view rest = all;
    submit(lender);
    for (std::size_t turn = 0; !rest.empty() || lender.text.size() < all.size(); ++turn) {
        // Much at a time for a while, then little.
        const std::size_t piece = turn % 40 < 25 ? 150'000 : turn % 7 * 100 + 1;
        const std::string_view part = rest.substr(0, piece);
        const ssize_t n = part.empty() ? 0 : ::write(pair[1], part.data(), part.size());
        if (n > 0) rest.remove_prefix(static_cast<std::size_t>(n));
        lender.lending = turn % 5 != 0;
        wait_now();
        if (turn % 3 == 0) cancel(lender);
        if (turn % 6 == 0) run(lender);
        if (turn % 11 == 0) proactor->detach();
        if (lender.done()) submit(lender);
        ASSERT_EQ(lender.text.compare(0, std::string::npos, all, 0, lender.text.size()), 0);
    }
    EXPECT_TRUE(lender.text == all);
    end(lender);
}

TEST_P(ProactorReceive, CancelledWhileOutOfBuffersIsCancelled) {
    const std::string sent = numbered(150'000);
    std::vector<std::unique_ptr<SocketPair>> pairs;
    std::vector<std::unique_ptr<Receiver>> receivers;
    for (std::size_t i = 0; i < 40; ++i) {
        pairs.push_back(std::make_unique<SocketPair>());
        put((*pairs.back())[1], sent);
        receivers.push_back(std::make_unique<Receiver>((*pairs.back())[0]));
        Receiver& receiver = *receivers.back();
        receiver.then = [&] { cancel(receiver); };
        submit(receiver);
    }
    for (const auto& receiver : receivers) {
        run(*receiver);
        EXPECT_EQ(receiver->seen.back(), (Completion{-ECANCELED, false}));
        receiver->then = {};
        submit(*receiver);
    }
    for (const auto& receiver : receivers) {
        run_until([&] { return receiver->text.size() >= sent.size(); });
        EXPECT_TRUE(receiver->text == sent);
        end(*receiver);
    }
}

TEST_P(ProactorReceive, ABusyConnectionLeavesTheOthersTheirTurn) {
    SocketPair busy, quiet;
    Receiver loud(busy[0]), soft(quiet[0]);
    const std::string much(100'000, 'x');
    loud.then = [&] {
        if (loud.operation.state == Operation::State::idle) return;
        (void)!::write(busy[1], much.data(), much.size());
    };
    submit(loud);
    submit(soft);
    (void)!::write(busy[1], much.data(), much.size());
    settle();
    put(quiet[1], "hello");
    run_until([&] { return soft.text == "hello"; });
    loud.then = {};
    end(loud);
    end(soft);
}

TEST_P(ProactorReceive, TheEndBehindTheLastPieceIsSeen) {
    for (const std::size_t last : {std::size_t{1}, std::size_t{64 * 1024}, std::size_t{100'000}}) {
        TcpPair pair;
        Lender lender(pair[0]);
        expect_much(lender, pair[1]);
        put(pair[1], numbered(last));
        pair.close(1);
        run(lender);
        EXPECT_TRUE(lender.text == numbered(last)) << last;
        EXPECT_EQ(lender.seen.back(), (Completion{0, false}));
    }
}

TEST_P(ProactorReceive, AResetBehindALargeMessageIsSeen) {
    TcpPair pair;
    Lender lender(pair[0]);
    expect_much(lender, pair[1]);
    settle();
    reset(pair, 1);
    run(lender);
    EXPECT_EQ(lender.seen.back(), (Completion{-ECONNRESET, false}));
}

TEST_P(ProactorReceive, WhatComesBehindUrgentDataIsRead) {
    TcpPair pair;
    Lender lender(pair[0]);
    expect_much(lender, pair[1]);
    put(pair[1], "before");
    ASSERT_EQ(::send(pair[1], "!", 1, MSG_OOB), 1);
    put(pair[1], "behind");
    run_until([&] { return lender.text == "beforebehind"; });
    end(lender);
}

// All of it by one report of the kernel, which does not say that some is urgent.
TEST_P(ProactorReceive, WhatComesBehindUrgentDataInOneSegmentIsRead) {
    TcpPair pair;
    Lender lender(pair[0]);
    expect_much(lender, pair[1]);
    const auto cork = [&](int on) {
        ASSERT_EQ(::setsockopt(pair[1], IPPROTO_TCP, TCP_CORK, &on, sizeof on), 0);
    };
    for (int i = 0; i < 3; ++i) {
        lender.text.clear();
        cork(1);
        put(pair[1], "before");
        ASSERT_EQ(::send(pair[1], "!", 1, MSG_OOB | MSG_MORE), 1);
        put(pair[1], "behind");
        cork(0);
        run_until([&] { return lender.text == "beforebehind"; });
    }
    end(lender);
}

// One system call for a message, on whatever tells of it.
TEST_P(ProactorReceive, AMessageIsReadOnce) {
    if (proactor->name() == "epoll" && !GetParam().owned) {
        GTEST_SKIP() << "asks the kernel for readiness after each read";
    }
    constexpr int messages = 200;
    TcpPair pair;
    Lender lender(pair[0]);
    expect_much(lender, pair[1]);
    lender.asked = 0;
    const std::string message = numbered(20'000);
    for (int i = 0; i < messages; ++i) {
        lender.text.clear();
        put(pair[1], message);
        run_until([&] { return lender.text.size() == message.size(); });
    }
    // A message may come in two pieces.
    EXPECT_LE(lender.asked, messages * 3 / 2);
    end(lender);
}

TEST_P(ProactorReceive, ClosesWithSomeWhoHaveJustRead) {
    std::vector<std::unique_ptr<TcpPair>> pairs;
    std::vector<std::unique_ptr<Lender>> lenders;
    for (int i = 0; i < 3; ++i) {
        pairs.push_back(std::make_unique<TcpPair>());
        lenders.push_back(std::make_unique<Lender>((*pairs.back())[0]));
        expect_much(*lenders.back(), (*pairs.back())[1]);
        put((*pairs.back())[1], numbered(20'000));
        run_until([&] { return lenders.back()->text.size() == 20'000; });
    }
    proactor->close();
    for (const auto& lender : lenders) {
        EXPECT_EQ(lender->seen.back(), (Completion{-ECANCELED, false}));
        EXPECT_TRUE(lender->text == numbered(20'000));
    }
}

TEST_P(ProactorReceive, RecordsAreAllReadThoughEachIsLessThanTheMemory) {
    SocketPair pair(SOCK_SEQPACKET);
    Lender lender(pair[0]);
    expect_much(lender, pair[1]);
    for (const char* record : {"one ", "two ", "three"}) put(pair[1], record);
    run_until([&] { return lender.text == "one two three"; });
    end(lender);
}

// Who reads a large message has a few turns in a row, and then another has.
TEST_P(ProactorReceive, LargeMessagesAreReadInStretches) {
    if (proactor->name() == "epoll" && !GetParam().owned) {
        GTEST_SKIP() << "asks the kernel for readiness after each read";
    }
    const std::string sent = numbered(150'000);
    std::vector<std::unique_ptr<SocketPair>> pairs;
    std::vector<std::unique_ptr<Lender>> lenders;
    std::vector<std::size_t> turns;  // who read, one after the other
    for (std::size_t i = 0; i < 3; ++i) {
        pairs.push_back(std::make_unique<SocketPair>());
        lenders.push_back(std::make_unique<Lender>((*pairs.back())[0]));
        lenders.back()->memory.resize(8 * 1024);
        lenders.back()->then = [&turns, i] { turns.push_back(i); };
        expect_much(*lenders.back(), (*pairs.back())[1]);
    }
    turns.clear();
    for (const auto& pair : pairs) put((*pair)[1], sent);
    run_until([&] {
        return std::ranges::all_of(
            lenders, [&](const auto& lender) { return lender->text.size() == sent.size(); });
    });
    std::size_t changes = 0;
    for (std::size_t i = 1; i < turns.size(); ++i) changes += turns[i] != turns[i - 1];
    EXPECT_LE(changes, turns.size() * 2 / 3) << "each reads a second piece at once";
    EXPECT_GE(changes, 2 * lenders.size()) << "but not to the end while others wait";
    for (const auto& lender : lenders) {
        EXPECT_TRUE(lender->text == sent);
        end(*lender);
    }
}

TEST_P(ProactorReceive, ManyLargeMessagesDoNotKeepASmallOneWaiting) {
    const std::string large = numbered(150'000);
    std::vector<std::unique_ptr<SocketPair>> pairs;
    std::vector<std::unique_ptr<Lender>> lenders;
    std::size_t turns = 0;
    for (std::size_t i = 0; i < 40; ++i) {
        pairs.push_back(std::make_unique<SocketPair>());
        lenders.push_back(std::make_unique<Lender>((*pairs.back())[0]));
        lenders.back()->memory.resize(8 * 1024);
        lenders.back()->then = [&turns] { ++turns; };
        submit(*lenders.back());
    }
    SocketPair pair;
    Receiver receiver(pair[0]);
    submit(receiver);
    for (const auto& each : pairs) put((*each)[1], large);
    run_until([&] { return turns > 0; });
    put(pair[1], "small");
    run_until([&] { return receiver.text == "small"; });
    EXPECT_LT(turns, lenders.size() * large.size() / lenders.front()->memory.size() / 3);
    run_until([&] {
        return std::ranges::all_of(
            lenders, [&](const auto& lender) { return lender->text.size() == large.size(); });
    });
    for (const auto& lender : lenders) end(*lender);
    end(receiver);
}

TEST_P(ProactorReceive, ANumberThatMeansAnotherFileRightAfterTheEnd) {
    for (int i = 0; i < 3; ++i) {
        SocketPair pair;
        Receiver receiver(pair[0]);
        submit(receiver);
        put(pair[1], "hello");
        run_until([&] { return receiver.text == "hello"; });
        pair.close(1);
        run(receiver);
        // And the next pair takes its number, before another wait().
        EXPECT_EQ(receiver.seen.back(), (Completion{0, false}));
    }
}

TEST_P(ProactorReceive, GoesOnWhenAnotherThreadTakesOver) {
    SocketPair pair;
    Receiver receiver(pair[0]);
    submit(receiver);
    settle();
    put(pair[1], "before ");
    proactor->detach();
    std::thread([&] {
        put(pair[1], "and after");
        run_until([&] { return receiver.text == "before and after"; });
        proactor->detach();
    }).join();
    EXPECT_EQ(receiver.text, "before and after");
    end(receiver);
}

TEST_P(ProactorReceive, EndsWhenTheProactorCloses) {
    SocketPair pair;
    Receiver receiver(pair[0]);
    submit(receiver);
    settle();
    put(pair[1], "late");
    proactor->close();
    ASSERT_TRUE(receiver.done());
    EXPECT_EQ(receiver.seen.back(), (Completion{-ECANCELED, false}));
}

TEST_P(ProactorReceive, AnOwnedDescriptorMayCloseRightAfterCancel) {
    if (!GetParam().owned) GTEST_SKIP() << "a promise to owners";
    SocketPair pair;
    Receiver receiver(pair[0]);
    submit(receiver);
    settle();
    put(pair[1], "x");
    cancel(receiver);
    pair.close(0);
    SocketPair other;  // takes over the number
    Receiver second(other[0]);
    submit(second);
    put(other[1], "second");
    run(receiver);
    run_until([&] { return second.text == "second"; });
    EXPECT_EQ(receiver.seen.back(), (Completion{-ECANCELED, false}));
    end(second);
}

TEST_P(ProactorReceive, AnExceptionOutOfACompletionLosesNoBuffer) {
    SocketPair pair;
    Receiver receiver(pair[0]);
    int thrown = 0;
    receiver.then = [&] {
        if (thrown < 2000) {
            ++thrown;
            throw std::runtime_error("out of a completion");
        }
    };
    submit(receiver);
    for (int i = 0; i < 2000; ++i) {
        put(pair[1], "x");
        EXPECT_THROW(run_until([&] { return false; }), std::runtime_error);
    }
    put(pair[1], "y");
    run_until([&] { return receiver.text.size() == 2001; });
    receiver.then = {};
    end(receiver);
}

}  // namespace
}  // namespace asyncio::detail::testing
