// Contexts, certificates, errors, and TLS between two buffers. After CPython's test_ssl.py
// (ContextTests, MemoryBIOTests, SSLErrorTests, ThreadedTests where no socket is needed).
#include <asyncio/ssl.hpp>

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <support/certificates.hpp>

using namespace asyncio;
using namespace asyncio::ssl;
using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;

namespace {

using ContextPointer = std::shared_ptr<SSLContext>;

ContextPointer trusting() {
    return create_default_context({.cafile = certificates().authority});
}

ContextPointer serving(const std::string& chain) {
    ContextPointer context = create_default_context({.purpose = Purpose::CLIENT_AUTH});
    context->load_cert_chain(chain);
    return context;
}

// Two sides and the buffers between them.
struct Pair2 {
    std::shared_ptr<MemoryBIO> to_server = std::make_shared<MemoryBIO>();
    std::shared_ptr<MemoryBIO> to_client = std::make_shared<MemoryBIO>();
    std::shared_ptr<SSLObject> client;
    std::shared_ptr<SSLObject> server;

    Pair2(const ContextPointer& client_context, const ContextPointer& server_context,
          const std::string& host = "localhost", const SSLSession& session = {})
        : client(client_context->wrap_bio(
              to_client, to_server,
              {.server_side = false, .server_hostname = host, .session = session})),
          server(server_context->wrap_bio(
              to_server, to_client, {.server_side = true, .server_hostname = {}, .session = {}})) {}

