// TLS against programs that others wrote: openssl s_client and s_server, curl, nginx, Python's
// ssl and asyncio, and peers that do not speak TLS at all.
#include <support/peers.hpp>
#include <support/tls_fixture.hpp>

namespace {

using namespace asyncio;
using namespace peers;
using namespace std::chrono_literals;
using ::testing::AnyOf;
using ::testing::HasSubstr;

class TlsPeers : public ConnectionTest {};

std::string text_of(int port) {
    return std::to_string(port);
}

// `openssl s_server`, which sends lines back reversed.
class OpensslServer {
  public:
    explicit OpensslServer(const std::vector<std::string>& options,
                           const std::string& certificate = certificates().server)
        : program_(command(options, certificate)) {
        EXPECT_TRUE(program_.says("ACCEPT")) << program_.said();
    }
    [[nodiscard]] int port() const { return port_; }
    Program& program() { return program_; }

  private:
    [[nodiscard]] std::vector<std::string> command(const std::vector<std::string>& options,
                                                   const std::string& certificate) const {
        std::vector<std::string> words{"openssl", "s_server",  "-accept", text_of(port_),
                                       "-cert",   certificate, "-key",    certificate,
                                       "-4",      "-rev"};
        words.insert(words.end(), options.begin(), options.end());
        return words;
    }
    int port_ = free_port();
    Program program_;
};

std::string protocol_of(const StreamWriter& writer) {
    return writer.get_extra_info<std::shared_ptr<ssl::SSLObject>>("ssl_object")
        .value()
        ->version()
        .value_or("");
}

// ---- openssl -------------------------------------------------------------------------------

TEST_F(TlsPeers, OpensslServesEveryVersion) {
    for (const char* version : {"-tls1_2", "-tls1_3"}) {
        OpensslServer openssl({version});
        run([&]() -> Coroutine<void> {
            auto [reader, writer] = co_await tls::connect(openssl.port());
            EXPECT_EQ(protocol_of(writer),
                      version == std::string("-tls1_2") ? "TLSv1.2" : "TLSv1.3");
            writer.write("abc\n");
            EXPECT_EQ(co_await reader.readline(), "cba\n");
            co_await end(writer);
        });
    }
}

TEST_F(TlsPeers, OpensslsCertificateIsNotGood) {
    struct Case {
        std::string certificate;
        const char* reason;
    };
    for (const Case& bad : {Case{certificates().expired, "certificate has expired"},
                            Case{certificates().self_signed, "self-signed certificate"},
                            Case{certificates().other_host, "Hostname mismatch"}}) {
        OpensslServer openssl({}, bad.certificate);
        run([&]() -> Coroutine<void> {
            const auto error = co_await tls::thrown_by<ssl::SSLCertVerificationError>(
                tls::connect(openssl.port()));
            EXPECT_THAT(error.what(), HasSubstr(bad.reason));
        });
    }
}

TEST_F(TlsPeers, OpensslAsksForOurCertificate) {
    OpensslServer openssl(
        {"-Verify", "1", "-verify_return_error", "-CAfile", certificates().authority});
    run([&]() -> Coroutine<void> {
        const auto context = tls::trusting();
        context->load_cert_chain(certificates().client);
        auto [reader, writer] = co_await tls::connect(openssl.port(), {.ssl = context});
        writer.write("known\n");
        EXPECT_EQ(co_await reader.readline(), "nwonk\n");
        co_await end(writer);

        // Without one. By TLS 1.3 the refusal comes after our handshake.
        const auto refused = co_await try_([](int port) -> Coroutine<std::string> {
            auto [reader, writer] = co_await tls::connect(port);
            writer.write("unknown\n");
            co_return co_await reader.readline();
        }(openssl.port()));
        EXPECT_TRUE(holds_exception<OSError>(refused.exception()));
    });
}

TEST_F(TlsPeers, OpensslAgreesOnAnApplicationProtocol) {
    OpensslServer openssl({"-alpn", "h2,http/1.1"});
    run([&]() -> Coroutine<void> {
        const auto context = tls::trusting();
        context->set_alpn_protocols({"spdy/1", "http/1.1"});
        auto [reader, writer] = co_await tls::connect(openssl.port(), {.ssl = context});
        EXPECT_EQ(writer.get_extra_info<std::shared_ptr<ssl::SSLObject>>("ssl_object")
                      .value()
                      ->selected_alpn_protocol(),
                  "http/1.1");
        co_await end(writer);
    });
}

// -quit after stdin is at its end would lose the answer: s_client gets a line, answers come,
// and our server ends.
Coroutine<void> reverse_one_line(StreamReader reader, StreamWriter writer) {
    std::string line = co_await reader.readline();
    if (!line.empty()) line.pop_back();
    writer.write(std::string(line.rbegin(), line.rend()) + "\n");
    co_await end(writer);
}

TEST_F(TlsPeers, OpensslIsOurClient) {
    run([]() -> Coroutine<void> {
        const auto context = tls::serving();
        context->set_alpn_protocols({"one", "two"});
        Server server = co_await start_server(reverse_one_line, "127.0.0.1", 0, {.ssl = context});
        for (const char* version : {"-tls1_2", "-tls1_3"}) {
            const Ended client = co_await run_client(
                {"openssl", "s_client", "-connect", "127.0.0.1:" + text_of(port_of(server)),
                 "-servername", "localhost", "-verify_hostname", "localhost",
                 "-verify_return_error", "-CAfile", certificates().authority, "-alpn", "two",
                 "-ign_eof", version},
                "hello\n");
            EXPECT_THAT(client.output, HasSubstr("olleh\n")) << client.errors;
            EXPECT_THAT(client.output, HasSubstr("ALPN protocol: two"));
            EXPECT_THAT(client.output, HasSubstr("Verification: OK"));
            EXPECT_EQ(client.returncode, 0);
        }
        co_await end(server);
    });
}

TEST_F(TlsPeers, OpensslResumesItsSession) {
    run([]() -> Coroutine<void> {
        Server server =
            co_await start_server(reverse_one_line, "127.0.0.1", 0, {.ssl = tls::serving()});
        const Folder folder;
        const std::vector<std::string> first{
            "openssl",     "s_client",  "-connect",        "127.0.0.1:" + text_of(port_of(server)),
            "-servername", "localhost", "-CAfile",         certificates().authority,
            "-ign_eof",    "-sess_out", folder / "session"};
        const Ended before = co_await run_client(first, "one\n");
        EXPECT_THAT(before.output, HasSubstr("New, TLSv1.3")) << before.errors;
        std::vector<std::string> second = first;
        second.at(second.size() - 2) = "-sess_in";
        const Ended after = co_await run_client(second, "two\n");
        EXPECT_THAT(after.output, HasSubstr("Reused, TLSv1.3")) << after.errors;
        EXPECT_THAT(after.output, HasSubstr("owt\n"));
        co_await end(server);
    });
}

TEST_F(TlsPeers, OpensslStartsTlsAfterAPlainDialogue) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader reader, StreamWriter writer) -> Coroutine<void> {
                writer.write("220 here\r\n");
                EXPECT_THAT(co_await reader.readline(), ::testing::StartsWith("EHLO"));
                writer.write("250-here\r\n250 STARTTLS\r\n");
                EXPECT_EQ(co_await reader.readline(), "STARTTLS\r\n");
                writer.write("220 go\r\n");
                co_await writer.start_tls(tls::serving());
                co_await reverse_one_line(reader, writer);
            },
            "127.0.0.1", 0);
        const Ended client = co_await run_client(
            {"openssl", "s_client", "-connect", "127.0.0.1:" + text_of(port_of(server)),
             "-starttls", "smtp", "-CAfile", certificates().authority, "-ign_eof"},
            "mail\n");
        EXPECT_THAT(client.output, HasSubstr("liam\n")) << client.errors;
        co_await end(server);
    });
}

