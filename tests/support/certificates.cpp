#include "certificates.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <stdexcept>

namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using X509Pointer = std::unique_ptr<X509, decltype(&X509_free)>;

void require(bool done, const char* what) {
    if (!done) throw std::runtime_error(std::string("making certificates: ") + what);
}

Key make_key() {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    require(key != nullptr, "a key");
    return {key, EVP_PKEY_free};
}

struct Wanted {
    std::string name;
    std::string alternatives;  // "DNS:localhost, IP:127.0.0.1"
    bool authority = false;
    long first_day = -1;  // from today
    long last_day = 30;
};

void add_extension(X509& certificate, X509& issuer, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    require(extension != nullptr, value.c_str());
    X509_add_ext(&certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

X509Pointer make_certificate(const Wanted& wanted, EVP_PKEY& key, X509* issuer,
                             EVP_PKEY& issuer_key) {
    static long serial = 1000;
    X509Pointer certificate(X509_new(), X509_free);
    X509& made = *certificate;
    X509_set_version(&made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(&made), ++serial);
    constexpr long day = 24 * 60 * 60;
    X509_gmtime_adj(X509_getm_notBefore(&made), wanted.first_day * day);
    X509_gmtime_adj(X509_getm_notAfter(&made), wanted.last_day * day);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(&made), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(wanted.name.c_str()), -1, -1,
                               0);
    X509& signer = issuer != nullptr ? *issuer : made;
    X509_set_issuer_name(&made, X509_get_subject_name(&signer));
    X509_set_pubkey(&made, &key);
    add_extension(made, signer, NID_subject_key_identifier, "hash");
    add_extension(made, signer, NID_authority_key_identifier, "keyid:always");
    if (wanted.authority) {
        add_extension(made, signer, NID_basic_constraints, "critical,CA:TRUE");
        add_extension(made, signer, NID_key_usage, "critical,keyCertSign,cRLSign");
    } else {
        add_extension(made, signer, NID_basic_constraints, "CA:FALSE");
    }
    if (!wanted.alternatives.empty()) {
        add_extension(made, signer, NID_subject_alt_name, wanted.alternatives);
    }
    require(X509_sign(&made, &issuer_key, EVP_sha256()) > 0, "signing");
    return certificate;
}

class File {
  public:
    explicit File(const std::string& path) : file_(std::fopen(path.c_str(), "w")) {
        require(file_ != nullptr, path.c_str());
    }
    File(const File&) = delete;
    ~File() { std::fclose(file_); }
    void put(X509& certificate) { PEM_write_X509(file_, &certificate); }
    void put(EVP_PKEY& key) {
        PEM_write_PrivateKey(file_, &key, nullptr, nullptr, 0, nullptr, nullptr);
    }
    void put_locked(EVP_PKEY& key, std::string password) {
        PEM_write_PKCS8PrivateKey(file_, &key, EVP_aes_128_cbc(), password.data(),
                                  static_cast<int>(password.size()), nullptr, nullptr);
    }

  private:
    std::FILE* file_;
};

struct Folder : Certificates {
    Folder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "tls-XXXXXX").string();
        require(::mkdtemp(pattern.data()) != nullptr, "a folder");
        owner = ::getpid();
        folder = pattern;
        const auto path = [&](const char* name) { return (folder / name).string(); };

        const Key authority_key = make_key();
        const X509Pointer signer = make_certificate(
            {.name = "Authority of the tests", .alternatives = {}, .authority = true},
            *authority_key, nullptr, *authority_key);
        authority = path("authority.pem");
        File(authority).put(*signer);

        const auto issue = [&](const char* file, const Wanted& wanted) {
            const Key key = make_key();
            const X509Pointer made = make_certificate(wanted, *key, signer.get(), *authority_key);
            File both(path(file));
            both.put(*made);
            both.put(*key);
            if (std::string(file) == "server.pem") {
                File(path("server_only.pem")).put(*made);
                File(path("locked_key.pem")).put_locked(*key, "secret");
            }
            return path(file);
        };
        const std::string here = "DNS:localhost, IP:127.0.0.1, IP:::1";
        server = issue("server.pem", {.name = "localhost", .alternatives = here});
        server_only = path("server_only.pem");
        locked_key = path("locked_key.pem");
        other_host =
            issue("other.pem", {.name = "other.example", .alternatives = "DNS:other.example"});
        expired = issue("expired.pem", {.name = "localhost",
                                        .alternatives = here,
                                        .authority = false,
                                        .first_day = -20,
                                        .last_day = -10});
        client = issue("client.pem", {.name = "client", .alternatives = {}});

        const Key own_key = make_key();
        const X509Pointer own = make_certificate({.name = "localhost", .alternatives = here},
                                                 *own_key, nullptr, *own_key);
        self_signed = path("self_signed.pem");
        {
            File both(self_signed);
            both.put(*own);
            both.put(*own_key);
        }
        other_key = path("other_key.pem");
        File(other_key).put(*make_key());
    }
    ~Folder() {
        if (owner != ::getpid()) return;  // a child's exit
        std::error_code ignored;
        std::filesystem::remove_all(folder, ignored);
    }
    ::pid_t owner;
};

}  // namespace

const Certificates& certificates() {
    static const Folder made;
    return made;
}
