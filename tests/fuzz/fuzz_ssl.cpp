// What a peer may send in a handshake, and certificates that may be anything: real ones with
// some bytes changed. All that comes of it is an SSLError.
#include <support/certificates.hpp>

#include <asyncio/ssl.hpp>

#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

namespace {

using namespace asyncio;
using ssl::SSLObject;

void require(bool condition) {
    if (!condition) std::abort();
}

std::shared_ptr<ssl::SSLContext> client_context() {
    static const auto context = ssl::create_default_context({.cafile = certificates().authority});
    return context;
}

std::shared_ptr<ssl::SSLContext> server_context() {
    static const auto context = [] {
        auto made = ssl::create_default_context({.purpose = ssl::Purpose::CLIENT_AUTH});
        made->load_cert_chain(certificates().server);
        made->set_alpn_protocols({"h2", "http/1.1"});
        made->set_sni_callback(
            [](SSLObject&, const auto&, ssl::SSLContext&) { return std::optional<int>(); });
        return made;
    }();
    return context;
}

struct Side {
    explicit Side(const std::shared_ptr<ssl::SSLContext>& context, const ssl::WrapOptions& options)
        : object(context->wrap_bio(incoming, outgoing, options)) {}
    std::shared_ptr<ssl::MemoryBIO> incoming = std::make_shared<ssl::MemoryBIO>();
    std::shared_ptr<ssl::MemoryBIO> outgoing = std::make_shared<ssl::MemoryBIO>();
    std::shared_ptr<SSLObject> object;
};

// Pairs of a place and a byte to put there; what is left at the end is appended.
std::string edited(std::string text, std::span<const std::uint8_t> edits) {
    for (; edits.size() >= 3 && !text.empty(); edits = edits.subspan(3)) {
        const std::size_t place = (edits[0] * 256U + edits[1]) % text.size();
        text[place] = static_cast<char>(edits[2]);
    }
    text.append(edits.begin(), edits.end());
    return text;
}

void look_at(const ssl::Certificate& certificate) {
    for (const auto& [kind, value] : certificate.subject_alt_name) require(!kind.empty());
    require(certificate.version >= 0);
    require(!certificate.der.empty());
}

// Until one gives up or both are done; the messages of one side pass through the edits.
void shake_hands(std::span<const std::uint8_t> edits, bool of_client) {
    Side client(client_context(), {.server_hostname = "localhost"});
    Side server(server_context(), {.server_side = true});
    for (int round = 0; round < 4; ++round) {
        for (const bool client_turn : {true, false}) {
            Side& speaker = client_turn ? client : server;
            Side& listener = client_turn ? server : client;
            const auto outcome = speaker.object->try_handshake();
            if (outcome == SSLObject::failed) {
                require(holds_exception<ssl::SSLError>(speaker.object->error()));
            }
            std::string said = speaker.outgoing->read();
            if (client_turn == of_client) said = edited(std::move(said), edits);
            listener.incoming->write(said);
        }
    }
    for (const Side* side : {&client, &server}) {
        if (const auto certificate = side->object->getpeercert()) look_at(*certificate);
        std::string data(100, '\0');
        require(side->object->try_read(data) <= 100);
    }
}

void load_certificate(std::span<const std::uint8_t> edits) {
    static const std::string real = client_context()->get_ca_certs().at(0).der;
    ssl::SSLContext context(ssl::Protocol::TLS_CLIENT);
    try {
        context.load_verify_locations({.cadata = edited(real, edits)});
    } catch (const ssl::SSLError&) {
    }
    for (const ssl::Certificate& certificate : context.get_ca_certs()) look_at(certificate);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::span<const std::uint8_t> edits(data + 1, size - 1);
    switch (data[0] % 3) {
        case 0:
            load_certificate(edits);
            break;
        case 1:
            shake_hands(edits, true);
            break;
        default:
            shake_hands(edits, false);
    }
    return 0;
}
