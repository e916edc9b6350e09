#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "proactors/descriptor.hpp"
#include "ssl_detail.hpp"

namespace asyncio::ssl {

namespace {

constexpr std::string_view session_scope = "asyncio";
constexpr int fatal_handshake_failure = 40;  // RFC 8446, section 6: the alert

const SSL_METHOD* method_of(Protocol protocol) noexcept {
    switch (protocol) {
        case Protocol::TLS_CLIENT:
            return TLS_client_method();
        case Protocol::TLS_SERVER:
            return TLS_server_method();
        default:
            return TLS_method();
    }
}

void require_file(const std::string& path) {
    detail::check_no_nul(path);
    if (::access(path.c_str(), R_OK) != 0) throw_os_error(errno, "'" + path + "'");
}

}  // namespace

// What OpenSSL calls back for, or has no place for.
struct SSLContext::Extras {
    std::string alpn;  // as it is sent: each name after its length
    SniCallback on_sni;
    std::string keylog_filename;
    asyncio::detail::Descriptor keylog;
    std::mutex mutex;  // connections of several threads share a context
    std::size_t most_sessions = 0;
    std::map<std::string, SSLSession> sessions;  // by host name

    static int index() noexcept {
        static const int at = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
        return at;
    }
    static Extras& of(const SSL* ssl) noexcept {
        return *static_cast<Extras*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), index()));
    }

    SSLSession take_session(const std::string& hostname) {
        const std::lock_guard lock(mutex);
        const auto found = sessions.find(hostname);
        if (found == sessions.end()) return {};
        SSLSession session = std::move(found->second);
        sessions.erase(found);  // a ticket is good for one connection: RFC 8446, section C.4
        return session;
    }

    static int keep_session(SSL* ssl, SSL_SESSION* session) noexcept;
    static int ask_sni(SSL* ssl, int* alert, void* context) noexcept;
    static int choose_alpn(SSL*, const unsigned char** chosen, unsigned char* size,
                           const unsigned char* offered, unsigned count, void* extras) noexcept;
    static void log_secret(const SSL* ssl, const char* line) noexcept;
};

int SSLContext::Extras::keep_session(SSL* ssl, SSL_SESSION* session) noexcept {
    Extras& extras = of(ssl);
    const SSLObject* const object = detail::object_of(ssl);
    if (object == nullptr || object->server_side() || object->server_hostname().empty()) return 0;
    try {
        const std::lock_guard lock(extras.mutex);
        const bool known = extras.sessions.contains(object->server_hostname());
        if (extras.most_sessions == 0) return 0;
        if (!known && extras.sessions.size() >= extras.most_sessions) {
            extras.sessions.erase(extras.sessions.begin());
        }
        SSL_SESSION_up_ref(session);
        const std::shared_ptr<SSL_SESSION> kept(session, SSL_SESSION_free);
        extras.sessions.insert_or_assign(object->server_hostname(), SSLSession(kept));
    } catch (...) {
        // No memory: then without.
    }
    return 0;  // OpenSSL keeps its own reference
}

