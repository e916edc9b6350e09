// asyncio/ssl.hpp - TLS: what a connection trusts, who it says it is, and what came of it.
//
//   auto context = ssl::create_default_context();             // verifies the peer and its name
//   auto [reader, writer] = co_await open_connection("example.org", 443, {.ssl = context});
//   fmt::print("{}\n", writer.get_extra_info<ssl::Cipher>("cipher")->name);
//
//   auto server_context = ssl::create_default_context({.purpose = ssl::Purpose::CLIENT_AUTH});
//   server_context->load_cert_chain("chain.pem", "key.pem");
//   auto server = co_await start_server(serve, "", 8443, {.ssl = server_context});
//
// A context is made once, set up, and then used for any number of connections, each of which
// holds it. What a connection ended with is an SSLError, with the library's own reason.
//
// Thread: a context may be used by loops of several threads once it is set up; the setters and
// everything else belong to one thread at a time.
//
// Source: Python's ssl, over OpenSSL 3.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asyncio/exceptions.hpp>

// OpenSSL's own names for its objects.
struct ssl_ctx_st;
struct ssl_st;
struct ssl_session_st;

namespace asyncio::ssl {

// ---- errors -------------------------------------------------------------------------------

// What OpenSSL says went wrong. what() reads
// "[SSL: WRONG_VERSION_NUMBER] wrong version number".
class SSLError : public OSError {
  public:
    SSLError(std::string library, std::string reason, const std::string& text);
    ~SSLError() override;
    // "SSL", "X509", "PEM", ...; empty when no part of OpenSSL said it.
    [[nodiscard]] const std::string& library() const noexcept { return library_; }
    // "CERTIFICATE_VERIFY_FAILED"; empty when there is none.
    [[nodiscard]] const std::string& reason() const noexcept { return reason_; }

  private:
    std::string library_;
    std::string reason_;
};

// The peer has said that it will send no more.
class SSLZeroReturnError : public SSLError {
  public:
    using SSLError::SSLError;
};
// Of an SSLObject: more has to be fed to, or taken from, its buffers before it can go on.
class SSLWantReadError : public SSLError {
  public:
    using SSLError::SSLError;
};
class SSLWantWriteError : public SSLError {
  public:
    using SSLError::SSLError;
};
class SSLSyscallError : public SSLError {
  public:
    using SSLError::SSLError;
};
// The connection ended without the farewell that TLS asks for.
class SSLEOFError : public SSLError {
  public:
    using SSLError::SSLError;
};
// The peer's certificate is not what it has to be. (In Python it is a ValueError, too.)
class SSLCertVerificationError : public SSLError {
  public:
    SSLCertVerificationError(std::string library, std::string reason, const std::string& text,
                             int code, std::string message);
    ~SSLCertVerificationError() override;
    // OpenSSL's X509_V_ERR_*, and what it means: "certificate has expired".
    [[nodiscard]] int verify_code() const noexcept { return code_; }
    [[nodiscard]] const std::string& verify_message() const noexcept { return message_; }

