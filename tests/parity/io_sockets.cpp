// Sockets and descriptors without transports, eight scenarios: what the loop's sock_ methods
// give, what a cancelled one leaves, datagrams, connecting and accepting, files, what
// add_reader() and its like answer and when they call, signals.
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "io_scenario.hpp"

using asyncio::Socket;
using asyncio::SocketAddress;
using io::attempted;
using io::noted;

std::span<std::byte> bytes(std::string& memory) {
    return std::as_writable_bytes(std::span<char>(memory));
}

const std::string much(3'000'000, 'x');

Coroutine<void> receiving() {
    note("== receiving");
    EventLoop& loop = asyncio::get_running_loop();
    auto [ours, theirs] = asyncio::socketpair();
    io::send(theirs, "0123456789");
    co_await noted("four", loop.sock_recv(ours, 4));
    std::string memory(3, '\0');
    co_await noted("into", loop.sock_recv_into(ours, bytes(memory)));
    note(io::show(memory));
    co_await noted("rest", loop.sock_recv(ours, 100));
    auto task = asyncio::create_task(noted("waiting", loop.sock_recv(ours, 100)));
    co_await asyncio::sleep(10ms);
    note("sends");
    co_await noted("all", loop.sock_sendall(theirs, "later"));
    co_await task;
    theirs.close();
    co_await noted("end", loop.sock_recv(ours, 100));
    co_await noted("end", loop.sock_recv_into(ours, bytes(memory)));
    co_await noted("broken", loop.sock_sendall(ours, "nobody"));
}

Coroutine<void> cancelled() {
    note("== cancelled");
    EventLoop& loop = asyncio::get_running_loop();
    auto [ours, theirs] = asyncio::socketpair();
    auto task = asyncio::create_task(noted("receiver", loop.sock_recv(ours, 100)));
    co_await asyncio::sleep(10ms);
    task.cancel();
    co_await task;
    io::send(theirs, "kept");
    co_await noted("next", loop.sock_recv(ours, 100));
    co_await noted("timeout", asyncio::wait_for(loop.sock_recv(ours, 100), 20ms));
    io::send(theirs, "kept too");
    co_await noted("next", loop.sock_recv(ours, 100));
    note("readers left", loop.remove_reader(ours));
    // A sender who waits for room.
    task = asyncio::create_task(noted("sender", loop.sock_sendall(ours, much)));
    co_await asyncio::sleep(10ms);
    task.cancel();
    co_await task;
    note("writers left", loop.remove_writer(ours));
}

Coroutine<void> sending_much() {
    note("== sending much");
    EventLoop& loop = asyncio::get_running_loop();
    auto [ours, theirs] = asyncio::socketpair();
    auto task = asyncio::create_task(noted("sender", loop.sock_sendall(ours, much)));
    std::size_t got = 0;
    while (got < 3'000'000) got += (co_await loop.sock_recv(theirs, 65536)).size();
    co_await task;
    note("got", got);
    co_await noted("nothing", loop.sock_sendall(ours, ""));
}

Coroutine<void> connecting() {
    note("== connecting");
    EventLoop& loop = asyncio::get_running_loop();
    Socket listener = Socket::create(AF_INET, SOCK_STREAM);
    listener.bind(SocketAddress("127.0.0.1", 0));
    listener.listen();
    const SocketAddress where = listener.getsockname();
    {
        auto accepting = asyncio::create_task(loop.sock_accept(listener));
        co_await asyncio::sleep(10ms);
        Socket client = Socket::create(AF_INET, SOCK_STREAM);
        co_await noted("connect", loop.sock_connect(client, where));
        auto [served, address] = co_await std::move(accepting);
        note("accepted", address == client.getsockname(), served.gettimeout() != 0);
        co_await loop.sock_sendall(client, "hello");
        co_await noted("served", loop.sock_recv(served, 100));
        served.close();
        co_await noted("client", loop.sock_recv(client, 100));
    }
    {
        // An accept that nobody wants any more takes no connection.
        auto task = asyncio::create_task(loop.sock_accept(listener));
        co_await asyncio::sleep(10ms);
        task.cancel();
        static_cast<void>(co_await asyncio::try_(std::move(task)));
        Socket client = Socket::create(AF_INET, SOCK_STREAM);
        co_await noted("connect", loop.sock_connect(client, where));
        auto [served, address] = co_await loop.sock_accept(listener);
        note("accepted", address == client.getsockname());
    }
    listener.close();
    Socket client = Socket::create(AF_INET, SOCK_STREAM);
    co_await noted("refused", loop.sock_connect(client, where));
}

