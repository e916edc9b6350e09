#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <utility>

#include "ssl_detail.hpp"

namespace asyncio::ssl {

// ---- buffers ------------------------------------------------------------------------------

namespace {

// Idle connections hold no memory: a buffer that is empty leaves its own here for the next one
// that needs some.
thread_local std::string spare;
constexpr std::size_t most_spare = 1 << 20;

}  // namespace

MemoryBIO::~MemoryBIO() = default;

std::string MemoryBIO::read(std::ptrdiff_t n) {
    const std::string_view all = unread();
    std::string data(n < 0 ? all : all.substr(0, static_cast<std::size_t>(n)));
    consume(data.size());
    return data;
}

std::size_t MemoryBIO::write(std::string_view data) {
    if (eof_) throw SSLError("", "", "cannot write() after write_eof()");
    keep_lent();
    if (own_.empty() && own_.capacity() < spare.capacity()) own_.swap(spare);
    own_.append(data);
    return data.size();
}

void MemoryBIO::consume(std::size_t count) noexcept {
    if (!lent_.empty()) {
        lent_.remove_prefix(count);
        return;
    }
    read_ += count;
    if (read_ < own_.size()) return;
    read_ = 0;
    own_.clear();
    if (own_.capacity() > spare.capacity() && own_.capacity() <= most_spare) own_.swap(spare);
    if (own_.capacity() > std::string().capacity()) std::string().swap(own_);
}

void MemoryBIO::lend(std::string_view data) {
    if (own_.empty()) {
        lent_ = data;
    } else {
        write(data);
    }
}

void MemoryBIO::keep_lent() {
    const std::string_view rest = std::exchange(lent_, {});
    if (!rest.empty()) write(rest);
}

// ---- a BIO over one -----------------------------------------------------------------------

namespace detail {

namespace {

MemoryBIO& buffer_of(BIO* bio) noexcept {
    return *static_cast<MemoryBIO*>(BIO_get_data(bio));
}

int read_bio(BIO* bio, char* to, int size) {
    BIO_clear_retry_flags(bio);
    MemoryBIO& buffer = buffer_of(bio);
    const std::string_view all = buffer.unread();
    if (all.empty()) {
        if (!buffer.ended()) BIO_set_retry_read(bio);
        return buffer.ended() ? 0 : -1;
    }
    const std::size_t count = std::min(all.size(), static_cast<std::size_t>(size));
    std::memcpy(to, all.data(), count);
    buffer.consume(count);
    return static_cast<int>(count);
}

int write_bio(BIO* bio, const char* from, int size) {
    BIO_clear_retry_flags(bio);
    MemoryBIO& buffer = buffer_of(bio);
    const std::string_view data(from, static_cast<std::size_t>(size));
    if (buffer.outlet() != nullptr && buffer.outlet()->take(data)) return size;
    try {
        buffer.write(data);
    } catch (...) {
        return -1;  // no memory
    }
    return size;
}

long control_bio(BIO* bio, int command, long, void*) {
    switch (command) {
        case BIO_CTRL_FLUSH:
            return 1;
        case BIO_CTRL_PENDING:
            return static_cast<long>(buffer_of(bio).pending());
        case BIO_CTRL_EOF:
            return buffer_of(bio).eof() ? 1 : 0;
        default:
            return 0;
    }
}

int create_bio(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD* bio_method() {
    static BIO_METHOD* const method = [] {
        BIO_METHOD* const made =
            BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "asyncio buffer");
        BIO_meth_set_read(made, read_bio);
        BIO_meth_set_write(made, write_bio);
        BIO_meth_set_ctrl(made, control_bio);
        BIO_meth_set_create(made, create_bio);
        return made;
    }();
    return method;
}

int object_index() noexcept {
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

}  // namespace

BIO* new_bio(MemoryBIO& buffer) {
    BIO* const bio = BIO_new(bio_method());
    if (bio == nullptr) throw std::bad_alloc();
    BIO_set_data(bio, &buffer);
    return bio;
}

void set_object(SSL& ssl, SSLObject& object) noexcept {
    SSL_set_ex_data(&ssl, object_index(), &object);
}

SSLObject* object_of(const SSL* ssl) noexcept {
    return static_cast<SSLObject*>(SSL_get_ex_data(ssl, object_index()));
}

}  // namespace detail

// ---- sessions -----------------------------------------------------------------------------

std::string SSLSession::id() const {
    unsigned size = 0;
    const unsigned char* const bytes = SSL_SESSION_get_id(session_.get(), &size);
    return {reinterpret_cast<const char*>(bytes), size};
}

std::chrono::sys_seconds SSLSession::time() const {
    return std::chrono::sys_seconds(std::chrono::seconds(SSL_SESSION_get_time(session_.get())));
}

std::chrono::seconds SSLSession::timeout() const {
    return std::chrono::seconds(SSL_SESSION_get_timeout(session_.get()));
}

bool SSLSession::has_ticket() const {
    return SSL_SESSION_has_ticket(session_.get()) != 0;
}

// ---- making one ---------------------------------------------------------------------------

namespace {

bool is_address(const std::string& name) noexcept {
    std::array<unsigned char, sizeof(in6_addr)> bytes{};
    return ::inet_pton(AF_INET, name.c_str(), bytes.data()) == 1 ||
           ::inet_pton(AF_INET6, name.c_str(), bytes.data()) == 1;
}

void check_hostname_text(const std::string& name) {
    detail::check_no_nul(name);
    if (name.starts_with('.')) {
        throw ValueError("server_hostname cannot be an empty string or start with a leading dot.");
    }
    const auto is_ascii = [](unsigned char c) { return c < 0x80; };
    if (!std::all_of(name.begin(), name.end(), is_ascii)) {
        throw ValueError("server_hostname has to be in ASCII; write '" + name +
                         "' in Punycode (xn--...)");
    }
}

}  // namespace

SSLObject::SSLObject(std::shared_ptr<SSLContext> context, std::shared_ptr<MemoryBIO> incoming,
                     std::shared_ptr<MemoryBIO> outgoing, const WrapOptions& options)
    : context_(std::move(context)),
      incoming_(std::move(incoming)),
      outgoing_(std::move(outgoing)),
      ssl_(SSL_new(context_->native())),
      server_side_(options.server_side) {
    if (ssl_ == nullptr) detail::throw_error_of_queue("no TLS connection can be made");
    try {
        SSL_set_bio(ssl_, detail::new_bio(*incoming_), detail::new_bio(*outgoing_));
        detail::set_object(*ssl_, *this);
        if (!options.server_hostname.empty()) set_hostname(options.server_hostname);
        if (options.session) SSL_set_session(ssl_, options.session.native());
        server_side_ ? SSL_set_accept_state(ssl_) : SSL_set_connect_state(ssl_);
    } catch (...) {
        SSL_free(ssl_);
        throw;
    }
}

SSLObject::~SSLObject() {
    // Without this a session counts as broken and is not resumed from.
    SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl_);
}

void SSLObject::set_hostname(const std::string& name) {
    check_hostname_text(name);
    const bool address = is_address(name);
    // RFC 6066, section 3: no addresses.
    if (!address && SSL_set_tlsext_host_name(ssl_, name.c_str()) != 1) {
        detail::throw_error_of_queue("the host name is refused");
    }
    hostname_ = name;
    if (!context_->check_hostname()) return;
    X509_VERIFY_PARAM* const verify = SSL_get0_param(ssl_);
    X509_VERIFY_PARAM_set_hostflags(
        verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    const int done = address ? X509_VERIFY_PARAM_set1_ip_asc(verify, name.c_str())
                             : X509_VERIFY_PARAM_set1_host(verify, name.data(), name.size());
    if (done != 1) detail::throw_error_of_queue("the host name is refused");
}

void SSLObject::set_context(std::shared_ptr<SSLContext> context) {
    SSL_set_SSL_CTX(ssl_, context->native());
    SSL_set_verify(ssl_, SSL_CTX_get_verify_mode(context->native()), nullptr);
    context_ = std::move(context);
}

// ---- the conversation ---------------------------------------------------------------------

namespace {

// What somebody else left in OpenSSL's queue must not be taken for ours. It is empty nearly
// always, and to look costs a tenth of what clearing does.
void clear_stale_errors() noexcept {
    if (ERR_peek_error() != 0) ERR_clear_error();
}

}  // namespace

// What an SSL_*() that gave `result` means. All of OpenSSL's state is looked at here.
std::ptrdiff_t SSLObject::outcome_of(int result) noexcept {
    if (result > 0) return result;
    failure_ = SSL_get_error(ssl_, result);
    if (failure_ == SSL_ERROR_WANT_READ || failure_ == SSL_ERROR_WANT_WRITE) return blocked;
    if (failure_ == SSL_ERROR_ZERO_RETURN) return ended;
    code_ = ERR_peek_last_error();
    ERR_clear_error();
    return failed;
}

std::ptrdiff_t SSLObject::try_handshake() noexcept {
    ERR_clear_error();
    return outcome_of(SSL_do_handshake(ssl_));
}

std::ptrdiff_t SSLObject::try_read(std::span<char> memory) noexcept {
    clear_stale_errors();
    const auto size = static_cast<int>(std::min<std::size_t>(memory.size(), INT_MAX));
    return outcome_of(SSL_read(ssl_, memory.data(), size));
}

std::ptrdiff_t SSLObject::try_write(std::string_view data) noexcept {
    clear_stale_errors();
    const auto size = static_cast<int>(std::min<std::size_t>(data.size(), INT_MAX));
    return outcome_of(SSL_write(ssl_, data.data(), size));
}

bool SSLObject::all_read() const noexcept {
    return incoming_->pending() == 0 && !incoming_->ended() && SSL_has_pending(ssl_) == 0;
}

void SSLObject::say_farewell() noexcept {
    ERR_clear_error();
    if ((SSL_get_shutdown(ssl_) & SSL_SENT_SHUTDOWN) == 0) SSL_shutdown(ssl_);
    ERR_clear_error();
}

std::exception_ptr SSLObject::error() const {
    if (thrown_) return thrown_;
    switch (failure_) {
        case SSL_ERROR_ZERO_RETURN:
            return std::make_exception_ptr(
                SSLZeroReturnError("", "", "TLS/SSL connection has been closed (EOF)"));
        case SSL_ERROR_WANT_READ:
            return std::make_exception_ptr(
                SSLWantReadError("", "", "The operation did not complete (read)"));
        case SSL_ERROR_WANT_WRITE:
            return std::make_exception_ptr(
                SSLWantWriteError("", "", "The operation did not complete (write)"));
        case SSL_ERROR_SYSCALL:
            return std::make_exception_ptr(
                SSLEOFError("SSL", "UNEXPECTED_EOF_WHILE_READING",
                            "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of "
                            "protocol"));
        default:
            break;
    }
    if (ERR_GET_LIB(code_) == ERR_LIB_SSL &&
        ERR_GET_REASON(code_) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        return std::make_exception_ptr(
            SSLEOFError("SSL", "UNEXPECTED_EOF_WHILE_READING",
                        "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of "
                        "protocol"));
    }
    return detail::error_of_code(code_, ssl_, hostname_);
}

std::size_t SSLObject::require(std::ptrdiff_t outcome) const {
    if (outcome < 0) std::rethrow_exception(error());
    return static_cast<std::size_t>(outcome);
}

void SSLObject::do_handshake() {
    const std::ptrdiff_t outcome = try_handshake();
    if (outcome <= 0) std::rethrow_exception(error());
}

std::string SSLObject::read(std::size_t n) {
    std::string data(n, '\0');
    data.resize(read_into(std::as_writable_bytes(std::span(data))));
    return data;
}

std::size_t SSLObject::read_into(std::span<std::byte> memory) {
    if (memory.empty()) return 0;
    return require(try_read({reinterpret_cast<char*>(memory.data()), memory.size()}));
}

std::size_t SSLObject::write(std::string_view data) {
    std::size_t taken = 0;
    while (taken < data.size()) {
        const std::ptrdiff_t outcome = try_write(data.substr(taken));
        if (outcome <= 0) std::rethrow_exception(error());
        taken += static_cast<std::size_t>(outcome);
    }
    return taken;
}

void SSLObject::unwrap() {
    ERR_clear_error();
    int result = SSL_shutdown(ssl_);
    if (result == 0) result = SSL_shutdown(ssl_);  // the first sends, the second receives
    if (outcome_of(result) < 0) std::rethrow_exception(error());
}

std::size_t SSLObject::pending() const {
    return static_cast<std::size_t>(SSL_pending(ssl_));
}

// ---- what came of it ----------------------------------------------------------------------

std::optional<Certificate> SSLObject::getpeercert() const {
    if (!SSL_is_init_finished(ssl_)) return std::nullopt;
    const detail::X509Pointer peer(SSL_get1_peer_certificate(ssl_));
    if (peer == nullptr) return std::nullopt;
    return detail::certificate_of(*peer);
}

namespace {

std::vector<Certificate> all_of(const STACK_OF(X509) * chain) {
    std::vector<Certificate> all;
    for (int i = 0; i < sk_X509_num(chain); ++i) {
        all.push_back(detail::certificate_of(*sk_X509_value(chain, i)));
    }
    return all;
}

}  // namespace

std::vector<Certificate> SSLObject::get_unverified_chain() const {
    std::vector<Certificate> all;
    // A server's view of a client's chain does not have the client's own.
    if (server_side_) {
        if (auto peer = getpeercert()) all.push_back(std::move(*peer));
    }
    for (Certificate& one : all_of(SSL_get_peer_cert_chain(ssl_))) all.push_back(std::move(one));
    return all;
}

std::vector<Certificate> SSLObject::get_verified_chain() const {
    return all_of(SSL_get0_verified_chain(ssl_));
}

std::optional<Cipher> SSLObject::cipher() const {
    const SSL_CIPHER* const current = SSL_get_current_cipher(ssl_);
    if (current == nullptr) return std::nullopt;
    return detail::cipher_of(*current);
}

std::optional<std::string> SSLObject::version() const {
    if (!SSL_is_init_finished(ssl_)) return std::nullopt;
    return SSL_get_version(ssl_);
}

std::optional<std::string> SSLObject::selected_alpn_protocol() const {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_, &name, &size);
    if (name == nullptr) return std::nullopt;
    return std::string(reinterpret_cast<const char*>(name), size);
}

SSLSession SSLObject::session() const {
    SSL_SESSION* const session = SSL_get1_session(ssl_);
    if (session == nullptr) return {};
    return SSLSession(std::shared_ptr<SSL_SESSION>(session, SSL_SESSION_free));
}

bool SSLObject::session_reused() const {
    return SSL_session_reused(ssl_) == 1;
}

std::string SSLObject::get_channel_binding(const std::string& type) const {
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
    std::size_t size = 0;
    if (type == "tls-unique") {
        if (version() == "TLSv1.3") return {};
        // RFC 5929, section 3: the first Finished, which a resumed session's server sends.
        const bool ours_first = session_reused() == server_side_;
        size = ours_first ? SSL_get_finished(ssl_, bytes.data(), bytes.size())
                          : SSL_get_peer_finished(ssl_, bytes.data(), bytes.size());
    } else if (type == "tls-exporter") {
        if (!version()) return {};
        constexpr std::string_view label = "EXPORTER-Channel-Binding";
        size = 32;
        if (SSL_export_keying_material(ssl_, bytes.data(), size, label.data(), label.size(),
                                       nullptr, 0, 0) != 1) {
            detail::throw_error_of_queue("no keying material");
        }
    } else {
        throw ValueError("'" + type + "' channel binding type not implemented");
    }
    return {reinterpret_cast<const char*>(bytes.data()), size};
}

}  // namespace asyncio::ssl
