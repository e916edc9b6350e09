// Our echo servers for benchmarks/run net.
//
//   echo PORT streams [PEM]     a coroutine per connection, views of what its StreamReader has
//   echo PORT protocol [PEM]    a Protocol per connection
//   echo PORT buffered [PEM]    a BufferedProtocol per connection
//
// With a file of a certificate and its key: under TLS.
// ASYNCIO_PROACTOR names the proactor.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <asyncio.hpp>
#include <asyncio/ssl.hpp>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

namespace {

using namespace asyncio;

Coroutine<void> serve(StreamReader reader, StreamWriter writer) {
    try {
        for (;;) {
            const std::string_view data = co_await reader.read_view();
            if (data.empty()) break;
            writer.write(data);
            co_await writer.drain();
        }
    } catch (const ConnectionError&) {  // the load generator leaves in the middle
    }
    writer.close();
}

class Echo : public Protocol {
  public:
    void connection_made(std::shared_ptr<Transport> made) override { transport_ = std::move(made); }
    void data_received(std::string_view data) override { transport_->write(data); }
    void connection_lost(std::exception_ptr) override { transport_.reset(); }

  private:
    std::shared_ptr<Transport> transport_;
};

class BufferedEcho : public BufferedProtocol {
  public:
    void connection_made(std::shared_ptr<Transport> made) override { transport_ = std::move(made); }
    std::span<std::byte> get_buffer(std::size_t) override { return buffer_; }
    void buffer_updated(std::size_t size) override {
        transport_->write(std::span<const std::byte>(buffer_).first(size));
    }
    void connection_lost(std::exception_ptr) override { transport_.reset(); }

  private:
    std::shared_ptr<Transport> transport_;
    std::array<std::byte, 65536> buffer_;
};

std::shared_ptr<ssl::SSLContext> load_context(const char* pem) {
    auto context = ssl::create_default_context({.purpose = ssl::Purpose::CLIENT_AUTH});
    context->load_cert_chain(pem);
    return context;
}

// `pem` is null for plain TCP.
Coroutine<void> run_server(int port, std::string_view kind, const char* pem) {
    EventLoop& loop = get_running_loop();
    ServerOptions options{.backlog = 4096};
    if (pem != nullptr) options.ssl = load_context(pem);
    Server server;
    if (kind == "streams") {
        server = co_await start_server(serve, "127.0.0.1", port, std::move(options));
    } else if (kind == "protocol") {
        server = co_await loop.create_server([] { return std::make_shared<Echo>(); }, "127.0.0.1",
                                             port, std::move(options));
    } else {
        server = co_await loop.create_server([] { return std::make_shared<BufferedEcho>(); },
                                             "127.0.0.1", port, std::move(options));
    }
    co_await server.serve_forever();
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 3 && argc != 4) return 2;
    run(run_server(std::atoi(argv[1]), argv[2], argc == 4 ? argv[3] : nullptr));
} catch (const KeyboardInterrupt&) {  // ends as programs do, and so leaves its profile
}