int SSLContext::Extras::ask_sni(SSL* ssl, int* alert, void* context) noexcept {
    auto& self = *static_cast<SSLContext*>(context);
    SSLObject* const object = detail::object_of(ssl);
    if (object == nullptr || !self.extras_->on_sni) return SSL_TLSEXT_ERR_OK;
    const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    try {
        const auto asked = name != nullptr ? std::optional<std::string>(name) : std::nullopt;
        const std::optional<int> refused = self.extras_->on_sni(*object, asked, self);
        if (!refused) return SSL_TLSEXT_ERR_OK;
        *alert = *refused;
    } catch (...) {
        object->thrown_ = std::current_exception();
        *alert = fatal_handshake_failure;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int SSLContext::Extras::choose_alpn(SSL*, const unsigned char** chosen, unsigned char* size,
                                    const unsigned char* offered, unsigned count,
                                    void* extras) noexcept {
    const std::string& ours = static_cast<Extras*>(extras)->alpn;
    const int result = SSL_select_next_proto(const_cast<unsigned char**>(chosen), size,
                                             reinterpret_cast<const unsigned char*>(ours.data()),
                                             static_cast<unsigned>(ours.size()), offered, count);
    return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

void SSLContext::Extras::log_secret(const SSL* ssl, const char* line) noexcept {
    Extras& extras = of(ssl);
    try {
        const std::string text = std::string(line) + "\n";
        const std::lock_guard lock(extras.mutex);
        // Of use to debuggers only: a connection does not end because of it.
        if (::write(extras.keylog.get(), text.data(), text.size()) < 0) return;
    } catch (...) {
    }
}

// ---- making one ---------------------------------------------------------------------------

SSLContext::SSLContext(Protocol protocol)
    : context_(SSL_CTX_new(method_of(protocol))),
      protocol_(protocol),
      extras_(std::make_unique<Extras>()) {
    if (context_ == nullptr) detail::throw_error_of_queue("no TLS context can be made");
    SSL_CTX_set_ex_data(context_, Extras::index(), extras_.get());
    SSL_CTX_set_options(context_, SSL_OP_ALL | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                      SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_SINGLE_DH_USE |
                                      SSL_OP_SINGLE_ECDH_USE);
    // Idle connections give their buffers back; a write goes on wherever its rest lies.
    SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION);
    SSL_CTX_set_session_id_context(context_,
                                   reinterpret_cast<const unsigned char*>(session_scope.data()),
                                   static_cast<unsigned>(session_scope.size()));
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context_), X509_V_FLAG_TRUSTED_FIRST);
    if (protocol == Protocol::TLS_CLIENT) set_check_hostname(true);
}

SSLContext::~SSLContext() {
    SSL_CTX_free(context_);
}

std::shared_ptr<SSLContext> create_default_context(const DefaultContextOptions& options) {
    const bool client = options.purpose == Purpose::SERVER_AUTH;
    auto context =
        std::make_shared<SSLContext>(client ? Protocol::TLS_CLIENT : Protocol::TLS_SERVER);
    context->set_verify_flags(context->verify_flags() | VERIFY_X509_PARTIAL_CHAIN |
                              VERIFY_X509_STRICT);
    if (!options.cafile.empty() || !options.capath.empty() || !options.cadata.empty()) {
        context->load_verify_locations(
            {.cafile = options.cafile, .capath = options.capath, .cadata = options.cadata});
    } else if (context->verify_mode() != VerifyMode::CERT_NONE) {
        context->load_default_certs();
    }
    const char* const keylog = std::getenv("SSLKEYLOGFILE");
    if (keylog != nullptr && *keylog != '\0') context->set_keylog_filename(keylog);
    return context;
}

std::shared_ptr<SSLObject> SSLContext::wrap_bio(std::shared_ptr<MemoryBIO> incoming,
                                                std::shared_ptr<MemoryBIO> outgoing,
                                                const WrapOptions& options) {
    if (incoming == nullptr || outgoing == nullptr) throw TypeError("wrap_bio() needs two buffers");
    if (options.server_side && protocol_ == Protocol::TLS_CLIENT) {
        throw ValueError("Cannot create a server socket with a PROTOCOL_TLS_CLIENT context");
    }
    if (!options.server_side && protocol_ == Protocol::TLS_SERVER) {
        throw ValueError("Cannot create a client socket with a PROTOCOL_TLS_SERVER context");
    }
    if (options.server_side && !options.server_hostname.empty()) {
        throw ValueError("server_hostname can only be specified in client mode");
    }
    if (!options.server_side && check_hostname_ && options.server_hostname.empty()) {
        throw ValueError("check_hostname requires server_hostname");
    }
    WrapOptions resumed = options;
    if (!options.server_side && !options.session) {
        resumed.session = extras_->take_session(options.server_hostname);
    }
    return std::make_shared<SSLObject>(shared_from_this(), std::move(incoming), std::move(outgoing),
                                       resumed);
}

// ---- who we are ---------------------------------------------------------------------------

namespace {

struct AskPassword {
    const SSLContext::Password& password;
    std::exception_ptr thrown = nullptr;

    static int ask(char* to, int size, int, void* data) noexcept {
        auto& self = *static_cast<AskPassword*>(data);
        try {
            // Without one: not from the terminal, which is what OpenSSL would do.
            if (!self.password) return 0;
            const std::string text = self.password();
            if (text.size() > static_cast<std::size_t>(size)) {
                throw ValueError("password cannot be longer than " + std::to_string(size) +
                                 " bytes");
            }
            std::memcpy(to, text.data(), text.size());
            return static_cast<int>(text.size());
        } catch (...) {
            self.thrown = std::current_exception();
            return -1;
        }
    }
};

}  // namespace