// Reads what a program says until it has said `text`, or until it ends.
Coroutine<std::string> hear(StreamReader from, std::string text) {
    std::string heard;
    while (heard.find(text) == heard.npos) {
        const std::string more = co_await from.read(65536);
        if (more.empty()) break;
        heard += more;
    }
    co_return heard;
}

// TLS 1.2's renegotiation is refused, as OP_NO_RENEGOTIATION says; that of others' goes on.
TEST_F(TlsPeers, OpensslAsksToNegotiateAgain) {
    namespace subprocess = asyncio::subprocess;
    run([]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        auto [other_reader, other_writer] = co_await tls::connect(port_of(server));
        const subprocess::Process client = co_await create_subprocess_exec(
            {"openssl", "s_client", "-connect", "127.0.0.1:" + text_of(port_of(server)), "-tls1_2",
             "-CAfile", certificates().authority},
            {.stdin_ = subprocess::PIPE,
             .stdout_ = subprocess::PIPE,
             .stderr_ = subprocess::STDOUT});
        client.stdin_->write("before-it\n");
        EXPECT_THAT(co_await hear(*client.stdout_, "before-it"), HasSubstr("before-it"));
        client.stdin_->write("R\n");
        EXPECT_THAT(co_await hear(*client.stdout_, "no renegotiation"),
                    HasSubstr("no renegotiation"));
        client.stdin_->close();
        co_await client.communicate();
        other_writer.write("still there\n");
        EXPECT_EQ(co_await other_reader.readline(), "still there\n");
        co_await end(other_writer);
        co_await end(server);
    });
    take_reports();  // of the handler whose client gave up
}

