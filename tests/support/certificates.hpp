// Certificates for the tests of TLS, made when they are first asked for, in a folder of their
// own that goes with the process.
#pragma once

#include <filesystem>
#include <string>

struct Certificates {
    std::filesystem::path folder;
    // Files in PEM. The authority signed all but self_signed.
    std::string authority;
    std::string server;       // for localhost, 127.0.0.1 and ::1; with its key
    std::string other_host;   // for other.example; with its key
    std::string expired;      // for localhost; with its key
    std::string self_signed;  // for localhost; with its key
    std::string client;       // of "client"; with its key
    std::string server_only;  // the server's without a key
    std::string locked_key;   // the server's key, with the password "secret"
    std::string other_key;    // of nobody
};

const Certificates& certificates();