  private:
    int code_;
    std::string message_;
};
using CertificateError = SSLCertVerificationError;

// ---- constants ----------------------------------------------------------------------------

// For whom create_default_context() makes its context: SERVER_AUTH for clients, who
// authenticate servers; CLIENT_AUTH for servers.
enum class Purpose { SERVER_AUTH, CLIENT_AUTH };
// Which side of a connection a context is for. TLS is for either, and verifies nothing.
enum class Protocol { TLS, TLS_CLIENT, TLS_SERVER };
enum class VerifyMode { CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED };
enum class TLSVersion {
    MINIMUM_SUPPORTED = -2,
    MAXIMUM_SUPPORTED = -1,
    TLSv1 = 0x301,
    TLSv1_1 = 0x302,
    TLSv1_2 = 0x303,
    TLSv1_3 = 0x304,
};

// For SSLContext::verify_flags(), to be combined by |.
inline constexpr unsigned long VERIFY_DEFAULT = 0;
inline constexpr unsigned long VERIFY_CRL_CHECK_LEAF = 0x4;
inline constexpr unsigned long VERIFY_CRL_CHECK_CHAIN = 0x4 | 0x8;
inline constexpr unsigned long VERIFY_X509_STRICT = 0x20;
inline constexpr unsigned long VERIFY_X509_TRUSTED_FIRST = 0x8000;
inline constexpr unsigned long VERIFY_X509_PARTIAL_CHAIN = 0x80000;

// For SSLContext::options(), to be combined by |. Others of OpenSSL's SSL_OP_* work too.
inline constexpr std::uint64_t OP_IGNORE_UNEXPECTED_EOF = std::uint64_t{1} << 7;
inline constexpr std::uint64_t OP_NO_TICKET = std::uint64_t{1} << 14;
inline constexpr std::uint64_t OP_NO_COMPRESSION = std::uint64_t{1} << 17;
inline constexpr std::uint64_t OP_CIPHER_SERVER_PREFERENCE = std::uint64_t{1} << 22;
inline constexpr std::uint64_t OP_NO_RENEGOTIATION = std::uint64_t{1} << 30;

// "OpenSSL 3.0.19 27 Jan 2026".
[[nodiscard]] std::string openssl_version();

// ---- what is known of a connection --------------------------------------------------------

// A name as a certificate has it: {"commonName", "example.org"}, in the certificate's order.
using Name = std::vector<std::pair<std::string, std::string>>;

// An X.509 certificate; what getpeercert() gives.
struct Certificate {
    Name subject;
    Name issuer;
    int version = 0;
    std::string serial_number;  // in hexadecimal
    std::chrono::sys_seconds not_before;
    std::chrono::sys_seconds not_after;
    // {"DNS", "example.org"}, {"IP Address", "192.0.2.1"}, {"URI", ...}, {"email", ...}
    Name subject_alt_name;
    std::string der;  // the whole, as it was sent
};

struct Cipher {
    std::string name;      // "TLS_AES_256_GCM_SHA384"
    std::string protocol;  // the oldest version that has it: "TLSv1.3"
    int bits = 0;          // of the secret
    friend bool operator==(const Cipher&, const Cipher&) = default;
};

class SSLContext;
class SSLObject;

// What a connection may be resumed from. A handle; null names nothing.
class SSLSession {
  public:
    SSLSession() = default;
    explicit operator bool() const noexcept { return session_ != nullptr; }
    [[nodiscard]] std::string id() const;  // bytes
    [[nodiscard]] std::chrono::sys_seconds time() const;
    [[nodiscard]] std::chrono::seconds timeout() const;
    [[nodiscard]] bool has_ticket() const;
    friend bool operator==(const SSLSession&, const SSLSession&) = default;

    // Private to the library.
    explicit SSLSession(std::shared_ptr<ssl_session_st> session) noexcept
        : session_(std::move(session)) {}
    [[nodiscard]] ssl_session_st* native() const noexcept { return session_.get(); }

  private:
    std::shared_ptr<ssl_session_st> session_;
};

// ---- contexts -----------------------------------------------------------------------------

struct VerifyLocations {
    std::string cafile = {};  // PEM, any number of certificates
    std::string capath = {};  // a folder with a file per certificate, named by its hash
    std::string cadata = {};  // PEM, or DER
};

// What wrap_bio() needs to know of a connection.
struct WrapOptions {
    bool server_side = false;
    // What the certificate must say and SNI asks for; a client's only.
    std::string server_hostname = {};
    SSLSession session = {};  // to be resumed, if the server agrees
};

class MemoryBIO;

class SSLContext : public std::enable_shared_from_this<SSLContext> {
  public:
    // Gives the password of a private key.
    using Password = std::function<std::string()>;
    // Called on the server's side with the name that the client asks for, if any. May set
    // another context with SSLObject::set_context(). Returns nothing, or the TLS alert to end
    // the connection with.
    using SniCallback = std::function<std::optional<int>(
        SSLObject& object, const std::optional<std::string>& name, SSLContext& context)>;

