// Random operations on random files, by Python's io and by aiofiles: the same results, line by
// line, and the same bytes in the end. Text is read by characters and lines after every kind of
// line end; positions of text, which Python makes opaque, are only 0 and the end.
#include <cstdio>
#include <random>

#include "files_fixture.hpp"

using aiofiles::File;
using asyncio::Coroutine;

namespace {

std::string hex(std::string_view bytes) {
    std::string text = "x";
    for (const char c : bytes) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(c));
        text += digits;
    }
    return text;
}

std::string unhex(std::string_view text) {
    std::string bytes;
    for (std::size_t i = 1; i + 1 < text.size(); i += 2) {
        bytes += static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
    }
    return bytes;
}

class Random {
  public:
    explicit Random(unsigned seed) : engine_(seed) {}
    int number(int low, int high) { return std::uniform_int_distribution(low, high)(engine_); }
    template <class T>
    T one_of(std::initializer_list<T> all) {
        return *(all.begin() + number(0, static_cast<int>(all.size()) - 1));
    }
    // Bytes with many line ends, some of them at the edges of buffers; for text, valid UTF-8
    // unless `broken`.
    std::string bytes(bool text, bool broken) {
        std::string out;
        const int pieces = one_of({0, 3, 30, 300, 3000});
        for (int i = 0; i < pieces; ++i) {
            out +=
                one_of<std::string>({"\n", "\r", "\r\n", "\r\r\n", "a", "word ", "ä", "€", "𝄞",
                                     std::string(static_cast<std::size_t>(number(0, 200)), 'z')});
            if (!text || (broken && number(0, 9) == 0)) {
                out +=
                    one_of<std::string>({"\xFF", "\xE2\x82", "\x80", "\xED\xA0\x80", "\xF0\x9F"});
            }
        }
        return out;
    }

  private:
    std::mt19937 engine_;
};

std::string text_script(Random& random, bool broken) {
    const auto newline = random.one_of<std::string>({"-", "x", "x0a", "x0d", "x0d0a"});
    const bool sized = !broken;
    // "\r", bytes that are dropped, and "\n" are one line end to Python and two to us.
    const bool may_drop = newline == "x0a" || newline == "x0d";
    const auto errors = !broken    ? std::string("-")
                        : may_drop ? random.one_of<std::string>({"strict", "replace", "ignore"})
                                   : random.one_of<std::string>({"strict", "replace"});
    const bool whole = errors == "strict";  // Python decodes ahead, so it finds errors earlier
    std::string script = "open " + random.one_of<std::string>({"r", "r+", "a+"}) + " " + newline +
                         " " + errors + " " + random.one_of<std::string>({"-1", "1", "300"}) +
                         "\nseek 0 0\n";
    const bool writes = script.find('+') != std::string::npos;
    for (int i = random.number(1, 25); i > 0 && !whole; --i) {
        switch (random.number(0, 6)) {
            case 0:
                script += "read " + std::to_string(random.number(0, sized ? 500 : 50)) + "\n";
                break;
            case 1:
                script += "readline -1\n";
                break;
            case 2:
                script += "readline " + std::to_string(random.number(0, 20)) + "\n";
                break;
            case 3:
                script += "readlines " + std::to_string(random.number(1, 200)) + "\n";
                break;
            case 4:
                script += "seek 0 0\n";
                break;
            case 5:
                script += "seek 0 2\nread 5\nseek 0 0\n";
                break;
            case 6:
                if (!writes) break;
                script += "seek 0 2\n";  // elsewhere it might break a character in two
                script += "write " + hex(random.bytes(true, false)) + "\nflush\nseek 0 0\n";
                break;
        }
    }
    // After an error ours is where it was, and Python's somewhere.
    return script + "mode\nread -1\n" + (whole ? "" : "read -1\n") + "close\nread 1\n";
}

