// What the tests of TLS connections share.
#pragma once

#include <support/certificates.hpp>
#include <support/stream_fixture.hpp>

#include <asyncio/ssl.hpp>

namespace tls {

using Context = std::shared_ptr<asyncio::ssl::SSLContext>;

// Of a client that trusts the tests' authority.
inline Context trusting() {
    return asyncio::ssl::create_default_context({.cafile = certificates().authority});
}

inline Context serving(const std::string& chain = certificates().server) {
    Context context =
        asyncio::ssl::create_default_context({.purpose = asyncio::ssl::Purpose::CLIENT_AUTH});
    context->load_cert_chain(chain);
    return context;
}

inline asyncio::Coroutine<asyncio::StreamPair> connect(int port,
                                                       asyncio::ConnectionOptions options = {
                                                           .ssl = trusting()}) {
    return asyncio::open_connection("localhost", port, [&] {
        options.family = AF_INET;
        return std::move(options);
    }());
}

inline asyncio::Coroutine<asyncio::Server> serve_echo(Context context = serving()) {
    return asyncio::start_server(echo, "127.0.0.1", 0, {.ssl = std::move(context)});
}

// A peer whose every byte the test moves: TLS by hand over a plain stream.
class ByHand {
  public:
    ByHand(asyncio::StreamReader reader, asyncio::StreamWriter writer, const Context& context,
           const asyncio::ssl::WrapOptions& options)
        : reader_(std::move(reader)),
          writer_(std::move(writer)),
          object(context->wrap_bio(incoming, outgoing, options)) {}

    asyncio::Coroutine<void> shake_hands() {
        for (;;) {
            const auto done = object->try_handshake();
            co_await flush();
            if (done > 0) co_return;
            if (done != asyncio::ssl::SSLObject::blocked) std::rethrow_exception(object->error());
            co_await fill();
        }
    }
    // Sends what is encrypted, `step` bytes at a time.
    asyncio::Coroutine<void> flush(std::size_t step = 1 << 20) {
        while (outgoing->pending() != 0) {
            writer_.write(outgoing->read(static_cast<std::ptrdiff_t>(step)));
            co_await writer_.drain();
            co_await asyncio::sleep(0);
        }
    }
    asyncio::Coroutine<void> send(std::string_view data, std::size_t step = 1 << 20) {
        object->write(data);
        co_await flush(step);
    }
    // Empty at the end.
    asyncio::Coroutine<std::string> receive() {
        std::string data(65536, '\0');
        for (;;) {
            const auto count = object->try_read(data);
            if (count == asyncio::ssl::SSLObject::failed) std::rethrow_exception(object->error());
            if (count >= 0) {
                data.resize(static_cast<std::size_t>(count));
                co_return data;
            }
            if (!co_await fill()) co_return "";
        }
    }
    asyncio::Coroutine<void> end() { co_await ::end(writer_); }
    [[nodiscard]] const asyncio::StreamWriter& writer() const { return writer_; }

  private:
    asyncio::Coroutine<bool> fill() {
        const std::string data = co_await reader_.read(65536);
        incoming->write(data);
        co_return !data.empty();
    }

    asyncio::StreamReader reader_;
    asyncio::StreamWriter writer_;
    std::shared_ptr<asyncio::ssl::MemoryBIO> incoming = std::make_shared<asyncio::ssl::MemoryBIO>();
    std::shared_ptr<asyncio::ssl::MemoryBIO> outgoing = std::make_shared<asyncio::ssl::MemoryBIO>();

  public:
    std::shared_ptr<asyncio::ssl::SSLObject> object;
};

template <class Error, class Coro>
asyncio::Coroutine<Error> thrown_by(Coro awaitable) {
    const auto outcome = co_await asyncio::try_(std::move(awaitable));
    if (outcome) throw asyncio::RuntimeError("nothing was thrown");
    try {
        std::rethrow_exception(outcome.exception());
    } catch (const Error& error) {
        co_return error;
    }
}

}  // namespace tls