void SSLContext::load_cert_chain(const std::string& certfile, const std::string& keyfile,
                                 Password password) {
    const std::string& key = keyfile.empty() ? certfile : keyfile;
    require_file(certfile);
    require_file(key);
    ERR_clear_error();
    AskPassword asking{password};
    SSL_CTX_set_default_passwd_cb(context_, AskPassword::ask);
    SSL_CTX_set_default_passwd_cb_userdata(context_, &asking);
    const bool loaded = SSL_CTX_use_certificate_chain_file(context_, certfile.c_str()) == 1 &&
                        SSL_CTX_use_PrivateKey_file(context_, key.c_str(), SSL_FILETYPE_PEM) == 1 &&
                        SSL_CTX_check_private_key(context_) == 1;
    SSL_CTX_set_default_passwd_cb(context_, nullptr);
    SSL_CTX_set_default_passwd_cb_userdata(context_, nullptr);
    if (asking.thrown) {
        ERR_clear_error();
        std::rethrow_exception(asking.thrown);
    }
    if (!loaded) detail::throw_error_of_queue("the certificate or its key cannot be used");
}

void SSLContext::load_cert_chain(const std::string& certfile, const std::string& keyfile,
                                 const std::string& password) {
    load_cert_chain(certfile, keyfile, [&password] { return password; });
}

// ---- whom we trust ------------------------------------------------------------------------

namespace {

bool is_duplicate() noexcept {
    const unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_X509 &&
           ERR_GET_REASON(code) == X509_R_CERT_ALREADY_IN_HASH_TABLE;
}

void trust(X509_STORE& store, X509& certificate) {
    if (X509_STORE_add_cert(&store, &certificate) == 1) return;
    if (!is_duplicate()) detail::throw_error_of_queue("a certificate is refused");
    ERR_clear_error();
}

std::vector<detail::X509Pointer> certificates_in_pem(const std::string& data) {
    const detail::BioPointer bio(BIO_new_mem_buf(data.data(), static_cast<int>(data.size())));
    if (bio == nullptr) throw std::bad_alloc();
    std::vector<detail::X509Pointer> all;
    ERR_clear_error();
    while (X509* const one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
        all.emplace_back(one);
    }
    // After the last one there is no further beginning.
    const unsigned long code = ERR_peek_last_error();
    const bool at_end =
        ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
    if (!at_end) detail::throw_error_of_queue("cadata holds what is no certificate");
    ERR_clear_error();
    return all;
}

std::vector<detail::X509Pointer> certificates_in_der(const std::string& data) {
    const auto* at = reinterpret_cast<const unsigned char*>(data.data());
    const unsigned char* const end = at + data.size();
    std::vector<detail::X509Pointer> all;
    ERR_clear_error();
    while (at != end) {
        X509* const one = d2i_X509(nullptr, &at, end - at);
        if (one == nullptr) detail::throw_error_of_queue("cadata holds what is no certificate");
        all.emplace_back(one);
    }
    return all;
}

void trust_data(X509_STORE& store, const std::string& data) {
    const bool pem = data.find("-----BEGIN") != std::string::npos;
    const auto all = pem ? certificates_in_pem(data) : certificates_in_der(data);
    if (all.empty()) throw SSLError("", "", "cadata does not contain a certificate");
    for (const detail::X509Pointer& one : all) trust(store, *one);
}

}  // namespace

void SSLContext::load_verify_locations(const VerifyLocations& from) {
    if (from.cafile.empty() && from.capath.empty() && from.cadata.empty()) {
        throw TypeError("cafile, capath and cadata cannot be all omitted");
    }
    if (!from.cadata.empty()) trust_data(*SSL_CTX_get_cert_store(context_), from.cadata);
    if (!from.cafile.empty()) require_file(from.cafile);
    detail::check_no_nul(from.capath);
    ERR_clear_error();
    if (!from.cafile.empty() && SSL_CTX_load_verify_file(context_, from.cafile.c_str()) != 1) {
        detail::throw_error_of_queue("the certificates cannot be loaded");
    }
    if (!from.capath.empty() && SSL_CTX_load_verify_dir(context_, from.capath.c_str()) != 1) {
        detail::throw_error_of_queue("the folder of certificates cannot be used");
    }
}