    // One turn of a side; whether it is done. Throws: what ends the handshake.
    static bool turn(SSLObject& side) {
        try {
            side.do_handshake();
            return true;
        } catch (const SSLWantReadError&) {
            return false;
        }
    }
    void shake_hands() {
        bool done = false;
        for (int i = 0; i < 10 && !done; ++i) {
            const bool one = turn(*client);
            const bool other = turn(*server);
            done = one && other;
        }
        ASSERT_TRUE(done);
        // Tickets of TLS 1.3 come after it.
        EXPECT_THROW(static_cast<void>(client->read(1)), SSLWantReadError);
    }
};

template <class Error, class F>
Error thrown(F f) {
    try {
        f();
    } catch (const Error& error) {
        return error;
    }
    throw std::runtime_error("nothing of that type was thrown");
}

std::string content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

// ---- contexts -----------------------------------------------------------------------------

TEST(SSLContext, DefaultsOfAClient) {
    const ContextPointer context = create_default_context();
    EXPECT_EQ(context->protocol(), ssl::Protocol::TLS_CLIENT);
    EXPECT_EQ(context->verify_mode(), VerifyMode::CERT_REQUIRED);
    EXPECT_TRUE(context->check_hostname());
    EXPECT_EQ(context->minimum_version(), TLSVersion::TLSv1_2);
    EXPECT_EQ(context->maximum_version(), TLSVersion::MAXIMUM_SUPPORTED);
    EXPECT_NE(context->verify_flags() & VERIFY_X509_STRICT, 0U);
    EXPECT_NE(context->verify_flags() & VERIFY_X509_PARTIAL_CHAIN, 0U);
    EXPECT_NE(context->options() & OP_NO_COMPRESSION, 0U);
    EXPECT_NE(context->options() & OP_NO_RENEGOTIATION, 0U);
}

TEST(SSLContext, DefaultsOfAServer) {
    const ContextPointer context = create_default_context({.purpose = Purpose::CLIENT_AUTH});
    EXPECT_EQ(context->protocol(), ssl::Protocol::TLS_SERVER);
    EXPECT_EQ(context->verify_mode(), VerifyMode::CERT_NONE);
    EXPECT_FALSE(context->check_hostname());
}

// test_check_hostname
TEST(SSLContext, NamesAreCheckedOfVerifiedPeersOnly) {
    SSLContext context(ssl::Protocol::TLS_CLIENT);
    EXPECT_TRUE(context.check_hostname());
    EXPECT_THROW(context.set_verify_mode(VerifyMode::CERT_NONE), ValueError);
    context.set_check_hostname(false);
    context.set_verify_mode(VerifyMode::CERT_NONE);
    EXPECT_EQ(context.verify_mode(), VerifyMode::CERT_NONE);
    context.set_check_hostname(true);
    EXPECT_EQ(context.verify_mode(), VerifyMode::CERT_REQUIRED);
    context.set_check_hostname(false);
    context.set_verify_mode(VerifyMode::CERT_OPTIONAL);
    context.set_check_hostname(true);
    EXPECT_EQ(context.verify_mode(), VerifyMode::CERT_OPTIONAL);
}

// test_verify_flags, test_options
TEST(SSLContext, FlagsAndOptionsAreSetAndCleared) {
    SSLContext context;
    context.set_verify_flags(VERIFY_CRL_CHECK_CHAIN | VERIFY_X509_TRUSTED_FIRST);
    EXPECT_EQ(context.verify_flags(), VERIFY_CRL_CHECK_CHAIN | VERIFY_X509_TRUSTED_FIRST);
    context.set_verify_flags(VERIFY_DEFAULT);
    EXPECT_EQ(context.verify_flags(), VERIFY_DEFAULT);
    const std::uint64_t before = context.options();
    context.set_options(before | OP_NO_TICKET);
    EXPECT_EQ(context.options(), before | OP_NO_TICKET);
    context.set_options(before);
    EXPECT_EQ(context.options(), before);
}

// test_min_max_version
TEST(SSLContext, Versions) {
    SSLContext context;
    context.set_minimum_version(TLSVersion::TLSv1_3);
    context.set_maximum_version(TLSVersion::TLSv1_3);
    EXPECT_EQ(context.minimum_version(), TLSVersion::TLSv1_3);
    EXPECT_EQ(context.maximum_version(), TLSVersion::TLSv1_3);
    context.set_minimum_version(TLSVersion::MINIMUM_SUPPORTED);
    context.set_maximum_version(TLSVersion::MAXIMUM_SUPPORTED);
    EXPECT_EQ(context.minimum_version(), TLSVersion::MINIMUM_SUPPORTED);
    EXPECT_EQ(context.maximum_version(), TLSVersion::MAXIMUM_SUPPORTED);
    EXPECT_THROW(context.set_minimum_version(static_cast<TLSVersion>(0x999)), ValueError);
    EXPECT_THROW(context.set_maximum_version(static_cast<TLSVersion>(0x999)), ValueError);
}

// test_ciphers, test_get_ciphers, test_set_ecdh_curve
TEST(SSLContext, CiphersAndCurves) {
    SSLContext context;
    EXPECT_THAT(context.get_ciphers(), Not(IsEmpty()));
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256");
    context.set_ciphersuites("TLS_AES_128_GCM_SHA256");
    const std::vector<Cipher> left = context.get_ciphers();
    ASSERT_THAT(left, SizeIs(2));
    EXPECT_EQ(left[0], (Cipher{"TLS_AES_128_GCM_SHA256", "TLSv1.3", 128}));
    EXPECT_EQ(left[1].name, "ECDHE-RSA-AES128-GCM-SHA256");
    EXPECT_EQ(thrown<SSLError>([&] { context.set_ciphers("^$:,;?*'dorothyx"); }).what(),
              std::string("No cipher can be selected."));
    EXPECT_THROW(context.set_ciphersuites("TLS_NO_SUCH_THING"), SSLError);
    context.set_ecdh_curve("prime256v1");
    EXPECT_THROW(context.set_ecdh_curve("foo"), ValueError);
}

// test_load_cert_chain, test_load_cert_chain_errors
TEST(SSLContext, LoadsAChainWithItsKey) {
    const Certificates& files = certificates();
    SSLContext context(ssl::Protocol::TLS_SERVER);
    context.load_cert_chain(files.server);
    context.load_cert_chain(files.server_only, files.server);
    EXPECT_THROW(context.load_cert_chain(files.folder / "none.pem"), FileNotFoundError);
    EXPECT_THROW(context.load_cert_chain(files.server, files.folder / "none.pem"),
                 FileNotFoundError);
    EXPECT_THROW(context.load_cert_chain(std::string("a\0b", 3)), ValueError);
    const auto no_key = thrown<SSLError>([&] { context.load_cert_chain(files.server_only); });
    EXPECT_EQ(no_key.library(), "SSL");
    EXPECT_EQ(no_key.reason(), "PEM_LIB");
    EXPECT_THROW(context.load_cert_chain(files.other_key), SSLError);
    const auto other =
        thrown<SSLError>([&] { context.load_cert_chain(files.server_only, files.other_key); });
    EXPECT_EQ(other.reason(), "KEY_VALUES_MISMATCH");
    EXPECT_EQ(other.what(), std::string("[X509: KEY_VALUES_MISMATCH] key values mismatch"));
}

// test_load_cert_chain: passwords
TEST(SSLContext, AsksForThePasswordOfAKey) {
    const Certificates& files = certificates();
    SSLContext context(ssl::Protocol::TLS_SERVER);
    context.load_cert_chain(files.server_only, files.locked_key, "secret");
    int asked = 0;
    context.load_cert_chain(files.server_only, files.locked_key, [&asked] {
        ++asked;
        return std::string("secret");
    });
    EXPECT_EQ(asked, 1);
    context.load_cert_chain(files.server, {}, [&asked] {
        ++asked;
        return std::string();
    });
    EXPECT_EQ(asked, 1) << "a key without a password";
    EXPECT_THROW(context.load_cert_chain(files.server_only, files.locked_key, "wrong"), SSLError);
    EXPECT_THROW(context.load_cert_chain(files.server_only, files.locked_key), SSLError)
        << "nobody is asked at the terminal";
    EXPECT_THROW(
        context.load_cert_chain(files.server_only, files.locked_key, std::string(102'400, 'a')),
        ValueError);
    EXPECT_THROW(context.load_cert_chain(files.server_only, files.locked_key,
                                         []() -> std::string { throw LookupError("forgotten"); }),
                 LookupError);
}

// test_load_verify_locations, test_load_verify_cadata, test_cert_store_stats, test_get_ca_certs
TEST(SSLContext, LoadsWhomItTrusts) {
    const Certificates& files = certificates();
    const std::string pem = content(files.authority);
    SSLContext context(ssl::Protocol::TLS_CLIENT);
    EXPECT_EQ(context.cert_store_stats().x509, 0U);
    context.load_verify_locations({.cafile = files.authority});
    EXPECT_EQ(context.cert_store_stats().x509_ca, 1U);
    ASSERT_THAT(context.get_ca_certs(), SizeIs(1));
    const Certificate authority = context.get_ca_certs().front();
    EXPECT_THAT(authority.subject, ElementsAre(Pair("commonName", "Authority of the tests")));
    EXPECT_EQ(authority.subject, authority.issuer);
    EXPECT_EQ(authority.version, 3);

    context.load_verify_locations({.cadata = pem + "\n" + pem});
    context.load_verify_locations({.cadata = authority.der});
    EXPECT_EQ(context.cert_store_stats().x509, 1U) << "once is enough";
    SSLContext second(ssl::Protocol::TLS_CLIENT);
    second.load_verify_locations({.cadata = authority.der});
    EXPECT_EQ(second.get_ca_certs().front().der, authority.der);

    EXPECT_THROW(context.load_verify_locations({}), TypeError);
    EXPECT_THROW(context.load_verify_locations({.cafile = files.folder / "none.pem"}),
                 FileNotFoundError);
    EXPECT_THROW(context.load_verify_locations({.cafile = files.other_key}), SSLError);
    EXPECT_THROW(context.load_verify_locations({.cadata = "broken"}), SSLError);
    EXPECT_THROW(context.load_verify_locations({.cadata = "-----BEGIN nothing"}), SSLError);
    EXPECT_THROW(context.load_verify_locations({.cadata = authority.der + "A"}), SSLError);
    EXPECT_THROW(context.load_verify_locations({.cadata = pem + "-----BEGIN CERTIFICATE-----\nx"}),
                 SSLError);
}

TEST(SSLContext, ALPNNamesHaveALength) {
    SSLContext context;
    context.set_alpn_protocols({"h2", "http/1.1"});
    context.set_alpn_protocols({});
    EXPECT_THROW(context.set_alpn_protocols({""}), ValueError);
    EXPECT_THROW(context.set_alpn_protocols({std::string(256, 'a')}), ValueError);
}

TEST(SSLContext, IsForOneSide) {
    const auto buffer = std::make_shared<MemoryBIO>();
    const auto client = std::make_shared<SSLContext>(ssl::Protocol::TLS_CLIENT);
    const auto server = std::make_shared<SSLContext>(ssl::Protocol::TLS_SERVER);
    EXPECT_THROW(static_cast<void>(client->wrap_bio(buffer, buffer, {.server_side = true})),
                 ValueError);
    EXPECT_THROW(static_cast<void>(server->wrap_bio(buffer, buffer)), ValueError);
    EXPECT_EQ(
        thrown<ValueError>([&] { static_cast<void>(client->wrap_bio(buffer, buffer)); }).what(),
        std::string("check_hostname requires server_hostname"));
    EXPECT_THROW(static_cast<void>(server->wrap_bio(
                     buffer, buffer, {.server_side = true, .server_hostname = "localhost"})),
                 ValueError);
    for (const std::string& bad : {std::string(".example.org"), std::string("a\0b", 3),
                                   std::string("b\xc3\xbc"
                                               "cher.example")}) {
        EXPECT_THROW(static_cast<void>(client->wrap_bio(
                         buffer, buffer, {.server_side = false, .server_hostname = bad})),
                     ValueError);
    }
}

// ---- buffers ------------------------------------------------------------------------------

// MemoryBIOTests
TEST(MemoryBIO, GivesWhatItTook) {
    MemoryBIO buffer;
    EXPECT_EQ(buffer.read(), "");
    EXPECT_FALSE(buffer.eof());
    EXPECT_EQ(buffer.write("foo"), 3U);
    buffer.write("bar");
    EXPECT_EQ(buffer.pending(), 6U);
    EXPECT_EQ(buffer.read(2), "fo");
    EXPECT_EQ(buffer.read(100), "obar");
    EXPECT_EQ(buffer.read(1), "");
    EXPECT_EQ(buffer.pending(), 0U);
    buffer.write("end");
    buffer.write_eof();
    EXPECT_FALSE(buffer.eof());
    EXPECT_EQ(buffer.read(), "end");
    EXPECT_TRUE(buffer.eof());
    EXPECT_THROW(buffer.write("more"), SSLError);
}

// ---- the conversation ---------------------------------------------------------------------

TEST(SSLObject, BothSidesKnowWhatCameOfIt) {
    Pair2 pair(trusting(), serving(certificates().server));
    EXPECT_FALSE(pair.client->version());
    EXPECT_FALSE(pair.client->getpeercert());
    EXPECT_EQ(pair.client->get_channel_binding("tls-exporter"), "");
    pair.shake_hands();
    EXPECT_EQ(pair.client->version(), "TLSv1.3");
    EXPECT_EQ(pair.client->cipher(), pair.server->cipher());
    EXPECT_FALSE(pair.client->server_side());
    EXPECT_TRUE(pair.server->server_side());
    EXPECT_EQ(pair.client->server_hostname(), "localhost");
    EXPECT_FALSE(pair.server->getpeercert());
    const Certificate peer = pair.client->getpeercert().value();
    EXPECT_THAT(peer.subject, ElementsAre(Pair("commonName", "localhost")));
    EXPECT_THAT(peer.issuer, ElementsAre(Pair("commonName", "Authority of the tests")));
    EXPECT_THAT(peer.subject_alt_name,
                ElementsAre(Pair("DNS", "localhost"), Pair("IP Address", "127.0.0.1"),
                            Pair("IP Address", "::1")));
    const auto now = std::chrono::system_clock::now();
    EXPECT_LT(peer.not_before, now);
    EXPECT_GT(peer.not_after, now + 24h);
    EXPECT_THAT(pair.client->get_verified_chain(), SizeIs(2));
    EXPECT_THAT(pair.client->get_unverified_chain(), SizeIs(1));
    const std::string binding = pair.client->get_channel_binding("tls-exporter");
    EXPECT_THAT(binding, SizeIs(32));
    EXPECT_EQ(binding, pair.server->get_channel_binding("tls-exporter"));
    EXPECT_EQ(pair.client->get_channel_binding("tls-unique"), "");
    EXPECT_THROW(static_cast<void>(pair.client->get_channel_binding("unknown")), ValueError);
}

TEST(SSLObject, UniqueBindingOfTLS12) {
    const ContextPointer client = trusting();
    client->set_maximum_version(TLSVersion::TLSv1_2);
    Pair2 pair(client, serving(certificates().server));
    pair.shake_hands();
    EXPECT_EQ(pair.client->version(), "TLSv1.2");
    const std::string binding = pair.client->get_channel_binding();
    EXPECT_THAT(binding, SizeIs(12));
    EXPECT_EQ(binding, pair.server->get_channel_binding());
}

TEST(SSLObject, CarriesDataBothWays) {
    Pair2 pair(trusting(), serving(certificates().server));
    pair.shake_hands();
    const std::string much(100'000, 'x');
    EXPECT_EQ(pair.client->write(much), much.size());
    EXPECT_EQ(pair.server->write("pong"), 4U);
    EXPECT_EQ(pair.client->read(), "pong");
    std::string got;
    while (got.size() < much.size()) got += pair.server->read(30'000);
    EXPECT_TRUE(got == much);
    EXPECT_THROW(static_cast<void>(pair.server->read()), SSLWantReadError);
    EXPECT_EQ(pair.client->write(""), 0U);
}

// test_unwrap, test_bio_read_write_data
TEST(SSLObject, SaysFarewell) {
    Pair2 pair(trusting(), serving(certificates().server));
    pair.shake_hands();
    EXPECT_THROW(pair.client->unwrap(), SSLWantReadError);
    EXPECT_EQ(pair.server->read(), "") << "the end";
    pair.server->unwrap();
    pair.client->unwrap();
    EXPECT_THROW(pair.client->write("late"), SSLError);
}

TEST(SSLObject, AnEndWithoutAFarewellIsAnError) {
    Pair2 pair(trusting(), serving(certificates().server));
    pair.shake_hands();
    pair.to_client->write_eof();
    EXPECT_EQ(thrown<SSLEOFError>([&] { static_cast<void>(pair.client->read()); }).reason(),
              "UNEXPECTED_EOF_WHILE_READING");
}

TEST(SSLObject, WhatIsNoTLSIsAnError) {
    Pair2 pair(trusting(), serving(certificates().server));
    pair.to_server->write("GET / HTTP/1.0\r\n\r\n");
    EXPECT_EQ(thrown<SSLError>([&] { pair.server->do_handshake(); }).reason(), "HTTP_REQUEST");
    pair.to_client->write("220 mail.example ESMTP\r\n");
    const auto error = thrown<SSLError>([&] { pair.client->do_handshake(); });
    EXPECT_EQ(error.reason(), "WRONG_VERSION_NUMBER");
    EXPECT_EQ(error.library(), "SSL");
    EXPECT_EQ(error.what(), std::string("[SSL: WRONG_VERSION_NUMBER] wrong version number"));
}

TEST(SSLObject, VersionsThatDoNotMeet) {
    const ContextPointer client = trusting();
    client->set_maximum_version(TLSVersion::TLSv1_2);
    const ContextPointer server = serving(certificates().server);
    server->set_minimum_version(TLSVersion::TLSv1_3);
    Pair2 pair(client, server);
    EXPECT_FALSE(Pair2::turn(*pair.client));
    EXPECT_EQ(thrown<SSLError>([&] { pair.server->do_handshake(); }).reason(),
              "UNSUPPORTED_PROTOCOL");
    EXPECT_EQ(thrown<SSLError>([&] { pair.client->do_handshake(); }).reason(),
              "TLSV1_ALERT_PROTOCOL_VERSION");
}

// ---- verification -------------------------------------------------------------------------

namespace {

SSLCertVerificationError refused(const ContextPointer& client, const std::string& chain,
                                 const std::string& host) {
    Pair2 pair(client, serving(chain), host);
    return thrown<SSLCertVerificationError>([&] { pair.shake_hands(); });
}

}  // namespace

TEST(SSLVerification, WrongHost) {
    const auto name = refused(trusting(), certificates().other_host, "localhost");
    EXPECT_EQ(name.verify_code(), 62);
    EXPECT_EQ(name.verify_message(),
              "Hostname mismatch, certificate is not valid for 'localhost'.");
    EXPECT_EQ(name.reason(), "CERTIFICATE_VERIFY_FAILED");
    EXPECT_THAT(name.what(),
                HasSubstr("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname "
                          "mismatch"));
    const auto address = refused(trusting(), certificates().server, "127.0.0.2");
    EXPECT_EQ(address.verify_code(), 64);
    EXPECT_EQ(address.verify_message(),
              "IP address mismatch, certificate is not valid for '127.0.0.2'.");
}

TEST(SSLVerification, RightAddress) {
    for (const char* const host : {"127.0.0.1", "::1"}) {
        Pair2 pair(trusting(), serving(certificates().server), host);
        pair.shake_hands();
        EXPECT_TRUE(pair.client->version());
    }
}

TEST(SSLVerification, ExpiredUnknownSelfSigned) {
    EXPECT_EQ(refused(trusting(), certificates().expired, "localhost").verify_message(),
              "certificate has expired");
    EXPECT_EQ(refused(trusting(), certificates().self_signed, "localhost").verify_message(),
              "self-signed certificate");
    EXPECT_EQ(
        refused(create_default_context(), certificates().server, "localhost").verify_message(),
        "unable to get local issuer certificate");
}

TEST(SSLVerification, OffWhenAskedTo) {
    const ContextPointer client = create_default_context();
    client->set_check_hostname(false);
    client->set_verify_mode(VerifyMode::CERT_NONE);
    Pair2 pair(client, serving(certificates().self_signed), "nobody.example");
    pair.shake_hands();
    EXPECT_TRUE(pair.client->getpeercert());
}

TEST(SSLVerification, OfClients) {
    const ContextPointer server = serving(certificates().server);
    server->set_verify_mode(VerifyMode::CERT_REQUIRED);
    server->load_verify_locations({.cafile = certificates().authority});
    {
        const ContextPointer client = trusting();
        client->load_cert_chain(certificates().client);
        Pair2 pair(client, server);
        pair.shake_hands();
        EXPECT_THAT(pair.server->getpeercert().value().subject,
                    ElementsAre(Pair("commonName", "client")));
        EXPECT_THAT(pair.server->get_unverified_chain(), SizeIs(::testing::Ge(1U)));
    }
    Pair2 pair(trusting(), server);
    EXPECT_EQ(thrown<SSLError>([&] { pair.shake_hands(); }).reason(),
              "PEER_DID_NOT_RETURN_A_CERTIFICATE");
    server->set_verify_mode(VerifyMode::CERT_OPTIONAL);
    Pair2 without(trusting(), server);
    without.shake_hands();
    EXPECT_FALSE(without.server->getpeercert());
}

// ---- names and protocols ------------------------------------------------------------------

// test_alpn_protocols
TEST(SSLALPN, TheServersFirstThatTheClientOffers) {
    struct Case {
        std::vector<std::string> client, server;
        std::optional<std::string> chosen;
    };
    for (const Case& one :
         {Case{{"foo", "bar"}, {"foo", "bar"}, "foo"}, Case{{"bar", "foo"}, {"foo", "bar"}, "foo"},
          Case{{"milkshake"}, {"foo", "bar"}, std::nullopt}, Case{{}, {"foo"}, std::nullopt},
          Case{{"http/3.0", "http/4.0"}, {"http/4.0"}, "http/4.0"}}) {
        const ContextPointer client = trusting();
        const ContextPointer server = serving(certificates().server);
        client->set_alpn_protocols(one.client);
        server->set_alpn_protocols(one.server);
        Pair2 pair(client, server);
        pair.shake_hands();
        EXPECT_EQ(pair.client->selected_alpn_protocol(), one.chosen);
        EXPECT_EQ(pair.server->selected_alpn_protocol(), one.chosen);
    }
}

// test_sni_callback*
TEST(SSLSNI, ChoosesTheCertificate) {
    const ContextPointer other = serving(certificates().other_host);
    const ContextPointer server = serving(certificates().server);
    std::vector<std::optional<std::string>> asked;
    server->set_sni_callback([&](SSLObject& object, const std::optional<std::string>& name,
                                 SSLContext&) -> std::optional<int> {
        asked.push_back(name);
        if (name == "other.example") object.set_context(other);
        return std::nullopt;
    });
    {
        Pair2 pair(trusting(), server, "other.example");
        pair.shake_hands();
        EXPECT_THAT(pair.client->getpeercert().value().subject,
                    Contains(Pair("commonName", "other.example")));
        EXPECT_EQ(pair.server->context(), other);
    }
    Pair2 pair(trusting(), server, "127.0.0.1");
    pair.shake_hands();
    EXPECT_THAT(asked, ElementsAre("other.example", std::nullopt)) << "an address is no name";
    server->set_sni_callback(nullptr);
    Pair2 plain(trusting(), server);
    plain.shake_hands();
    EXPECT_THAT(asked, SizeIs(2));
}

TEST(SSLSNI, MayRefuseOrThrow) {
    const ContextPointer server = serving(certificates().server);
    server->set_sni_callback(
        [](SSLObject&, const auto&, SSLContext&) -> std::optional<int> { return 49; });
    Pair2 refusing(trusting(), server);
    EXPECT_FALSE(Pair2::turn(*refusing.client));
    EXPECT_THROW(refusing.server->do_handshake(), SSLError);
    EXPECT_EQ(thrown<SSLError>([&] { refusing.client->do_handshake(); }).reason(),
              "TLSV1_ALERT_ACCESS_DENIED");

    server->set_sni_callback([](SSLObject&, const auto&, SSLContext&) -> std::optional<int> {
        throw LookupError("no such name");
    });
    Pair2 throwing(trusting(), server);
    EXPECT_FALSE(Pair2::turn(*throwing.client));
    EXPECT_THROW(throwing.server->do_handshake(), LookupError);
    EXPECT_EQ(thrown<SSLError>([&] { throwing.client->do_handshake(); }).reason(),
              "SSLV3_ALERT_HANDSHAKE_FAILURE");
}

// ---- sessions -----------------------------------------------------------------------------

// test_session
TEST(SSLSession, IsResumedFrom) {
    for (const TLSVersion version : {TLSVersion::TLSv1_2, TLSVersion::TLSv1_3}) {
        const ContextPointer client = trusting();
        client->set_maximum_version(version);
        const ContextPointer server = serving(certificates().server);
        Pair2 first(client, server);
        first.shake_hands();
        EXPECT_FALSE(first.client->session_reused());
        const SSLSession session = first.client->session();
        ASSERT_TRUE(session);
        EXPECT_THAT(session.id(), Not(IsEmpty()));
        EXPECT_TRUE(session.has_ticket());
        EXPECT_GT(session.timeout(), 0s);
        EXPECT_LT(session.time(), std::chrono::system_clock::now() + 1h);

        Pair2 second(client, server, "localhost", session);
        second.shake_hands();
        EXPECT_TRUE(second.client->session_reused());
        EXPECT_TRUE(second.server->session_reused());
        Pair2 third(client, server);
        third.shake_hands();
        EXPECT_FALSE(third.client->session_reused());
    }
}

TEST(SSLSession, IsKeptByTheNameOfTheServer) {
    const ContextPointer client = trusting();
    client->set_session_reuse(1);
    const ContextPointer server = serving(certificates().server);
    const auto reused = [&](const std::string& host) {
        Pair2 pair(client, server, host);
        pair.shake_hands();
        return pair.client->session_reused();
    };
    EXPECT_FALSE(reused("localhost"));
    EXPECT_TRUE(reused("localhost"));
    EXPECT_TRUE(reused("localhost"));
    EXPECT_FALSE(reused("127.0.0.1")) << "another name";
    EXPECT_FALSE(reused("localhost")) << "there is place for one";
    client->set_session_reuse(0);
    EXPECT_FALSE(reused("localhost"));
}

TEST(SSLKeylog, WritesWhatTrafficIsReadWith) {
    const std::string path = certificates().folder / "keys.log";
    const ContextPointer client = trusting();
    client->set_keylog_filename(path);
    EXPECT_EQ(client->keylog_filename(), path);
    Pair2 pair(client, serving(certificates().server));
    pair.shake_hands();
    EXPECT_THAT(content(path), HasSubstr("CLIENT_TRAFFIC_SECRET_0 "));
    EXPECT_THROW(client->set_keylog_filename("/no/such/folder/keys"), FileNotFoundError);

    ASSERT_EQ(::setenv("SSLKEYLOGFILE", path.c_str(), 1), 0);
    EXPECT_EQ(create_default_context()->keylog_filename(), path);
    ::unsetenv("SSLKEYLOGFILE");
}

TEST(SSLVersion, IsThree) {
    EXPECT_THAT(openssl_version(), HasSubstr("OpenSSL 3"));
}
