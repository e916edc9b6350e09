// Boost.Asio coroutine echo server under TLS: asio_coro.cpp with ssl::stream, as its own
// examples write it.  asio_tls PORT PEM
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <cstdlib>
#include <vector>

namespace asio = boost::asio;
using asio::ip::tcp;
using Stream = asio::ssl::stream<tcp::socket>;

asio::awaitable<void> echo(Stream stream) {
    std::vector<char> data(64 << 10);
    try {
        co_await stream.async_handshake(Stream::server, asio::use_awaitable);
        for (;;) {
            std::size_t n =
                co_await stream.async_read_some(asio::buffer(data), asio::use_awaitable);
            co_await asio::async_write(stream, asio::buffer(data.data(), n), asio::use_awaitable);
        }
    } catch (const boost::system::system_error&) {
    }
}

asio::awaitable<void> listen(unsigned short port, asio::ssl::context& context) {
    auto ex = co_await asio::this_coro::executor;
    tcp::acceptor acceptor(ex, {asio::ip::address_v4::loopback(), port});
    for (;;) {
        tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
        socket.set_option(tcp::no_delay(true));
        asio::co_spawn(ex, echo(Stream(std::move(socket), context)), asio::detached);
    }
}

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    asio::ssl::context context(asio::ssl::context::tls_server);
    context.use_certificate_chain_file(argv[2]);
    context.use_private_key_file(argv[2], asio::ssl::context::pem);
    asio::io_context ctx(1);
    asio::co_spawn(ctx, listen(static_cast<unsigned short>(std::atoi(argv[1])), context),
                   asio::detached);
    ctx.run();
}