void SSLContext::load_default_certs() {
    if (SSL_CTX_set_default_verify_paths(context_) != 1) {
        detail::throw_error_of_queue("the system's certificates cannot be loaded");
    }
    ERR_clear_error();  // of files that are not there
}

SSLContext::Stats SSLContext::cert_store_stats() const {
    Stats stats;
    const STACK_OF(X509_OBJECT)* const all =
        X509_STORE_get0_objects(SSL_CTX_get_cert_store(context_));
    for (int i = 0; i < sk_X509_OBJECT_num(all); ++i) {
        X509_OBJECT* const object = sk_X509_OBJECT_value(all, i);
        if (X509* const x509 = X509_OBJECT_get0_X509(object)) {
            ++stats.x509;
            if (X509_check_ca(x509) != 0) ++stats.x509_ca;
        } else {
            ++stats.crl;
        }
    }
    return stats;
}

std::vector<Certificate> SSLContext::get_ca_certs() const {
    std::vector<Certificate> certificates;
    const STACK_OF(X509_OBJECT)* const all =
        X509_STORE_get0_objects(SSL_CTX_get_cert_store(context_));
    for (int i = 0; i < sk_X509_OBJECT_num(all); ++i) {
        X509* const x509 = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));
        if (x509 != nullptr && X509_check_ca(x509) != 0) {
            certificates.push_back(detail::certificate_of(*x509));
        }
    }
    return certificates;
}

VerifyMode SSLContext::verify_mode() const {
    const int mode = SSL_CTX_get_verify_mode(context_);
    if (mode == SSL_VERIFY_NONE) return VerifyMode::CERT_NONE;
    return (mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) != 0 ? VerifyMode::CERT_REQUIRED
                                                         : VerifyMode::CERT_OPTIONAL;
}

void SSLContext::set_verify_mode(VerifyMode mode) {
    if (mode == VerifyMode::CERT_NONE && check_hostname_) {
        throw ValueError("Cannot set verify_mode to CERT_NONE when check_hostname is enabled.");
    }
    const int flags = mode == VerifyMode::CERT_NONE ? SSL_VERIFY_NONE
                      : mode == VerifyMode::CERT_OPTIONAL
                          ? SSL_VERIFY_PEER
                          : SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(context_, flags, nullptr);
}

void SSLContext::set_check_hostname(bool on) {
    if (on && verify_mode() == VerifyMode::CERT_NONE) set_verify_mode(VerifyMode::CERT_REQUIRED);
    check_hostname_ = on;
}

unsigned long SSLContext::verify_flags() const {
    return X509_VERIFY_PARAM_get_flags(SSL_CTX_get0_param(context_));
}

void SSLContext::set_verify_flags(unsigned long flags) {
    X509_VERIFY_PARAM* const verify = SSL_CTX_get0_param(context_);
    X509_VERIFY_PARAM_clear_flags(verify, verify_flags() & ~flags);
    X509_VERIFY_PARAM_set_flags(verify, flags);
}

// ---- how we speak -------------------------------------------------------------------------

namespace {

int number_of(TLSVersion version, TLSVersion unlimited) {
    return version == unlimited ? 0 : static_cast<int>(version);
}

}  // namespace

TLSVersion SSLContext::minimum_version() const {
    const auto number = SSL_CTX_get_min_proto_version(context_);
    return number == 0 ? TLSVersion::MINIMUM_SUPPORTED : static_cast<TLSVersion>(number);
}

TLSVersion SSLContext::maximum_version() const {
    const auto number = SSL_CTX_get_max_proto_version(context_);
    return number == 0 ? TLSVersion::MAXIMUM_SUPPORTED : static_cast<TLSVersion>(number);
}

void SSLContext::set_minimum_version(TLSVersion version) {
    if (version == TLSVersion::MAXIMUM_SUPPORTED) version = TLSVersion::TLSv1_3;
    const int number = number_of(version, TLSVersion::MINIMUM_SUPPORTED);
    if (SSL_CTX_set_min_proto_version(context_, number) == 1) return;
    throw ValueError("Unsupported TLS version " + std::to_string(static_cast<int>(version)));
}

