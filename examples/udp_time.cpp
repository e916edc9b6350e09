// What time is it? A server and a client by UDP. Shown in docs/howto/networking.md.
//
//   udp_time               both, once
//   udp_time PORT          serves until Ctrl-C
//   udp_time HOST PORT     asks
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <asyncio.hpp>
#include <cctype>
#include <ctime>
#include <string>

using namespace std::chrono_literals;
using asyncio::Coroutine;
using asyncio::DatagramTransport;
using asyncio::HostPort;
using asyncio::SocketAddress;

namespace {

// [server]
class Clock : public asyncio::DatagramProtocol {
    void connection_made(std::shared_ptr<DatagramTransport> transport) override {
        transport_ = std::move(transport);
    }
    void datagram_received(std::string_view, const SocketAddress& sender) override {
        transport_->sendto(fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr))), sender);
    }
    std::shared_ptr<DatagramTransport> transport_;
};

Coroutine<std::shared_ptr<DatagramTransport>> serve(HostPort address) {
    auto [transport, clock] = co_await asyncio::get_running_loop().create_datagram_endpoint(
        [] { return std::make_shared<Clock>(); }, {.local_addr = address});
    co_return transport;
}
// [/server]

// [client]
struct Question : asyncio::DatagramProtocol {
    void datagram_received(std::string_view data, const SocketAddress&) override {
        if (!answer.done()) answer.set_result(std::string(data));
    }
    void error_received(std::exception_ptr error) override {
        if (!answer.done()) answer.set_exception(error);
    }
    asyncio::Future<std::string> answer;
};

Coroutine<std::string> ask(HostPort server) {
    auto [transport, question] = co_await asyncio::get_running_loop().create_datagram_endpoint(
        [] { return std::make_shared<Question>(); }, {.remote_addr = server});
    for (int attempt = 0; attempt < 3 && !question->answer.done(); ++attempt) {
        transport->sendto("?");  // it may get lost, and so may the answer
        co_await asyncio::wait({question->answer}, {.timeout = 1s});
    }
    transport->close();
    if (!question->answer.done()) throw asyncio::TimeoutError("no answer");
    co_return question->answer.result();
}
// [/client]

Coroutine<void> serve_for_ever(int port) {
    co_await serve({"0.0.0.0", port});
    co_await asyncio::Future<void>();
}

Coroutine<void> show(HostPort server) {
    fmt::print("{}\n", co_await ask(server));
}

Coroutine<void> both() {
    auto transport = co_await serve({"127.0.0.1", 0});
    const int port = transport->get_extra_info<SocketAddress>("sockname")->port();
    std::string answer = co_await ask({"127.0.0.1", port});
    for (char& c : answer) c = std::isdigit(static_cast<unsigned char>(c)) ? '9' : c;
    fmt::print("an answer like {}\n", answer);

    try {
        co_await ask({"127.0.0.2", port});
    } catch (const asyncio::ConnectionRefusedError&) {
        fmt::print("nobody is there\n");
    }
    transport->close();
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc > 2) {
        asyncio::run(show({argv[1], std::stoi(argv[2])}));
    } else {
        asyncio::run(argc > 1 ? serve_for_ever(std::stoi(argv[1])) : both());
    }
} catch (const asyncio::KeyboardInterrupt&) {  // Ctrl-C: the usual end
}
