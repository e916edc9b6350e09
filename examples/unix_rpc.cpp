// Calls over a Unix socket: each request is a line with an id, a method and arguments, each
// answer a line with the same id. Answers come when they are ready, in any order. Shown in
// docs/howto/networking.md.
//
//   unix_rpc                          a server and a client that calls it
//   unix_rpc PATH                     serves until Ctrl-C
//   unix_rpc PATH METHOD ARGUMENT...  one call
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <asyncio.hpp>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

using asyncio::Coroutine;
using asyncio::StreamReader;
using asyncio::StreamWriter;

namespace {

// [server]
using Words = std::vector<std::string>;
using Methods = std::map<std::string, std::function<Coroutine<std::string>(Words)>>;

Coroutine<void> answer(std::string request, const Methods& methods, StreamWriter writer) {
    std::istringstream words(request);
    std::string id, method;
    words >> id >> method;
    std::string reply;
    try {
        if (!methods.contains(method)) throw asyncio::LookupError("no method " + method);
        Words arguments{std::istream_iterator<std::string>(words), {}};
        reply = "ok " + co_await methods.at(method)(arguments);
    } catch (const std::exception& error) {
        reply = std::string("error ") + error.what();
    }
    try {
        writer.write(id + " " + reply + "\n");
        co_await writer.drain();
    } catch (const asyncio::ConnectionError&) {  // nobody waits for it any more
    }
}

Coroutine<void> serve_client(StreamReader reader, StreamWriter writer, const Methods& methods) {
    co_await asyncio::with(asyncio::TaskGroup(), [&](asyncio::TaskGroup& group) -> Coroutine<void> {
        std::vector<asyncio::Task<void>> answers;
        while (auto line = co_await asyncio::anext(reader)) {
            std::erase_if(answers, [](const auto& task) { return task.done(); });
            answers.push_back(group.create_task(answer(*line, methods, writer)));
        }
        for (const auto& task : answers) task.cancel();  // nobody waits for them any more
    });
    writer.close();
    co_await writer.wait_closed();
}
// [/server]

// [client]
struct RemoteError : asyncio::RuntimeError {
    using RuntimeError::RuntimeError;
};

class Client {
  public:
    Client(StreamReader reader, StreamWriter writer) : reader_(reader), writer_(writer) {}

    Coroutine<std::string> call(std::string request) {
        const int id = ++last_id_;
        auto answer = calls_[id];
        writer_.write(fmt::format("{} {}\n", id, request));
        co_await writer_.drain();
        co_return co_await answer;
    }

    Coroutine<void> aenter() {
        reading_ = asyncio::create_task(read());
        co_return;
    }
    Coroutine<void> aexit(std::exception_ptr) {
        writer_.close();
        co_await reading_;
    }

  private:
    Coroutine<void> read() {
        try {
            while (auto line = co_await asyncio::anext(reader_)) settle(*line);
        } catch (const asyncio::ConnectionError&) {  // as good as its end
        }
        for (auto& [id, call] : calls_) {
            if (!call.done()) call.set_exception(RemoteError("the server is gone"));
        }
    }
    void settle(const std::string& line) {
        std::istringstream words(line);
        int id = 0;
        std::string outcome, text;
        words >> id >> outcome >> std::ws;
        std::getline(words, text);
        auto call = calls_.extract(id);
        if (!call || call.mapped().done()) return;  // it was cancelled meanwhile
        if (outcome == "ok") {
            call.mapped().set_result(text);
        } else {
            call.mapped().set_exception(RemoteError(text));
        }
    }

    StreamReader reader_;
    StreamWriter writer_;
    std::unordered_map<int, asyncio::Future<std::string>> calls_;
    int last_id_ = 0;
    asyncio::Task<void> reading_;
};
// [/client]

// [methods]
Methods make_methods() {
    struct News {
        asyncio::Event published;
        std::string text;
    };
    auto news = std::make_shared<News>();
    return {
        {"divide",
         [](Words numbers) -> Coroutine<std::string> {
             const int by = std::stoi(numbers.at(1));
             if (by == 0) throw asyncio::ValueError("division by zero");
             co_return std::to_string(std::stoi(numbers.at(0)) / by);
         }},
        {"news",
         [news](Words) -> Coroutine<std::string> {
             co_await news->published.wait();
             co_return news->text;
         }},
        {"publish",
         [news](Words words) -> Coroutine<std::string> {
             news->text = fmt::format("{}", fmt::join(words, " "));
             news->published.set();
             co_return "published";
         }},
    };
}
// [/methods]

Coroutine<asyncio::Server> serve(std::string path) {
    co_return co_await asyncio::start_unix_server(
        [methods = make_methods()](StreamReader reader, StreamWriter writer) {
            return serve_client(reader, writer, methods);
        },
        path);
}

Coroutine<void> serve_for_ever(std::string path) {
    auto server = co_await serve(path);
    co_await asyncio::with(server, [&] { return server.serve_forever(); });
}

// [show]
Coroutine<void> show(Client& client, std::string request) {
    try {
        fmt::print("{}: {}\n", request, co_await client.call(request));
    } catch (const RemoteError& error) {
        fmt::print("{}: failed: {}\n", request, error.what());
    }
}
// [/show]

Coroutine<void> call(std::string path, std::string request) {
    auto [reader, writer] = co_await asyncio::open_unix_connection(path);
    co_await asyncio::with(Client(reader, writer),
                           [&](Client& client) { return show(client, request); });
}

Coroutine<void> both(std::string path) {
    auto server = co_await serve(path);
    auto [reader, writer] = co_await asyncio::open_unix_connection(path);
    // [calls]
    co_await asyncio::with(Client(reader, writer), [](Client& client) -> Coroutine<void> {
        auto waiting = asyncio::create_task(show(client, "news"));
        co_await asyncio::gather(show(client, "divide 6 3"), show(client, "divide 6 0"),
                                 show(client, "multiply 6 3"));
        co_await show(client, "publish the answer that was asked for first");
        co_await waiting;
    });
    // [/calls]
    server.close();
    co_await server.wait_closed();
}

}  // namespace

int main(int argc, char** argv) try {
    const Words args(argv + 1, argv + argc);
    if (args.empty()) {
        std::string folder = (std::filesystem::temp_directory_path() / "rpc-XXXXXX").string();
        if (::mkdtemp(folder.data()) == nullptr) return EXIT_FAILURE;
        asyncio::run(both(folder + "/socket"));
        std::filesystem::remove_all(folder);
    } else if (args.size() == 1) {
        asyncio::run(serve_for_ever(args[0]));
    } else {
        asyncio::run(
            call(args[0], fmt::format("{}", fmt::join(args.begin() + 1, args.end(), " "))));
    }
} catch (const asyncio::KeyboardInterrupt&) {  // Ctrl-C: the usual end
}
