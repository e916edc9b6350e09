// A chat server: what one says, all others hear; who does not listen is dropped. Shown in
// docs/howto/networking.md.
//
//   chat          a short conversation with itself
//   chat PORT     serves until Ctrl-C or SIGTERM; talk to it with nc
#include <fmt/format.h>

#include <asyncio.hpp>
#include <csignal>
#include <memory>
#include <set>
#include <string>

using namespace std::chrono_literals;
using asyncio::Coroutine;
using asyncio::StreamReader;
using asyncio::StreamWriter;

namespace {

// [guest]
struct Guest {
    std::string name;
    StreamWriter writer;
    asyncio::Queue<std::string> outbox{100};  // this many lines behind, and the guest is out
};

Coroutine<void> send(Guest& guest) {
    try {
        while (auto line = co_await guest.outbox.next()) {
            guest.writer.write(*line);
            co_await guest.writer.drain();
        }
    } catch (const asyncio::ConnectionError&) {  // gone, or dropped by tell()
    }
    guest.writer.close();
}
// [/guest]

class Chat {
  public:
    // [tell]
    void tell(const std::string& text, const Guest* except = nullptr) {
        for (Guest* guest : guests_) {
            if (guest == except) continue;
            if (guest->outbox.full()) {
                guest->writer.transport()->abort();
            } else {
                guest->outbox.put_nowait(text + "\n");
            }
        }
    }
    // [/tell]

    // [meet]
    // From hello to goodbye.
    Coroutine<void> meet(StreamReader reader, StreamWriter writer) {
        Guest guest{co_await read_name(reader), writer};
        guests_.insert(&guest);
        tell("* " + guest.name + " is here");
        auto sending = asyncio::create_task(send(guest));
        co_await asyncio::finally(listen(reader, guest), [&]() -> Coroutine<void> {
            if (guests_.erase(&guest) == 1) tell("* " + guest.name + " left");
            guest.outbox.shutdown();  // what is in it is still sent
            co_await sending;
        });
    }
    // [/meet]

    // [close]
    Coroutine<void> close(asyncio::Server server) {
        server.close();
        tell("* the chat is over");
        for (Guest* guest : std::exchange(guests_, {})) guest->outbox.shutdown();
        try {
            co_await asyncio::wait_for(server.wait_closed(), 5s);
        } catch (const asyncio::TimeoutError&) {
            server.abort_clients();
        }
    }
    // [/close]

  private:
    static Coroutine<std::string> read_name(StreamReader reader) {
        std::string name = co_await reader.readline();
        co_return name.substr(0, name.find_last_not_of("\r\n") + 1);
    }

    Coroutine<void> listen(StreamReader reader, Guest& guest) {
        try {
            while (auto line = co_await asyncio::anext(reader)) {
                tell(guest.name + ": " + line->substr(0, line->find_last_not_of("\r\n") + 1),
                     &guest);
                co_await asyncio::sleep(0);  // lines may be there already: let them be sent
            }
        } catch (const asyncio::ConnectionError&) {  // as good as a goodbye
        }
    }

    std::set<Guest*> guests_;  // each lives in its meet()
};

// What it returns, and so the chat, lives as long as somebody is in there.
auto doorman(std::shared_ptr<Chat> chat) {
    return [chat](StreamReader reader, StreamWriter writer) { return chat->meet(reader, writer); };
}

Coroutine<void> serve(int port) {
    auto chat = std::make_shared<Chat>();
    asyncio::Event stop;
    for (const int signal : {SIGINT, SIGTERM}) {
        asyncio::get_running_loop().add_signal_handler(signal, [&] { stop.set(); });
    }
    auto server = co_await asyncio::start_server(doorman(chat), "", port);
    co_await asyncio::finally(stop.wait(), [&] { return chat->close(server); });
}

Coroutine<asyncio::StreamPair> join(int port, std::string name) {
    auto connection = co_await asyncio::open_connection("127.0.0.1", port);
    connection.second.write(name + "\n");
    fmt::print("{} hears {}", name, co_await connection.first.readline());
    co_return connection;
}

Coroutine<void> shout(StreamWriter writer) {
    for (const std::string line = std::string(50'000, 'a') + "\n";;) {
        writer.write(line);
        co_await writer.drain();
    }
}

Coroutine<void> conversation() {
    auto chat = std::make_shared<Chat>();
    auto server = co_await asyncio::start_server(doorman(chat), "127.0.0.1", 0);
    const int port = server.sockets().at(0).getsockname().port();
    auto [from_ann, to_ann] = co_await join(port, "ann");
    auto [from_bob, to_bob] = co_await join(port, "bob");
    fmt::print("ann hears {}", co_await from_ann.readline());
    to_ann.write("hello\n");
    fmt::print("bob hears {}", co_await from_bob.readline());

    auto deaf = co_await join(port, "eve");  // and never reads again
    fmt::print("bob hears {}", co_await from_bob.readline());
    auto shouting = asyncio::create_task(shout(to_ann));
    std::string line = "a";
    while (line.starts_with("a")) line = co_await from_bob.readline();
    fmt::print("bob hears {}", line);
    shouting.cancel();

    auto closing = asyncio::create_task(chat->close(server));
    while (auto more = co_await asyncio::anext(from_bob)) line = *more;
    fmt::print("bob hears {}", line);
    for (const auto& writer : {to_ann, to_bob, deaf.second}) writer.close();
    co_await closing;
}

}  // namespace

int main(int argc, char** argv) {
    asyncio::run(argc > 1 ? serve(std::stoi(argv[1])) : conversation());
}
