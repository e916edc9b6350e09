// Datagram endpoints, five scenarios: messages there and back, what a connected endpoint
// refuses, errors that come from the other side, the end, options that do not go together.
#include "io_scenario.hpp"

using asyncio::DatagramOptions;
using asyncio::DatagramTransport;
using asyncio::HostPort;
using asyncio::SocketAddress;
using io::attempted;

class Messages : public asyncio::DatagramProtocol {
  public:
    explicit Messages(std::string label) : label_(std::move(label)) {}

    void connection_made(std::shared_ptr<DatagramTransport>) override {
        note(label_, "connection_made");
    }
    void datagram_received(std::string_view data, const SocketAddress& sender) override {
        note(label_, "datagram_received", io::show(data));
        got.put_nowait(sender);
    }
    void error_received(std::exception_ptr error) override {
        note(label_, "error_received", io::kind(error));
        if (!failed.done()) failed.set_result();
    }
    void connection_lost(std::exception_ptr error) override {
        note(label_, "connection_lost", io::kind(error));
        lost.set_result();
    }

    asyncio::Queue<SocketAddress> got;
    Future<void> failed, lost;

  private:
    std::string label_;
};

const HostPort here = {"127.0.0.1", 0};

auto endpoint(std::string label, DatagramOptions options) {
    return asyncio::get_running_loop().create_datagram_endpoint(
        [label] { return std::make_shared<Messages>(label); }, std::move(options));
}

SocketAddress address(const std::shared_ptr<DatagramTransport>& transport) {
    return transport->get_extra_info<SocketAddress>("sockname").value();
}
HostPort host_port(const SocketAddress& where) {
    return {where.host(), where.port()};
}

Coroutine<void> messages() {
    note("== messages");
    const auto [one, first] = co_await endpoint("one", {.local_addr = here});
    const auto [two, second] = co_await endpoint("two", {.local_addr = here});
    SocketAddress sender;
    for (const std::string& data : std::vector<std::string>{"message", std::string(10'000, 'x')}) {
        one->sendto(data, address(two));
        sender = co_await second->got.get();
        note("from one", sender == address(one));
    }
    two->sendto("answer", sender);
    note("from two", co_await first->got.get() == address(two));
    const auto [low, high] = one->get_write_buffer_limits();
    note("waiting to be sent", one->get_write_buffer_size(), std::vector{low, high});
    one->close();
    two->close();
    co_await first->lost;
    co_await second->lost;
}

Coroutine<void> connected() {
    note("== connected");
    const auto [one, first] = co_await endpoint("one", {.local_addr = here});
    const auto [two, second] = co_await endpoint("two", {.remote_addr = host_port(address(one))});
    const auto other = one->get_extra_info<SocketAddress>("peername");
    note("peer", two->get_extra_info<SocketAddress>("peername") == address(one),
         other ? "an address" : "None");
    two->sendto("without an address");
    const SocketAddress sender = co_await first->got.get();
    two->sendto("with its own", address(one));
    co_await first->got.get();
    try {
        two->sendto("elsewhere", sender);
    } catch (const asyncio::ValueError& error) {
        note(name(error));
    }
    one->sendto("answer", sender);
    co_await second->got.get();
    // From elsewhere nothing comes.
    const auto [three, third] = co_await endpoint("three", {.local_addr = here});
    three->sendto("never told", address(two));
    one->sendto("told", sender);
    co_await second->got.get();
    one->close();
    co_await first->lost;
    two->close();
    co_await second->lost;
    three->close();
    co_await third->lost;
}

Coroutine<void> errors() {
    note("== errors");
    const auto [one, first] = co_await endpoint("one", {.local_addr = here});
    const HostPort where = host_port(address(one));
    const auto [two, second] = co_await endpoint("two", {.remote_addr = where});
    one->close();
    co_await first->lost;
    co_await asyncio::sleep(20ms);
    two->sendto("to nobody");
    co_await second->failed;
    note("closing", two->is_closing());
    two->close();
    co_await second->lost;
}

Coroutine<void> ends() {
    note("== ends");
    for (const std::string how : {"close", "abort"}) {
        const auto made = co_await endpoint(how, {.local_addr = here});
        const auto& [one, first] = made;
        note("closing", one->is_closing());
        for (int i = 0; i < 2; ++i) how == "close" ? one->close() : one->abort();
        note("closing", one->is_closing(), first->lost.done());
        co_await first->lost;
        co_await asyncio::sleep(0);
        attempted("close", [&made] { made.first->close(); });
        attempted("abort", [&made] { made.first->abort(); });
    }
}

Coroutine<void> refuse(std::string label, DatagramOptions options) {
    const auto outcome = co_await asyncio::try_(endpoint(label, std::move(options)));
    note(label, io::kind(outcome.exception()));
}

Coroutine<void> refused() {
    note("== refused");
    co_await refuse("nothing", {});
    co_await refuse("two families", {.local_addr = here, .remote_addr = HostPort{"::1", 9}});
}

Coroutine<void> program() {
    io::listen(asyncio::get_running_loop());
    co_await messages();
    co_await connected();
    co_await errors();
    co_await ends();
    co_await refused();
}

int main() {
    asyncio::run(program());
}