    // TLS 1.2 and newer; no compression; no renegotiation. TLS_CLIENT verifies the peer and
    // its name, but trusts nobody until it is told to; see create_default_context().
    // Use std::make_shared<SSLContext>(...). Throws: SSLError.
    explicit SSLContext(Protocol protocol = Protocol::TLS);
    SSLContext(const SSLContext&) = delete;
    SSLContext& operator=(const SSLContext&) = delete;
    ~SSLContext();

    // -- who we are
    // A PEM file with our certificate, those that signed it, and, unless `keyfile` has it, the
    // private key. `password` is asked for only where the key needs one.
    // Throws: FileNotFoundError and other OSErrors; SSLError for what is no such file, for a
    // key that is not the certificate's, for a wrong password or none.
    void load_cert_chain(const std::string& certfile, const std::string& keyfile = {},
                         Password password = nullptr);
    void load_cert_chain(const std::string& certfile, const std::string& keyfile,
                         const std::string& password);

    // -- whom we trust
    // Throws: TypeError when nothing is given; OSError, SSLError.
    void load_verify_locations(const VerifyLocations& from);
    // What the system trusts; $SSL_CERT_FILE and $SSL_CERT_DIR say where else that is.
    void load_default_certs();
    // How many certificates are known, and how many of them are certificate authorities'.
    struct Stats {
        std::size_t x509 = 0;
        std::size_t x509_ca = 0;
        std::size_t crl = 0;
    };
    [[nodiscard]] Stats cert_store_stats() const;
    // Those loaded so far, of certificate authorities.
    [[nodiscard]] std::vector<Certificate> get_ca_certs() const;
    [[nodiscard]] VerifyMode verify_mode() const;
    // A server with CERT_REQUIRED asks its clients for a certificate.
    // Throws: ValueError for CERT_NONE while check_hostname() is on.
    void set_verify_mode(VerifyMode mode);
    [[nodiscard]] bool check_hostname() const noexcept { return check_hostname_; }
    // Turning it on makes the verify mode CERT_REQUIRED if it was CERT_NONE.
    void set_check_hostname(bool on);
    [[nodiscard]] unsigned long verify_flags() const;
    void set_verify_flags(unsigned long flags);

    // -- how we speak
    [[nodiscard]] Protocol protocol() const noexcept { return protocol_; }
    [[nodiscard]] TLSVersion minimum_version() const;
    [[nodiscard]] TLSVersion maximum_version() const;
    // Throws: ValueError for a version that OpenSSL does not have.
    void set_minimum_version(TLSVersion version);
    void set_maximum_version(TLSVersion version);
    [[nodiscard]] std::uint64_t options() const;
    void set_options(std::uint64_t options);
    // In OpenSSL's notation; of TLS 1.2 and older. Throws: SSLError when none is left.
    void set_ciphers(const std::string& ciphers);
    // Those of TLS 1.3. Throws: SSLError for a name it does not know.
    void set_ciphersuites(const std::string& suites);
    [[nodiscard]] std::vector<Cipher> get_ciphers() const;
    // "prime256v1", "X25519:P-256". Throws: ValueError.
    void set_ecdh_curve(const std::string& curves);
    // In order of preference: {"h2", "http/1.1"}. A server takes the first of its own that
    // the client offers, and none if there is no such.
    // Throws: ValueError for an empty name or one of more than 255 bytes.
    void set_alpn_protocols(const std::vector<std::string>& protocols);
    // Null for none. What it throws ends the handshake, and is reported to the running loop.
    void set_sni_callback(SniCallback callback);
    // Session tickets that a server sends after a TLS 1.3 handshake; 2 unless changed.
    [[nodiscard]] std::size_t num_tickets() const;
    void set_num_tickets(std::size_t count);
    // Clients keep what the servers of at most this many names gave them to resume from, and
    // the next connection to the same name uses it. 0, the default, for none.
    void set_session_reuse(std::size_t names);
    // Appends the secrets of each connection to this file, for tools that read traffic.
    // Throws: OSError.
    void set_keylog_filename(const std::string& path);
    [[nodiscard]] const std::string& keylog_filename() const noexcept;

