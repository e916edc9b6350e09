// Programs that others wrote as the other end of a connection: clients that run while the loop
// does, servers, and Python's asyncio.
#pragma once

#include <support/program.hpp>
#include <support/stream_fixture.hpp>

#include <asyncio/subprocess.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace peers {

// What a program said and how it ended.
struct Ended {
    std::string output;
    std::string errors;
    int returncode;
};

// Runs a client to its end while the loop serves it.
inline asyncio::Coroutine<Ended> run_client(std::vector<std::string> command,
                                            std::string input = "") {
    namespace subprocess = asyncio::subprocess;
    const subprocess::Process client = co_await asyncio::create_subprocess_exec(
        std::move(command),
        {.stdin_ = subprocess::PIPE, .stdout_ = subprocess::PIPE, .stderr_ = subprocess::PIPE});
    auto [output, errors] = co_await client.communicate(std::move(input));
    co_return {std::move(output), std::move(errors), client.returncode().value_or(-1000)};
}

// A program in Python with asyncio, sys and socket imported; a server prints "port N".
inline std::vector<std::string> python(const std::string& program,
                                       const std::vector<std::string>& arguments = {}) {
    std::vector<std::string> command{"python3", "-u", "-c",
                                     "import asyncio, socket, ssl, sys, struct, os\n" + program};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
}

// asyncio.start_server() with the function `serve(reader, writer)` that the program defines.
inline std::string serving(const std::string& program) {
    return program + R"(
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1])
    await server.serve_forever()
asyncio.run(main())
)";
}

// A server that runs to the end of the scope, and that says "port N" when it is ready.
class PythonServer {
  public:
    explicit PythonServer(const std::string& program,
                          const std::vector<std::string>& arguments = {})
        : program_(python(program, arguments)) {
        EXPECT_TRUE(program_.says("port ") && program_.says("\n")) << program_.said();
        port_ = std::atoi(program_.said().c_str() + program_.said().find("port ") + 5);
    }
    [[nodiscard]] int port() const { return port_; }
    Program& program() { return program_; }

  private:
    Program program_;
    int port_ = 0;
};

// Returns once somebody listens on that port of 127.0.0.1.
inline asyncio::Coroutine<void> listening(int port) {
    for (int i = 0; i < 3000; ++i) {
        auto connection = co_await asyncio::try_(asyncio::open_connection("127.0.0.1", port));
        if (connection) {
            co_await end(connection.value().second);
            co_return;
        }
        co_await asyncio::sleep(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "nobody listens on port " << port;
}

// A folder that goes with the object.
class Folder {
  public:
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "peers-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) abort();
        path_ = name;
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] std::string operator/(const std::string& name) const {
        return (path_ / name).string();
    }
    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(*this / name, std::ios::binary) << text;
        return *this / name;
    }
    [[nodiscard]] std::string read(const std::string& name) const {
        std::ostringstream text;
        text << std::ifstream(*this / name, std::ios::binary).rdbuf();
        return text.str();
    }

  private:
    std::filesystem::path path_;
};

// nginx with one `server` block of the test's; the folder's "files" are what it serves.
class Nginx {
  public:
    explicit Nginx(const std::string& server)
        : folder_(),
          program_({"nginx", "-p", folder_ / "", "-c", configuration(server), "-e", "stderr"}) {}
    [[nodiscard]] const Folder& folder() const { return folder_; }
    std::string said() {
        program_.terminate();
        program_.wait();
        return program_.said();
    }

  private:
    std::string configuration(const std::string& server) const {
        return folder_.write("nginx.conf",
                             "daemon off; master_process off; pid nginx.pid;\n"
                             "error_log stderr warn;\n"
                             "events { worker_connections 512; }\n"
                             "http { access_log off; client_max_body_size 0;\n"
                             "  client_body_temp_path body; proxy_temp_path proxy;\n"
                             "  fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\n"
                             "  server { root " +
                                 (folder_ / "") + ";\n" + server + "\n} }\n");
    }

    Folder folder_;
    Program program_;
};

// The body of an answer that ends with its connection.
inline std::string body_of(const std::string& answer) {
    const std::size_t head = answer.find("\r\n\r\n");
    return head == answer.npos ? "no answer: " + answer : answer.substr(head + 4);
}

// Answers requests with `answer(target, body)`, one after the other on each connection.
template <class Answer>
asyncio::Coroutine<void> serve_http(asyncio::StreamReader reader, asyncio::StreamWriter writer,
                                    Answer answer) {
    for (;;) {
        std::string target;
        std::size_t size = 0;
        bool expects = false;
        while (auto line = co_await anext(reader)) {
            if (*line == "\r\n") break;
            if (target.empty()) target = line->substr(line->find(' ') + 1);
            if (line->starts_with("Content-Length: ")) size = std::stoul(line->substr(16));
            expects = expects || line->starts_with("Expect: 100");
        }
        if (target.empty()) break;
        target.resize(target.find(' '));
        if (expects) writer.write("HTTP/1.1 100 Continue\r\n\r\n");
        const std::string body = co_await reader.readexactly(static_cast<std::ptrdiff_t>(size));
        const std::string text = answer(target, body);
        writer.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(text.size()) +
                     "\r\n\r\n");
        writer.write(text);
        co_await writer.drain();
    }
    co_await end(writer);
}

}  // namespace peers
