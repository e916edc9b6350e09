// asyncio/resolver.hpp - names into addresses and back: loop.getaddrinfo(), getnameinfo().
//
//   for (const AddressInfo& at : co_await loop.getaddrinfo("example.org", "https",
//                                                          {.type = SOCK_STREAM})) {
//       fmt::print("{}\n", at.address.str());                 // 93.184.215.14:443
//   }
//   auto [host, service] = co_await loop.getnameinfo(SocketAddress("127.0.0.1", 80));
//
// Connections and servers look their hosts up by the same means. What needs no question, such
// as an address in figures, asks nobody. Everything else is looked up as the system would:
// /etc/hosts first, then the name servers of /etc/resolv.conf, as nsswitch.conf has them in
// order. The questions are the loop's own I/O (c-ares): no thread is held, a name server that
// does not answer blocks nobody, and a cancelled caller is free at once while the late answer
// is dropped. Other modules of nsswitch.conf, such as mdns, are for {.system = true} only.
//
// Thread: loop thread only.
// Source: Python's loop.getaddrinfo(), loop.getnameinfo(), socket.gaierror.
#pragma once

#include <netdb.h>
#include <sys/socket.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <asyncio/exceptions.hpp>
#include <asyncio/sockets.hpp>

namespace asyncio {

// A name that could not be looked up. number() is an EAI_* code, such as EAI_NONAME for one
// that does not exist and EAI_AGAIN when no name server answered. Python's socket.gaierror.
class GaiError : public OSError {
  public:
    // `what` says what was looked up.
    GaiError(int code, const std::string& what);
    ~GaiError() override;
};

// One answer: what to give to socket() and connect().
struct AddressInfo {
    int family = 0;
    int type = 0;
    int proto = 0;
    std::string canonname = {};  // of the first answer, with AI_CANONNAME
    SocketAddress address = {};

    friend bool operator==(const AddressInfo&, const AddressInfo&) = default;
};

// What is looked for; 0 is anything.
struct AddressOptions {
    int family = AF_UNSPEC;
    int type = 0;   // SOCK_STREAM, ...
    int proto = 0;  // IPPROTO_TCP, ...
    int flags = 0;  // AI_*
};

// Where a loop looks names up.
struct ResolverOptions {
    // "10.0.0.1", "127.0.0.1:5353", "[::1]:53" in place of those of /etc/resolv.conf.
    std::vector<std::string> servers = {};
    // How long to wait for an answer at first, and how often to ask a server; default: what
    // `options timeout: attempts:` of /etc/resolv.conf say, else 5 s and 2.
    std::optional<std::chrono::milliseconds> timeout = {};
    std::optional<int> tries = {};
    // The system's own getaddrinfo(), which blocks a thread of the default executor.
    bool system = false;
};

}  // namespace asyncio