    // TLS between two buffers, with no connection. Python's SSLContext.wrap_bio().
    // Throws: ValueError for a context of the other side, for a server_hostname on the
    // server's side or none where it is checked, or one that is no host name.
    [[nodiscard]] std::shared_ptr<SSLObject> wrap_bio(std::shared_ptr<MemoryBIO> incoming,
                                                      std::shared_ptr<MemoryBIO> outgoing,
                                                      const WrapOptions& options = {});

    // Private to the library.
    [[nodiscard]] ssl_ctx_st* native() const noexcept { return context_; }

  private:
    friend class SSLObject;
    struct Extras;

    ssl_ctx_st* context_;
    Protocol protocol_;
    bool check_hostname_ = false;
    std::unique_ptr<Extras> extras_;
};

struct DefaultContextOptions {
    Purpose purpose = Purpose::SERVER_AUTH;
    // To be trusted in place of what the system trusts.
    std::string cafile = {};
    std::string capath = {};
    std::string cadata = {};
};

// The settings to use unless there is a reason for others. For a client: the certificate is
// verified, strictly, against what the system trusts, and the host name against the
// certificate. $SSLKEYLOGFILE is honoured.
// Throws: as load_verify_locations(); SSLError.
[[nodiscard]] std::shared_ptr<SSLContext> create_default_context(
    const DefaultContextOptions& options = {});

// ---- TLS between buffers ------------------------------------------------------------------

// Bytes on their way to or from an SSLObject.
class MemoryBIO {
  public:
    MemoryBIO() = default;
    MemoryBIO(const MemoryBIO&) = delete;
    MemoryBIO& operator=(const MemoryBIO&) = delete;
    ~MemoryBIO();

    // Up to `n` bytes, all for a negative number; less, and nothing, when there is less.
    [[nodiscard]] std::string read(std::ptrdiff_t n = -1);
    // Gives the number of bytes, always all. Throws: SSLError after write_eof().
    std::size_t write(std::string_view data);
    // Nothing more will be written.
    void write_eof() noexcept { eof_ = true; }
    [[nodiscard]] std::size_t pending() const noexcept { return unread().size(); }
    // Everything was read, and nothing more will be written.
    [[nodiscard]] bool eof() const noexcept { return eof_ && pending() == 0; }

    // Private to the library: the same without copies.
    [[nodiscard]] std::string_view unread() const noexcept {
        return lent_.empty() ? std::string_view(own_).substr(read_) : lent_;
    }
    void consume(std::size_t count) noexcept;
    // `data` may be read in place until keep_lent(), which copies what is left of it.
    void lend(std::string_view data);
    void keep_lent();
    [[nodiscard]] bool ended() const noexcept { return eof_; }
    // Who may take what OpenSSL writes out of its own memory, before it is kept here.
    class Outlet {
      public:
        // False leaves it to the buffer.
        [[nodiscard]] virtual bool take(std::string_view data) noexcept = 0;

      protected:
        ~Outlet() = default;
    };
    void set_outlet(Outlet* outlet) noexcept { outlet_ = outlet; }
    [[nodiscard]] Outlet* outlet() const noexcept { return outlet_; }