void SSLContext::set_maximum_version(TLSVersion version) {
    if (version == TLSVersion::MINIMUM_SUPPORTED) version = TLSVersion::TLSv1;
    const int number = number_of(version, TLSVersion::MAXIMUM_SUPPORTED);
    if (SSL_CTX_set_max_proto_version(context_, number) == 1) return;
    throw ValueError("Unsupported TLS version " + std::to_string(static_cast<int>(version)));
}

std::uint64_t SSLContext::options() const {
    return SSL_CTX_get_options(context_);
}

void SSLContext::set_options(std::uint64_t options) {
    SSL_CTX_clear_options(context_, this->options() & ~options);
    SSL_CTX_set_options(context_, options);
}

void SSLContext::set_ciphers(const std::string& ciphers) {
    ERR_clear_error();
    if (SSL_CTX_set_cipher_list(context_, ciphers.c_str()) == 1) return;
    ERR_clear_error();
    throw SSLError("", "", "No cipher can be selected.");
}

void SSLContext::set_ciphersuites(const std::string& suites) {
    ERR_clear_error();
    if (SSL_CTX_set_ciphersuites(context_, suites.c_str()) == 1) return;
    ERR_clear_error();
    throw SSLError("", "", "No cipher suite can be selected.");
}

std::vector<Cipher> SSLContext::get_ciphers() const {
    std::vector<Cipher> all;
    const STACK_OF(SSL_CIPHER)* const ciphers = SSL_CTX_get_ciphers(context_);
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
        all.push_back(detail::cipher_of(*sk_SSL_CIPHER_value(ciphers, i)));
    }
    return all;
}

void SSLContext::set_ecdh_curve(const std::string& curves) {
    ERR_clear_error();
    if (SSL_CTX_set1_groups_list(context_, curves.c_str()) == 1) return;
    ERR_clear_error();
    throw ValueError("unknown elliptic curve name '" + curves + "'");
}

void SSLContext::set_alpn_protocols(const std::vector<std::string>& protocols) {
    std::string wire;
    for (const std::string& name : protocols) {
        if (name.empty() || name.size() > 255) {
            throw ValueError("ALPN protocols must be 1 to 255 bytes in length");
        }
        wire += static_cast<char>(name.size());
        wire += name;
    }
    extras_->alpn = std::move(wire);
    const auto* const bytes = reinterpret_cast<const unsigned char*>(extras_->alpn.data());
    const auto size = static_cast<unsigned>(extras_->alpn.size());
    if (SSL_CTX_set_alpn_protos(context_, bytes, size) != 0) throw std::bad_alloc();
    SSL_CTX_set_alpn_select_cb(context_, size == 0 ? nullptr : Extras::choose_alpn, extras_.get());
}

void SSLContext::set_sni_callback(SniCallback callback) {
    extras_->on_sni = std::move(callback);
    auto* const ask = extras_->on_sni ? Extras::ask_sni : nullptr;
    SSL_CTX_set_tlsext_servername_callback(context_, ask);
    SSL_CTX_set_tlsext_servername_arg(context_, this);
}

std::size_t SSLContext::num_tickets() const {
    return SSL_CTX_get_num_tickets(context_);
}

void SSLContext::set_num_tickets(std::size_t count) {
    SSL_CTX_set_num_tickets(context_, count);
}

void SSLContext::set_session_reuse(std::size_t names) {
    const std::lock_guard lock(extras_->mutex);
    extras_->most_sessions = names;
    while (extras_->sessions.size() > names) extras_->sessions.erase(extras_->sessions.begin());
    const long mode =
        names == 0 ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_BOTH | SSL_SESS_CACHE_NO_INTERNAL_STORE;
    SSL_CTX_set_session_cache_mode(context_, mode);
    SSL_CTX_sess_set_new_cb(context_, names == 0 ? nullptr : Extras::keep_session);
}

void SSLContext::set_keylog_filename(const std::string& path) {
    detail::check_no_nul(path);
    asyncio::detail::Descriptor file(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (!file) throw_os_error(errno, "'" + path + "'");
    extras_->keylog = std::move(file);
    extras_->keylog_filename = path;
    SSL_CTX_set_keylog_callback(context_, Extras::log_secret);
}

const std::string& SSLContext::keylog_filename() const noexcept {
    return extras_->keylog_filename;
}

}  // namespace asyncio::ssl