// TLS 1.3 has new keys in its place, and the conversation goes on.
TEST_F(TlsPeers, OpensslAsksForNewKeys) {
    namespace subprocess = asyncio::subprocess;
    run([]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        const subprocess::Process client = co_await create_subprocess_exec(
            {"openssl", "s_client", "-connect", "127.0.0.1:" + text_of(port_of(server)), "-tls1_3",
             "-CAfile", certificates().authority},
            {.stdin_ = subprocess::PIPE,
             .stdout_ = subprocess::PIPE,
             .stderr_ = subprocess::STDOUT});
        for (const char* word : {"word-1", "word-2", "word-3"}) {
            client.stdin_->write(std::string(word) + "\n");
            EXPECT_THAT(co_await hear(*client.stdout_, word), HasSubstr(word));
            client.stdin_->write("K\n");  // and ours anew, too
            EXPECT_THAT(co_await hear(*client.stdout_, "KEYUPDATE"), HasSubstr("KEYUPDATE"));
        }
        client.stdin_->write("Q\n");
        co_await client.communicate();
        EXPECT_EQ(client.returncode(), 0);
        co_await end(server);
    });
}

// ---- GnuTLS, which shares no code with OpenSSL -----------------------------------------------

TEST_F(TlsPeers, GnutlsIsOurClient) {
    namespace subprocess = asyncio::subprocess;
    if (!installed("gnutls-cli")) GTEST_SKIP() << "there is no GnuTLS; ./test --all installs it";
    run([]() -> Coroutine<void> {
        Server server =
            co_await start_server(reverse_one_line, "127.0.0.1", 0, {.ssl = tls::serving()});
        for (const std::string version : {"1.2", "1.3"}) {
            const subprocess::Process client = co_await create_subprocess_exec(
                {"gnutls-cli", "--x509cafile", certificates().authority, "--verify-hostname",
                 "localhost", "--sni-hostname", "localhost", "--priority",
                 "NORMAL:-VERS-ALL:+VERS-TLS" + version, "--port", text_of(port_of(server)),
                 "127.0.0.1"},
                {.stdin_ = subprocess::PIPE,
                 .stdout_ = subprocess::PIPE,
                 .stderr_ = subprocess::STDOUT});
            client.stdin_->write("hello\n");
            // Its farewell, which ends both directions of TLS, comes with the end of its input.
            EXPECT_THAT(co_await hear(*client.stdout_, "olleh"),
                        ::testing::AllOf(HasSubstr("(TLS" + version), HasSubstr("olleh")));
            co_await client.communicate();
            EXPECT_EQ(client.returncode(), 0);
        }
        co_await end(server);
    });
}

TEST_F(TlsPeers, GnutlsServes) {
    if (!installed("gnutls-serv")) GTEST_SKIP() << "there is no GnuTLS; ./test --all installs it";
    for (const char* version : {"TLSv1.2", "TLSv1.3"}) {
        const int port = free_port();
        Program gnutls({"gnutls-serv", "--echo", "--port", text_of(port), "--x509certfile",
                        certificates().server, "--x509keyfile", certificates().server, "--priority",
                        "NORMAL:-VERS-ALL:+VERS-TLS" + std::string(version).substr(4)});
        run([&]() -> Coroutine<void> {
            co_await listening(port);
            auto [reader, writer] = co_await tls::connect(port);
            EXPECT_EQ(protocol_of(writer), version);
            for (int i = 0; i < 3; ++i) {
                writer.write("again\n");
                EXPECT_EQ(co_await reader.readline(), "again\n");
            }
            co_await end(writer);
            const auto refused = co_await try_(
                tls::connect(port, {.ssl = tls::trusting(), .server_hostname = "other.example"}));
            EXPECT_TRUE(holds_exception<ssl::SSLCertVerificationError>(refused.exception()));
        });
    }
}

