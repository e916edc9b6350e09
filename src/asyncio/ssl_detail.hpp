// What the parts of ssl share: OpenSSL's objects and errors as ours.
#pragma once

#include <openssl/ssl.h>

#include <asyncio/ssl.hpp>
#include <exception>
#include <memory>
#include <string>

namespace asyncio::ssl::detail {

template <auto Free>
struct Freed {
    template <class T>
    void operator()(T* object) const noexcept {
        Free(object);
    }
};
template <class T, auto Free>
using Owned = std::unique_ptr<T, Freed<Free>>;

using X509Pointer = Owned<X509, X509_free>;
using BioPointer = Owned<BIO, BIO_free>;

// The error of the call that has just failed, from OpenSSL's queue, which is emptied.
// `otherwise` is said where the queue has nothing.
[[nodiscard]] std::exception_ptr error_of_queue(const char* otherwise);
[[noreturn]] void throw_error_of_queue(const char* otherwise);
// The same for a code that was taken from the queue before. `ssl` tells of certificates.
[[nodiscard]] std::exception_ptr error_of_code(unsigned long code, const SSL* ssl,
                                               const std::string& hostname);

[[nodiscard]] Certificate certificate_of(X509& x509);
[[nodiscard]] Cipher cipher_of(const SSL_CIPHER& cipher);

// A BIO over a buffer, which has to outlive it. Throws: std::bad_alloc.
[[nodiscard]] BIO* new_bio(MemoryBIO& buffer);

// The SSLObject that was made over `ssl`.
void set_object(SSL& ssl, SSLObject& object) noexcept;
[[nodiscard]] SSLObject* object_of(const SSL* ssl) noexcept;

// Throws: ValueError for a zero byte.
void check_no_nul(const std::string& text);

}  // namespace asyncio::ssl::detail