std::string binary_script(Random& random) {
    std::string script = "open " + random.one_of<std::string>({"rb", "r+b", "a+b", "w+b", "wb"}) +
                         " - - " + random.one_of<std::string>({"-1", "0", "16", "300"}) +
                         "\nmode\n";
    for (int i = random.number(1, 40); i > 0; --i) {
        const std::string size = std::to_string(random.one_of({-1, 0, 1, 7, 100, 5'000, 70'000}));
        switch (random.number(0, 9)) {
            case 0:
            case 1:
                script += "read " + size + "\n";
                break;
            case 2:
                // None of a file that cannot be read is no error to Python's unbuffered files.
                script += "readline " + (size == "0" ? "3" : size) + "\n";
                break;
            case 3:
                script += "readlines " + std::to_string(random.number(-1, 300)) + "\n";
                break;
            case 4:
                script += "readinto " + std::to_string(random.number(0, 3'000)) + "\n";
                break;
            case 5:
                script += "seek " + std::to_string(random.number(-10, 20'000)) + " 0\n";
                break;
            case 6:
                script += "seek " + std::to_string(random.number(-300, 300)) + " " +
                          std::to_string(random.number(1, 2)) + "\n";
                break;
            case 7:
                script += "tell\n";
                break;
            case 8:
                script += "write " + hex(random.bytes(false, true)) + "\n";
                break;
            case 9:
                script +=
                    random.one_of<std::string>({"truncate -\n", "truncate 1000\n", "flush\n"});
                break;
        }
    }
    return script + "tell\nclose\nclose\ntell\n";
}

// As the Python below shows them.
std::string shown(const std::string& value) {
    return hex(value);
}
std::string shown(std::int64_t value) {
    return std::to_string(value);
}
std::string shown(const std::vector<std::string>& value) {
    std::string text = "list";
    for (const std::string& item : value) text += " " + hex(item);
    return text;
}

class Interpreter {
  public:
    explicit Interpreter(std::string path) : path_(std::move(path)) {}

    Coroutine<std::string> step(std::vector<std::string> words) {
        const std::string& name = words[0];
        const auto number = [&](std::size_t i) { return std::stoll(words[i]); };
        if (name == "open") {
            aiofiles::OpenOptions options{.buffering = static_cast<int>(number(4))};
            if (words[2] != "-") options.newline = unhex(words[2]);
            if (words[3] != "-") options.errors = words[3];
            file_ = co_await aiofiles::open(path_, words[1], options);
            co_return "opened";
        }
        if (name == "close") {
            co_await file_.close();
            co_return "closed";
        }
        if (name == "read") co_return shown(co_await file_.read(number(1)));
        if (name == "readline") co_return shown(co_await file_.readline(number(1)));
        if (name == "readlines") co_return shown(co_await file_.readlines(number(1)));
        if (name == "readinto") {
            std::string target(static_cast<std::size_t>(number(1)), '\0');
            target.resize(co_await file_.readinto(std::span(target)));
            co_return shown(target);
        }
        if (name == "write") {
            co_return shown(static_cast<std::int64_t>(co_await file_.write(unhex(words[1]))));
        }
        if (name == "seek") {
            co_return shown(co_await file_.seek(number(1), static_cast<int>(number(2))));
        }
        if (name == "tell") co_return shown(co_await file_.tell());
        if (name == "mode") co_return shown(file_.mode());
        if (name == "truncate") {
            co_return shown(
                co_await (words[1] == "-" ? file_.truncate() : file_.truncate(number(1))));
        }
        co_await file_.flush();
        co_return "None";
    }

  private:
    std::string path_;
    File file_;
};

std::vector<std::string> split(const std::string& text, char at) {
    std::vector<std::string> parts;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, at);) parts.push_back(part);
    return parts;
}

}  // namespace

// The same in Python.
const char* const by_python_program =
    R"py("""Runs the operations made up below on Python's own files.

Reads operations from standard input; each is a line of words, "-" for None.
Prints a line for each: the result, text and bytes as hex of UTF-8, or "!" and the exception.
"""

import sys


def optional(word, convert=str):
    return None if word == "-" else convert(word)


def unhex(word):
    return bytes.fromhex(word.removeprefix("x"))


def shown(value):
    if isinstance(value, str):
        return "x" + value.encode("utf-8", "surrogatepass").hex()
    if isinstance(value, (bytes, bytearray)):
        return "x" + bytes(value).hex()
    if isinstance(value, list):
        return " ".join(["list"] + [shown(item) for item in value])
    return str(value)


def open_file(path, mode, newline, errors, buffering):
    newline = optional(newline, lambda word: unhex(word).decode())
    return open(
        path,
        mode,
        int(buffering),
        errors=optional(errors),
        newline=newline,
        encoding=None if "b" in mode else "utf-8",
    )


def readinto(file, size):
    target = bytearray(size)
    return bytes(target[: file.readinto(target)])


def data(file, word):
    return unhex(word) if "b" in file.mode else unhex(word).decode()


OPERATIONS = {
    "read": lambda file, size: file.read(int(size)),
    "readline": lambda file, size: file.readline(int(size)),
    "readlines": lambda file, hint: file.readlines(int(hint)),
    "readinto": lambda file, size: readinto(file, int(size)),
    "write": lambda file, word: file.write(data(file, word)),
    "seek": lambda file, offset, whence: file.seek(int(offset), int(whence)),
    "tell": lambda file: file.tell(),
    "truncate": lambda file, size: file.truncate(optional(size, int)),
    "flush": lambda file: file.flush(),
    "mode": lambda file: file.mode,
}


def main():
    path = file = None
    for line in sys.stdin:
        name, *words = line.split()
        try:
            if name == "file":
                path = words[0]
                result = "file"
            elif name == "open":
                file = open_file(path, *words)
                result = "opened"
            elif name == "close":
                file.close()
                result = "closed"
            else:
                result = shown(OPERATIONS[name](file, *words))
        except Exception as error:
            result = "!" + type(error).__name__
        print(result)


main()
)py";

class Parity : public FilesTest {
  protected:
    void SetUp() override {
        if (std::system("python3 -c pass") != 0) GTEST_SKIP() << "python3 is not there";
    }

    // What Python makes of all of them, line by line.
    std::vector<std::string> by_python(const std::string& scripts) {
        put(dir / "program", by_python_program);
        put(dir / "scripts", scripts);
        const std::string command =
            "python3 -W ignore '" + dir / "program" + "' < '" + dir / "scripts" + "'";
        std::FILE* const pipe = ::popen(command.c_str(), "r");
        std::string output;
        char part[4096];
        while (const std::size_t size = std::fread(part, 1, sizeof part, pipe)) {
            output.append(part, size);
        }
        EXPECT_EQ(::pclose(pipe), 0);
        return split(output, '\n');
    }

    std::string by_us(const std::string& script, const std::string& path) {
        std::string output;
        run([&]() -> Coroutine<void> {
            Interpreter interpreter(path);
            for (const std::string& line : split(script, '\n')) {
                auto outcome = co_await asyncio::try_(interpreter.step(split(line, ' ')));
                std::string result;
                if (outcome.exception()) {
                    result = asyncio::exception_type_name(outcome.exception());
                    result = "!" + result.substr(result.rfind(':') + 1);
                } else {
                    result = outcome.value();
                }
                output += result + "\n";
            }
        });
        return output;
    }

    // `make(random)` gives what is in the file before, and the script.
    template <class Make>
    void compare(unsigned count, Make make) {
        std::vector<std::string> scripts;
        std::string all;
        for (unsigned seed = 1; seed <= count; ++seed) {
            Random random(seed);
            const auto [bytes, script] = make(random);
            const std::string name = std::to_string(seed);
            put(dir / ("by_python" + name), bytes);
            put(dir / ("by_us" + name), bytes);
            scripts.push_back(script);
            all += "file " + dir / ("by_python" + name) + "\n" + script;
        }
        const std::vector<std::string> theirs = by_python(all);
        std::size_t at = 0;
        for (unsigned seed = 1; seed <= count; ++seed) {
            const std::string name = std::to_string(seed);
            const std::string& script = scripts[seed - 1];
            const auto ours = split(by_us(script, dir / ("by_us" + name)), '\n');
            const auto lines = split(script, '\n');
            ++at;  // "file"
            for (std::size_t i = 0; i < lines.size(); ++i, ++at) {
                ASSERT_LT(at, theirs.size());
                ASSERT_EQ(ours[i], theirs[at])
                    << "seed " << seed << ", operation " << i << ": " << lines[i] << "\nof\n"
                    << script;
            }
            EXPECT_TRUE(contents_of(dir / ("by_us" + name)) ==
                        contents_of(dir / ("by_python" + name)))
                << "seed " << seed << "\n"
                << script;
        }
    }
};

using Case = std::pair<std::string, std::string>;

TEST_F(Parity, TextFiles) {
    compare(40, [](Random& random) -> Case {
        std::string bytes = random.bytes(true, false);
        return {std::move(bytes), text_script(random, false)};
    });
}

TEST_F(Parity, BrokenTextFiles) {
    compare(30, [](Random& random) -> Case {
        std::string bytes = random.bytes(true, true);
        return {std::move(bytes), text_script(random, true)};
    });
}

TEST_F(Parity, BinaryFiles) {
    compare(40, [](Random& random) -> Case {
        std::string bytes = random.bytes(false, true);
        return {std::move(bytes), binary_script(random)};
    });
}