// ---- curl, nginx ---------------------------------------------------------------------------

TEST_F(TlsPeers, CurlUploadsToUs) {
    run([]() -> Coroutine<void> {
        Server server = co_await start_server(
            [](StreamReader reader, StreamWriter writer) {
                return serve_http(reader, writer, [](std::string target, std::string body) {
                    return target + body;
                });
            },
            "127.0.0.1", 0, {.ssl = tls::serving()});
        const std::string body = numbered(5'000'000);
        const std::string url = "https://localhost:" + text_of(port_of(server)) + "/x";
        const Ended curl = co_await run_client(
            {"curl", "-sS", "-4", "--cacert", certificates().authority, "--data-binary", "@-", url},
            body);
        EXPECT_TRUE(curl.output == "/x" + body) << curl.output.size() << curl.errors;
        const Ended distrusting = co_await run_client({"curl", "-sS", "-4", url});
        EXPECT_EQ(distrusting.returncode, 60) << distrusting.errors;  // the certificate
        const Ended plain = co_await run_client(
            {"curl", "-sS", "-4", "http://localhost:" + text_of(port_of(server)) + "/"});
        EXPECT_NE(plain.returncode, 0);
        const Ended again =
            co_await run_client({"curl", "-sS", "-4", "--cacert", certificates().authority, url});
        EXPECT_EQ(again.output, "/x") << again.errors;
        co_await end(server);
    });
}

TEST_F(TlsPeers, DownloadsFromNginx) {
    if (!installed("nginx")) GTEST_SKIP() << "there is no nginx; ./test --all installs it";
    for (const char* version : {"TLSv1.2", "TLSv1.3"}) {
        const int port = free_port();
        Nginx nginx("listen 127.0.0.1:" + text_of(port) + " ssl; ssl_protocols " + version +
                    "; ssl_certificate " + certificates().server + "; ssl_certificate_key " +
                    certificates().server + ";");
        const std::string content = numbered(10'000'000);
        nginx.folder().write("file", content);
        run([&]() -> Coroutine<void> {
            co_await listening(port);
            auto [reader, writer] = co_await tls::connect(port);
            EXPECT_EQ(protocol_of(writer), version);
            writer.write("GET /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            EXPECT_TRUE(body_of(co_await reader.read()) == content);
            co_await end(writer);
        });
    }
}

// ---- Python --------------------------------------------------------------------------------

const char* const python_tls_server = R"(
async def serve(reader, writer):
    if sys.argv[2] == "start_tls":
        assert await reader.readline() == b"upgrade\n"
        writer.write(b"go\n")
        await writer.drain()
        loop = asyncio.get_running_loop()
        protocol = writer.transport.get_protocol()
        transport = await loop.start_tls(writer.transport, protocol, context, server_side=True)
        protocol._transport = writer._transport = transport
        reader._transport = transport
        protocol._over_ssl = True
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(sys.argv[1])
async def main():
    server = await asyncio.start_server(
        serve, "127.0.0.1", 0, ssl=context if sys.argv[2] == "tls" else None)
    print("port", server.sockets[0].getsockname()[1])
    await server.serve_forever()
asyncio.run(main())
)";

TEST_F(TlsPeers, PythonServes) {
    PythonServer python(python_tls_server, {certificates().server, "tls"});
    run([&]() -> Coroutine<void> {
        auto [reader, writer] = co_await tls::connect(python.port());
        const std::string sent = numbered(3'000'000);
        writer.write(sent);
        EXPECT_TRUE(co_await reader.readexactly(static_cast<std::ptrdiff_t>(sent.size())) == sent);
        co_await end(writer);
    });
}