  private:
    std::string own_;
    std::size_t read_ = 0;  // of own_
    std::string_view lent_;
    Outlet* outlet_ = nullptr;
    bool eof_ = false;
};

// One side of a TLS connection, over two buffers that somebody else moves to and fro. Each
// call does what it can with what `incoming` has, and leaves in `outgoing` what has to be sent.
class SSLObject {
  public:
    // Private to the library: see SSLContext::wrap_bio().
    SSLObject(std::shared_ptr<SSLContext> context, std::shared_ptr<MemoryBIO> incoming,
              std::shared_ptr<MemoryBIO> outgoing, const WrapOptions& options);
    SSLObject(const SSLObject&) = delete;
    SSLObject& operator=(const SSLObject&) = delete;
    ~SSLObject();

    // Throws, as the next three: SSLWantReadError when it needs more, SSLError.
    void do_handshake();
    // Up to `n` bytes; empty once the peer has said farewell.
    [[nodiscard]] std::string read(std::size_t n = 1024);
    [[nodiscard]] std::size_t read_into(std::span<std::byte> memory);
    // Gives the number of bytes taken, all but when it throws.
    std::size_t write(std::string_view data);
    // Says farewell, and waits for the peer's.
    void unwrap();
    // Bytes that can be read at once.
    [[nodiscard]] std::size_t pending() const;

    [[nodiscard]] const std::shared_ptr<SSLContext>& context() const noexcept { return context_; }
    // For the SNI callback: the certificates and settings of another context.
    void set_context(std::shared_ptr<SSLContext> context);
    [[nodiscard]] bool server_side() const noexcept { return server_side_; }
    [[nodiscard]] const std::string& server_hostname() const noexcept { return hostname_; }
    // Empty before the handshake, and where the peer has none.
    [[nodiscard]] std::optional<Certificate> getpeercert() const;
    // The peer's and those that it says signed it.
    [[nodiscard]] std::vector<Certificate> get_unverified_chain() const;
    [[nodiscard]] std::vector<Certificate> get_verified_chain() const;
    [[nodiscard]] std::optional<Cipher> cipher() const;
    // "TLSv1.3"; empty before the handshake.
    [[nodiscard]] std::optional<std::string> version() const;
    [[nodiscard]] std::optional<std::string> selected_alpn_protocol() const;
    [[nodiscard]] SSLSession session() const;
    [[nodiscard]] bool session_reused() const;
    // Bytes that both sides know and nobody else does: "tls-exporter" of RFC 9266, or
    // "tls-unique" of RFC 5929, which TLS 1.3 does not have. Empty before the handshake.
    // Throws: ValueError for other types.
    [[nodiscard]] std::string get_channel_binding(const std::string& type = "tls-unique") const;

    // Private to the library: the same without exceptions. Bytes, or one of these.
    enum Outcome : std::ptrdiff_t { ended = 0, blocked = -1, failed = -2 };
    [[nodiscard]] std::ptrdiff_t try_handshake() noexcept;  // 1 when done
    [[nodiscard]] std::ptrdiff_t try_read(std::span<char> memory) noexcept;
    [[nodiscard]] std::ptrdiff_t try_write(std::string_view data) noexcept;
    // Nothing is left that try_read() could give or look at.
    [[nodiscard]] bool all_read() const noexcept;
    void say_farewell() noexcept;
    // What the last call failed with.
    [[nodiscard]] std::exception_ptr error() const;

  private:
    friend class SSLContext;

    void set_hostname(const std::string& name);
    [[nodiscard]] std::ptrdiff_t outcome_of(int result) noexcept;
    std::size_t require(std::ptrdiff_t outcome) const;

    std::shared_ptr<SSLContext> context_;
    std::shared_ptr<MemoryBIO> incoming_;
    std::shared_ptr<MemoryBIO> outgoing_;
    ssl_st* ssl_;
    bool server_side_;
    std::string hostname_;
    // Of the last failure.
    int failure_ = 0;
    unsigned long code_ = 0;
    std::exception_ptr thrown_;  // by a callback
};

}  // namespace asyncio::ssl
