// What is read out of certificates and ciphers.
#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>

#include "ssl_detail.hpp"

namespace asyncio::ssl::detail {

namespace {

using GeneralNames = Owned<GENERAL_NAMES, GENERAL_NAMES_free>;
using BigNumber = Owned<BIGNUM, BN_free>;

std::string text_of(const ASN1_STRING* text) {
    unsigned char* utf8 = nullptr;
    const int size = ASN1_STRING_to_UTF8(&utf8, text);
    if (size < 0) return {};
    std::string copy(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size));
    OPENSSL_free(utf8);
    return copy;
}

std::string bytes_of(const ASN1_STRING* text) {
    return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
            static_cast<std::size_t>(ASN1_STRING_length(text))};
}

// "commonName", or its number where it has no name.
std::string kind_of(const ASN1_OBJECT* object) {
    const int nid = OBJ_obj2nid(object);
    if (nid != NID_undef) return OBJ_nid2ln(nid);
    std::array<char, 128> number{};
    OBJ_obj2txt(number.data(), static_cast<int>(number.size()), object, 1);
    return number.data();
}

Name name_of(const X509_NAME* name) {
    Name all;
    for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
        const X509_NAME_ENTRY* const entry = X509_NAME_get_entry(name, i);
        all.emplace_back(kind_of(X509_NAME_ENTRY_get_object(entry)),
                         text_of(X509_NAME_ENTRY_get_data(entry)));
    }
    return all;
}

std::chrono::sys_seconds time_of(const ASN1_TIME* time) {
    std::tm fields{};
    if (ASN1_TIME_to_tm(time, &fields) != 1) return {};
    return std::chrono::sys_seconds(std::chrono::seconds(::timegm(&fields)));
}

std::string address_of(const ASN1_OCTET_STRING* bytes) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const int family = ASN1_STRING_length(bytes) == 4 ? AF_INET : AF_INET6;
    if (family == AF_INET6 && ASN1_STRING_length(bytes) != 16) return {};
    ::inet_ntop(family, ASN1_STRING_get0_data(bytes), text.data(), text.size());
    return text.data();
}

void add_name(Name& all, const GENERAL_NAME& name) {
    switch (name.type) {
        case GEN_DNS:
            all.emplace_back("DNS", bytes_of(name.d.dNSName));
            break;
        case GEN_EMAIL:
            all.emplace_back("email", bytes_of(name.d.rfc822Name));
            break;
        case GEN_URI:
            all.emplace_back("URI", bytes_of(name.d.uniformResourceIdentifier));
            break;
        case GEN_IPADD:
            all.emplace_back("IP Address", address_of(name.d.iPAddress));
            break;
        case GEN_RID:
            all.emplace_back("Registered ID", kind_of(name.d.registeredID));
            break;
        default:
            break;
    }
}

Name alternative_names_of(const X509& x509) {
    Name all;
    const GeneralNames names(static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(&x509, NID_subject_alt_name, nullptr, nullptr)));
    for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
        add_name(all, *sk_GENERAL_NAME_value(names.get(), i));
    }
    return all;
}

std::string serial_number_of(const X509& x509) {
    const BigNumber number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(&x509), nullptr));
    char* const text = number ? BN_bn2hex(number.get()) : nullptr;
    if (text == nullptr) return {};
    std::string copy = text;
    OPENSSL_free(text);
    return copy;
}

std::string der_of(X509& x509) {
    unsigned char* der = nullptr;
    const int size = i2d_X509(&x509, &der);
    if (size < 0) return {};
    std::string copy(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    return copy;
}

}  // namespace

Certificate certificate_of(X509& x509) {
    return {.subject = name_of(X509_get_subject_name(&x509)),
            .issuer = name_of(X509_get_issuer_name(&x509)),
            .version = static_cast<int>(X509_get_version(&x509)) + 1,
            .serial_number = serial_number_of(x509),
            .not_before = time_of(X509_get0_notBefore(&x509)),
            .not_after = time_of(X509_get0_notAfter(&x509)),
            .subject_alt_name = alternative_names_of(x509),
            .der = der_of(x509)};
}

Cipher cipher_of(const SSL_CIPHER& cipher) {
    return {.name = SSL_CIPHER_get_name(&cipher),
            .protocol = SSL_CIPHER_get_version(&cipher),
            .bits = SSL_CIPHER_get_bits(&cipher, nullptr)};
}

}  // namespace asyncio::ssl::detail