Coroutine<void> datagrams() {
    note("== datagrams");
    EventLoop& loop = asyncio::get_running_loop();
    const Socket ours = Socket::create(AF_INET, SOCK_DGRAM);
    const Socket theirs = Socket::create(AF_INET, SOCK_DGRAM);
    for (const Socket* sock : {&ours, &theirs}) sock->bind(SocketAddress("127.0.0.1", 0));
    const SocketAddress address = theirs.getsockname();
    const auto from_ours = [&ours](const SocketAddress& sender) {
        return sender == ours.getsockname();
    };
    co_await noted("sends", loop.sock_sendto(ours, "message", address));
    auto [data, sender] = co_await loop.sock_recvfrom(theirs, 100);
    note(io::show(data), from_ours(sender));
    co_await noted("sends", loop.sock_sendto(ours, "cut off", address));
    std::tie(data, sender) = co_await loop.sock_recvfrom(theirs, 3);
    note(io::show(data), from_ours(sender));
    co_await noted("sends", loop.sock_sendto(ours, "", address));
    std::string memory(16, '\0');
    std::size_t count = 0;
    std::tie(count, sender) = co_await loop.sock_recvfrom_into(theirs, bytes(memory));
    note(count, from_ours(sender));
    auto waiting = asyncio::create_task(loop.sock_recvfrom_into(theirs, bytes(memory)));
    co_await asyncio::sleep(10ms);
    co_await noted("sends", loop.sock_sendto(ours, "second", address));
    std::tie(count, sender) = co_await waiting;
    note(count, io::show(memory.substr(0, count)), from_ours(sender));
}

Coroutine<void> files() {
    note("== files");
    EventLoop& loop = asyncio::get_running_loop();
    auto [ours, theirs] = asyncio::socketpair();
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
    const int fd = ::fileno(file.get());
    if (::write(fd, "0123456789", 10) != 10) throw asyncio::OSError(errno, "write");
    const std::vector<std::pair<int, std::optional<std::size_t>>> parts = {
        {0, std::nullopt}, {3, std::nullopt}, {2, 4}, {8, 100}};
    for (const auto& [offset, count] : parts) {
        co_await noted("sends", loop.sock_sendfile(ours, fd, offset, count));
        note("position", ::lseek(fd, 0, SEEK_CUR));
        co_await noted("receives", loop.sock_recv(theirs, 100));
    }
    co_await noted("behind the end", loop.sock_sendfile(ours, fd, 20));
}

Coroutine<void> readiness() {
    note("== readiness");
    EventLoop& loop = asyncio::get_running_loop();
    auto [ours_made, theirs] = asyncio::socketpair();
    const Socket& ours = ours_made;
    note("none", loop.remove_reader(ours), loop.remove_writer(ours));
    Future<void> done;

    const auto readable = [&ours, &done](std::string label) {
        std::string data(100, '\0');
        data.resize(static_cast<std::size_t>(::recv(ours.fileno(), data.data(), 100, 0)));
        note(label, io::show(data));
        done.set_result();
    };
    loop.add_reader(ours, readable, "first");
    loop.add_reader(ours, readable, "second");
    io::send(theirs, "data");
    co_await done;
    const bool there = loop.remove_reader(ours);
    note("removed", there, loop.remove_reader(ours));
    io::send(theirs, "more");
    co_await asyncio::sleep(10ms);
    note("not told");

    // Level triggered: told again until it is read.
    int calls = 0;
    done = Future<void>();
    loop.add_reader(ours.fileno(), [&] {
        if (++calls == 3) {
            loop.remove_reader(ours.fileno());
            readable("third time");
        }
    });
    co_await done;
    co_await asyncio::sleep(10ms);
    note("calls", calls);

    // Both ways, each of which goes on without the other.
    done = Future<void>();
    Future<void> written;
    loop.add_reader(ours, readable, "reader");
    loop.add_writer(ours, [&written] {
        if (!written.done()) written.set_result();
    });
    co_await written;
    note("writable");
    const bool writing = loop.remove_writer(ours);
    note("removed", writing, loop.remove_writer(ours));
    io::send(theirs, "both");
    co_await done;
    note("removed", loop.remove_reader(ours));

    // The end of file is something to read.
    done = Future<void>();
    loop.add_reader(ours, readable, "end");
    theirs.close();
    co_await done;
    loop.remove_reader(ours);

    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
    const int fd = ::fileno(file.get());
    attempted("regular file", [&loop, fd] { loop.add_reader(fd, [] {}); });
    attempted("regular file", [&loop, fd] { loop.add_writer(fd, [] {}); });
}

Coroutine<void> signals() {
    note("== signals");
    EventLoop& loop = asyncio::get_running_loop();
    note("none", loop.remove_signal_handler(SIGUSR1));
    Future<void> done;
    const auto handler = [&done](std::string label) {
        note("handler", label);
        done.set_result();
    };
    loop.add_signal_handler(SIGUSR1, handler, "first");
    loop.add_signal_handler(SIGUSR1, handler, "second");
    ::kill(::getpid(), SIGUSR1);
    note("not at once");
    co_await done;
    done = Future<void>();
    ::raise(SIGUSR1);
    co_await done;
    const bool there = loop.remove_signal_handler(SIGUSR1);
    note("removed", there, loop.remove_signal_handler(SIGUSR1));
    for (const auto& [label, number] : std::vector<std::pair<std::string, int>>{
             {"SIGKILL", SIGKILL}, {"zero", 0}, {"much", 1000}}) {
        try {
            loop.add_signal_handler(number, handler, label);
        } catch (const std::exception& error) {
            note(label, name(error));
        }
    }
}

Coroutine<void> program() {
    co_await receiving();
    co_await cancelled();
    co_await sending_much();
    co_await connecting();
    co_await datagrams();
    co_await files();
    co_await readiness();
    co_await signals();
}

int main() {
    asyncio::run(program());
}