TEST_F(TlsPeers, PythonUpgradesWithUs) {
    PythonServer python(python_tls_server, {certificates().server, "start_tls"});
    run([&]() -> Coroutine<void> {
        auto [reader, writer] = co_await open_connection("127.0.0.1", python.port());
        writer.write("upgrade\n");
        EXPECT_EQ(co_await reader.readline(), "go\n");
        co_await writer.start_tls(tls::trusting(), {.server_hostname = "localhost"});
        const std::string sent = numbered(300'000);
        writer.write(sent);
        EXPECT_TRUE(co_await reader.readexactly(static_cast<std::ptrdiff_t>(sent.size())) == sent);
        co_await end(writer);
    });
}

TEST_F(TlsPeers, PythonIsOurClient) {
    run([]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        const Ended client =
            co_await run_client(python(R"(
async def main():
    context = ssl.create_default_context(cafile=sys.argv[2])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", int(sys.argv[1]), ssl=context, server_hostname="localhost")
    data = bytes(range(256)) * 10000
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    writer.close()
    await writer.wait_closed()
    # And blocking, with a farewell of both sides.
    sock = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))),
                               server_hostname="localhost")
    sock.sendall(b"blocking")
    assert sock.recv(100) == b"blocking"
    sock.unwrap().close()
    print("fine", sock.version())
asyncio.run(main())
)",
                                       {text_of(port_of(server)), certificates().authority}));
        EXPECT_EQ(client.output.substr(0, 4), "fine") << client.errors;
        co_await end(server);
    });
}

// ---- peers that go away or speak otherwise ---------------------------------------------------

// The server answers others as before.
Coroutine<void> expect_served(int port) {
    auto [reader, writer] = co_await tls::connect(port);
    writer.write("still there\n");
    EXPECT_EQ(co_await reader.readline(), "still there\n");
    co_await end(writer);
}

TEST_F(TlsPeers, ThosePythonsThatLeaveInTheMiddleOfTheHandshake) {
    run([]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        const Ended client =
            co_await run_client(python(R"(
context = ssl.create_default_context(cafile=sys.argv[2])
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
try:
    tls.do_handshake()
except ssl.SSLWantReadError:
    pass
hello = outgoing.read()
for size in 0, 1, 5, len(hello) // 2, len(hello):
    for reset in False, True:
        sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        sock.sendall(hello[:size])
        if size == len(hello):
            assert sock.recv(1)
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
print("done")
)",
                                       {text_of(port_of(server)), certificates().authority}));
        EXPECT_EQ(client.output, "done\n") << client.errors;
        co_await expect_served(port_of(server));
        co_await end(server);
    });
    take_reports();
}

TEST_F(TlsPeers, PlainTextToATlsPort) {
    run([]() -> Coroutine<void> {
        Server server = co_await tls::serve_echo();
        const Ended nc = co_await run_client({"nc", "-N", "127.0.0.1", text_of(port_of(server))},
                                             "GET / HTTP/1.0\r\n\r\n");
        EXPECT_THAT(nc.output, ::testing::Not(HasSubstr("GET")));
        co_await expect_served(port_of(server));
        co_await end(server);
    });
    take_reports();
}

TEST_F(TlsPeers, TlsToAPlainPort) {
    PythonServer python(serving(R"(
async def serve(reader, writer):
    await reader.read(1)
    writer.write(b"220 plain.example SMTP\r\n")
    writer.close()
)"));
    run([&]() -> Coroutine<void> {
        const auto error = co_await tls::thrown_by<ssl::SSLError>(tls::connect(python.port()));
        EXPECT_THAT(error.reason(), AnyOf("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG"));
    });
}

TEST_F(TlsPeers, TruncatedByAPeerThatIsKilled) {
    OpensslServer openssl({});
    run([&]() -> Coroutine<void> {
        auto [reader, writer] = co_await tls::connect(openssl.port());
        writer.write("abc\n");
        EXPECT_EQ(co_await reader.readline(), "cba\n");
        kill(openssl.program().pid(), SIGKILL);
        // No farewell: CPython's streams end here, too, or tell the reset.
        const auto rest = co_await try_(reader.read());
        EXPECT_TRUE(rest ? rest.value().empty() : holds_exception<OSError>(rest.exception()));
        writer.close();
        static_cast<void>(co_await try_(writer.wait_closed()));
    });
}

}  // namespace
