#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "ssl_detail.hpp"

namespace asyncio::ssl {

SSLError::SSLError(std::string library, std::string reason, const std::string& text)
    : OSError(text), library_(std::move(library)), reason_(std::move(reason)) {}
SSLError::~SSLError() = default;

SSLCertVerificationError::SSLCertVerificationError(std::string library, std::string reason,
                                                   const std::string& text, int code,
                                                   std::string message)
    : SSLError(std::move(library), std::move(reason), text),
      code_(code),
      message_(std::move(message)) {}
SSLCertVerificationError::~SSLCertVerificationError() = default;

std::string openssl_version() {
    return OpenSSL_version(OPENSSL_VERSION);
}

namespace detail {

namespace {

// As Python names them.
std::string library_name(unsigned long code) {
    switch (ERR_GET_LIB(code)) {
        case ERR_LIB_SSL:
            return "SSL";
        case ERR_LIB_X509:
            return "X509";
        case ERR_LIB_X509V3:
            return "X509V3";
        case ERR_LIB_PEM:
            return "PEM";
        case ERR_LIB_ASN1:
            return "ASN1";
        case ERR_LIB_EVP:
            return "EVP";
        case ERR_LIB_RSA:
            return "RSA";
        case ERR_LIB_EC:
            return "EC";
        case ERR_LIB_DH:
            return "DH";
        case ERR_LIB_BIO:
            return "BIO";
        case ERR_LIB_CONF:
            return "CONF";
        case ERR_LIB_PKCS12:
            return "PKCS12";
        case ERR_LIB_PROV:
            return "PROV";
        case ERR_LIB_SYS:
            return "SYS";
        default:
            break;
    }
    const char* const name = ERR_lib_error_string(code);
    return name != nullptr ? name : "";
}

// "certificate verify failed" is CERTIFICATE_VERIFY_FAILED to programs.
std::string reason_name(const std::string& text) {
    std::string name = text;
    for (char& c : name) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
        if (c == ' ' || c == '-' || c == '/') c = '_';
    }
    return name;
}

std::string message_of_verification(long code, const std::string& hostname) {
    switch (code) {
        case X509_V_ERR_HOSTNAME_MISMATCH:
            return "Hostname mismatch, certificate is not valid for '" + hostname + "'.";
        case X509_V_ERR_IP_ADDRESS_MISMATCH:
            return "IP address mismatch, certificate is not valid for '" + hostname + "'.";
        default:
            return X509_verify_cert_error_string(code);
    }
}

}  // namespace

std::exception_ptr error_of_code(unsigned long code, const SSL* ssl, const std::string& hostname) {
    const std::string library = library_name(code);
    const char* const said = ERR_reason_error_string(code);
    std::string text = said != nullptr ? said : "unknown error " + std::to_string(code);
    const std::string reason = reason_name(text);
    const std::string prefix = "[" + library + ": " + reason + "] ";
    const bool of_certificate = ssl != nullptr && ERR_GET_LIB(code) == ERR_LIB_SSL &&
                                ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED;
    if (of_certificate) {
        const long why = SSL_get_verify_result(ssl);
        const std::string message = message_of_verification(why, hostname);
        return std::make_exception_ptr(SSLCertVerificationError(
            library, reason, prefix + text + ": " + message, static_cast<int>(why), message));
    }
    return std::make_exception_ptr(SSLError(library, reason, prefix + text));
}

std::exception_ptr error_of_queue(const char* otherwise) {
    // The last one is what the call itself says; those before are its reasons.
    const unsigned long code = ERR_peek_last_error();
    ERR_clear_error();
    if (code == 0) return std::make_exception_ptr(SSLError("", "", otherwise));
    return error_of_code(code, nullptr, {});
}

void throw_error_of_queue(const char* otherwise) {
    std::rethrow_exception(error_of_queue(otherwise));
}

void check_no_nul(const std::string& text) {
    if (text.find('\0') != std::string::npos) throw ValueError("embedded null byte");
}

}  // namespace detail

}  // namespace asyncio::ssl
