// TLS: a server with a certificate, a client that verifies it, and a plain connection that goes
// on by TLS. Shown in docs/howto/tls.md. The certificate is made by the openssl program for this
// one run; a real one comes from a certificate authority.
#include <fmt/format.h>
#include <unistd.h>

#include <asyncio.hpp>
#include <asyncio/ssl.hpp>
#include <asyncio/subprocess.hpp>
#include <cstdlib>
#include <filesystem>

namespace ssl = asyncio::ssl;
using asyncio::Coroutine;
using asyncio::StreamReader;
using asyncio::StreamWriter;

namespace {

// [client]
Coroutine<std::string> first_line(std::string host, int port,
                                  std::shared_ptr<ssl::SSLContext> context) {
    auto [reader, writer] = co_await asyncio::open_connection(host, port, {.ssl = context});
    std::string line = co_await reader.readline();
    writer.close();
    co_await writer.wait_closed();
    co_return line;
}
// [/client]

// [server]
Coroutine<void> greet(StreamReader, StreamWriter writer) {
    const auto cipher = writer.get_extra_info<ssl::Cipher>("cipher");
    writer.write("hello by " + cipher->protocol + "\n");
    writer.close();
    co_await writer.wait_closed();
}

Coroutine<asyncio::Server> serve(std::string certificate, std::string key) {
    auto context = ssl::create_default_context({.purpose = ssl::Purpose::CLIENT_AUTH});
    context->load_cert_chain(certificate, key);
    co_return co_await asyncio::start_server(greet, "localhost", 0, {.ssl = context});
}
// [/server]

// [errors]
Coroutine<void> connect_or_say_why(std::string host, int port,
                                   std::shared_ptr<ssl::SSLContext> context) {
    try {
        fmt::print("{}", co_await first_line(host, port, context));
    } catch (const ssl::SSLCertVerificationError& error) {
        fmt::print("not trusted: {}\n", error.verify_message());
    } catch (const ssl::SSLError& error) {
        fmt::print("no TLS: {}\n", error.reason());
    }
}
// [/errors]

// [starttls]
Coroutine<void> upgrade(StreamReader reader, StreamWriter writer,
                        std::shared_ptr<ssl::SSLContext> context) {
    writer.write("STARTTLS\n");
    if (co_await reader.readline() != "go ahead\n") throw asyncio::RuntimeError("refused");
    co_await writer.start_tls(context, {.server_hostname = "localhost"});
}
// [/starttls]

Coroutine<void> serve_starttls(StreamReader reader, StreamWriter writer,
                               std::shared_ptr<ssl::SSLContext> context) {
    co_await reader.readline();
    writer.write("go ahead\n");
    co_await writer.start_tls(context);
    writer.write("now nobody listens\n");
    writer.close();
    co_await writer.wait_closed();
}

Coroutine<void> make_certificate(std::string certificate, std::string key) {
    auto openssl =
        co_await asyncio::create_subprocess_exec({"openssl",
                                                  "req",
                                                  "-x509",
                                                  "-newkey",
                                                  "ec",
                                                  "-pkeyopt",
                                                  "ec_paramgen_curve:P-256",
                                                  "-nodes",
                                                  "-days",
                                                  "1",
                                                  "-subj",
                                                  "/CN=localhost",
                                                  "-addext",
                                                  "subjectAltName=DNS:localhost",
                                                  "-addext",
                                                  "keyUsage=digitalSignature,keyCertSign",
                                                  "-keyout",
                                                  key,
                                                  "-out",
                                                  certificate},
                                                 {.stderr_ = asyncio::subprocess::DEVNULL});
    if (co_await openssl.wait() != 0) throw asyncio::RuntimeError("no certificate");
}

Coroutine<void> show(std::string certificate, std::string key) {
    co_await make_certificate(certificate, key);
    auto trusting = ssl::create_default_context({.cafile = certificate});

    auto server = co_await serve(certificate, key);
    const int port = server.sockets().at(0).getsockname().port();
    co_await connect_or_say_why("localhost", port, trusting);
    co_await connect_or_say_why("localhost", port, ssl::create_default_context());

    auto serving = ssl::create_default_context({.purpose = ssl::Purpose::CLIENT_AUTH});
    serving->load_cert_chain(certificate, key);
    auto plain = co_await asyncio::start_server(
        [serving](StreamReader reader, StreamWriter writer) {
            return serve_starttls(reader, writer, serving);
        },
        "localhost", 0);
    auto [reader, writer] =
        co_await asyncio::open_connection("localhost", plain.sockets().at(0).getsockname().port());
    co_await upgrade(reader, writer, trusting);
    fmt::print("{}", co_await reader.readline());
    writer.close();
    co_await writer.wait_closed();
    for (const auto& one : {server, plain}) {
        one.close();
        co_await one.wait_closed();
    }
}

}  // namespace

int main() {
    std::string folder = (std::filesystem::temp_directory_path() / "tls-example-XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) return EXIT_FAILURE;
    asyncio::run(show(folder + "/certificate.pem", folder + "/key.pem"));
    std::filesystem::remove_all(folder);
}
