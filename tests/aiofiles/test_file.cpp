// Reading and writing, binary and text, on real files.
#include <fcntl.h>
#include <sys/stat.h>

#include "files_fixture.hpp"

using aiofiles::File;
using asyncio::Coroutine;
using namespace std::string_literals;

class Files : public FilesTest {};

TEST_F(Files, WhatIsWrittenIsReadBack) {
    run([this]() -> Coroutine<void> {
        File out = co_await aiofiles::open(dir / "a", "w");
        EXPECT_EQ(co_await out.write("first\nsecond\n"), 13U);
        EXPECT_EQ(co_await out.write("Grüße\n"), 6U) << "characters, not bytes";
        co_await out.close();
        EXPECT_TRUE(out.closed());
        EXPECT_EQ(contents_of(dir / "a"), "first\nsecond\nGrüße\n");
        File in = co_await aiofiles::open(dir / "a");
        EXPECT_EQ(co_await in.read(), "first\nsecond\nGrüße\n");
        EXPECT_EQ(co_await in.read(), "");
        co_await in.close();
        co_await in.close();
    });
}

TEST_F(Files, WithClosesAtTheEnd) {
    put(dir / "a", "one\ntwo\nthree");
    run([this]() -> Coroutine<void> {
        std::vector<std::string> lines;
        File seen;
        co_await asyncio::with(aiofiles::open(dir / "a"), [&](File& file) -> Coroutine<void> {
            seen = file;
            while (auto line = co_await anext(file)) lines.push_back(*line);
        });
        EXPECT_TRUE(seen.closed());
        EXPECT_EQ(lines, (std::vector<std::string>{"one\n", "two\n", "three"}));
    });
}

TEST_F(Files, WithClosesWhateverEndsTheBody) {
    run([this]() -> Coroutine<void> {
        File seen;
        const auto error = co_await thrown_in([&] {
            return asyncio::with(aiofiles::open(dir / "a", "w"),
                                 [&](File& file) -> Coroutine<void> {
                                     seen = file;
                                     co_await file.write("kept");
                                     throw asyncio::ValueError("mine");
                                 });
        });
        EXPECT_EQ(error, "ValueError: mine");
        EXPECT_TRUE(seen.closed());
        EXPECT_EQ(contents_of(dir / "a"), "kept");
    });
}

TEST_F(Files, OpeningAwaitedTwiceGivesTheSameFile) {
    put(dir / "a", "x");
    run([this]() -> Coroutine<void> {
        auto opening = aiofiles::open(dir / "a");
        File first = co_await opening;
        File second = co_await opening;
        EXPECT_EQ(first, second);
        co_await first.close();
        EXPECT_TRUE(second.closed());
    });
}

TEST_F(Files, AFileIsAManagerToo) {
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "wb");
        co_await asyncio::with(file, [](File& same) -> Coroutine<void> {
            co_await same.write(std::as_bytes(std::span("ab", 2)));
        });
        EXPECT_TRUE(file.closed());
        EXPECT_EQ(contents_of(dir / "a"), "ab");
    });
}

TEST_F(Files, EveryModeDoesWhatPythonsDoes) {
    run([this]() -> Coroutine<void> {
        put(dir / "a", "12345");
        File file = co_await aiofiles::open(dir / "a", "r+b");
        EXPECT_EQ(file.mode(), "rb+");
        EXPECT_EQ(co_await file.read(2), "12");
        co_await file.write("X");
        EXPECT_EQ(co_await file.tell(), 3);
        EXPECT_EQ(co_await file.read(), "45");
        co_await file.close();
        EXPECT_EQ(contents_of(dir / "a"), "12X45");

        file = co_await aiofiles::open(dir / "a", "ab+");
        EXPECT_EQ(file.mode(), "ab+");
        EXPECT_EQ(co_await file.tell(), 5);
        co_await file.seek(0);
        co_await file.write("end");
        EXPECT_EQ(co_await file.seek(0), 0);
        EXPECT_EQ(co_await file.read(), "12X45end");
        co_await file.close();

        file = co_await aiofiles::open(dir / "a", "w+");
        EXPECT_EQ(file.mode(), "w+");
        EXPECT_EQ(co_await file.read(), "");
        co_await file.write("new");
        co_await file.seek(0);
        EXPECT_EQ(co_await file.read(), "new");
        co_await file.close();

        file = co_await aiofiles::open(dir / "b", "x");
        co_await file.close();
        EXPECT_EQ(co_await thrown_in(
                      [this]() -> Coroutine<void> { co_await aiofiles::open(dir / "b", "x"); }),
                  "FileExistsError: [Errno 17] File exists: '" + dir / "b" + "'");
    });
}

TEST_F(Files, BinaryReadsOfEverySize) {
    std::string bytes;
    for (int i = 0; i < 300'000; ++i) bytes += static_cast<char>(i * 7);
    put(dir / "a", bytes);
    run([this, &bytes]() -> Coroutine<void> {
        for (const std::int64_t size : {1'000, 4'096, 65'536, 299'999, 300'000, 1'000'000}) {
            File file = co_await aiofiles::open(dir / "a", "rb");
            std::string all;
            for (;;) {
                std::string part = co_await file.read(size);
                if (part.empty()) break;
                EXPECT_LE(std::ssize(part), size);
                all += part;
            }
            EXPECT_EQ(all, bytes) << size;
            co_await file.close();
        }
        File file = co_await aiofiles::open(dir / "a", "rb");
        EXPECT_EQ(co_await file.read(1LL << 40), bytes) << "a size is not memory";
        co_await file.close();
    });
}

TEST_F(Files, ReadintoFillsTheCallersMemory) {
    put(dir / "a", std::string(200'000, 'x') + "end");
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "rb");
        std::string target(150'000, '\0');
        EXPECT_EQ(co_await file.readinto(std::span(target)), 150'000U);
        EXPECT_EQ(target, std::string(150'000, 'x'));
        EXPECT_EQ(co_await file.readinto(std::span(target)), 50'003U);
        EXPECT_EQ(target.substr(50'000, 3), "end");
        EXPECT_EQ(co_await file.readinto(std::span(target)), 0U);
        EXPECT_EQ(co_await file.readinto(std::span<char>()), 0U);
        co_await file.close();
    });
}

TEST_F(Files, PeekAndRead1DoNotGoFar) {
    put(dir / "a", "abcdef");
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "rb");
        EXPECT_EQ(co_await file.peek(1), "abcdef");
        EXPECT_EQ(co_await file.read(2), "ab");
        EXPECT_EQ(co_await file.peek(), "cdef");
        EXPECT_EQ(co_await file.read1(3), "cde");
        EXPECT_EQ(co_await file.read1(), "f");
        EXPECT_EQ(co_await file.read1(), "");
        EXPECT_EQ(co_await file.peek(), "");
        co_await file.close();
    });
}

TEST_F(Files, SeekAndTell) {
    put(dir / "a", "0123456789");
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "rb");
        EXPECT_EQ(co_await file.read(4), "0123");
        EXPECT_EQ(co_await file.seek(-2, SEEK_CUR), 2);
        EXPECT_EQ(co_await file.read(2), "23");
        EXPECT_EQ(co_await file.seek(-3, SEEK_END), 7);
        EXPECT_EQ(co_await file.tell(), 7);
        EXPECT_EQ(co_await file.read(), "789");
        EXPECT_EQ(co_await file.seek(100), 100);
        EXPECT_EQ(co_await file.read(), "");
        EXPECT_EQ(co_await file.seek(9), 9);
        EXPECT_EQ(co_await file.read(), "9");
        co_await file.close();
    });
}

TEST_F(Files, TruncateKeepsThePosition) {
    put(dir / "a", "0123456789");
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "r+b");
        EXPECT_EQ(co_await file.read(4), "0123");
        EXPECT_EQ(co_await file.truncate(), 4);
        EXPECT_EQ(co_await file.tell(), 4);
        EXPECT_EQ(contents_of(dir / "a"), "0123");
        EXPECT_EQ(co_await file.truncate(2), 2);
        EXPECT_EQ(co_await file.tell(), 4);
        co_await file.write("X");
        co_await file.close();
        EXPECT_EQ(contents_of(dir / "a"), "01\0\0X"s);
    });
}

TEST_F(Files, SmallWritesWaitInTheBuffer) {
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "wb");
        co_await file.write("small");
        EXPECT_EQ(contents_of(dir / "a"), "");
        EXPECT_EQ(co_await file.tell(), 5);
        co_await file.flush();
        EXPECT_EQ(contents_of(dir / "a"), "small");
        co_await file.write(std::string(200'000, 'x'));
        EXPECT_EQ(contents_of(dir / "a").size(), 200'005U);
        co_await file.close();

        file = co_await aiofiles::open(dir / "a", "wb", {.buffering = 0});
        co_await file.write("at once");
        EXPECT_EQ(contents_of(dir / "a"), "at once");
        co_await file.close();

        file = co_await aiofiles::open(dir / "a", "wb", {.buffering = 4});
        co_await file.write("123");
        EXPECT_EQ(contents_of(dir / "a"), "");
        co_await file.write("45");
        EXPECT_EQ(contents_of(dir / "a").substr(0, 3), "123");
        co_await file.close();
        EXPECT_EQ(contents_of(dir / "a"), "12345");

        file = co_await aiofiles::open(dir / "a", "w", {.buffering = 1});
        EXPECT_TRUE(file.line_buffering());
        co_await file.write("half a line");
        EXPECT_EQ(contents_of(dir / "a"), "");
        co_await file.write(" and the rest\n");
        EXPECT_EQ(contents_of(dir / "a"), "half a line and the rest\n");
        co_await file.close();
    });
}

TEST_F(Files, WritelinesAddsNothing) {
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "w");
        co_await file.writelines(std::vector<std::string>{"a", "b\n", "c"});
        const char* const more[] = {"d", "e"};
        co_await file.writelines(more);
        co_await file.close();
        EXPECT_EQ(contents_of(dir / "a"), "ab\ncde");
    });
}

TEST_F(Files, LinesBySizeAndHint) {
    put(dir / "a", "aaa\nbb\ncccc\nd");
    run([this]() -> Coroutine<void> {
        for (const char* const mode : {"r", "rb"}) {
            File file = co_await aiofiles::open(dir / "a", mode);
            EXPECT_EQ(co_await file.readline(2), "aa");
            EXPECT_EQ(co_await file.readline(5), "a\n");
            EXPECT_EQ(co_await file.readline(0), "");
            EXPECT_EQ(co_await file.readlines(4), (std::vector<std::string>{"bb\n", "cccc\n"}));
            EXPECT_EQ(co_await file.readlines(), (std::vector<std::string>{"d"}));
            EXPECT_EQ(co_await file.readlines(), (std::vector<std::string>{}));
            EXPECT_EQ(co_await file.readline(), "");
            co_await file.close();
        }
    });
}

TEST_F(Files, DescriptorsAreTakenOverOrLeft) {
    put(dir / "a", "line 1\nline 2\n");
    run([this]() -> Coroutine<void> {
        const int fd = ::open((dir / "a").c_str(), O_RDONLY | O_CLOEXEC);
        File file = co_await aiofiles::open(fd, "r", {.closefd = false});
        EXPECT_EQ(file.fileno(), fd);
        EXPECT_EQ(file.name(), std::to_string(fd));
        EXPECT_EQ(co_await file.readline(), "line 1\n");
        co_await file.close();
        EXPECT_EQ(::lseek(fd, 0, SEEK_CUR), 7) << "where the reader stopped";
        file = co_await aiofiles::open(fd);
        EXPECT_EQ(co_await file.read(), "line 2\n");
        co_await file.close();
        EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
    });
}

TEST_F(Files, TheOpenerOpens) {
    put(dir / "a", "x");
    run([this]() -> Coroutine<void> {
        int flags_seen = 0;
        aiofiles::OpenOptions options;
        options.opener = [&](const std::string& path, int flags) {
            flags_seen = flags;
            return ::open(path.c_str(), flags, 0600);
        };
        File file = co_await aiofiles::open(dir / "new", "x", options);
        EXPECT_EQ(flags_seen & (O_CREAT | O_EXCL | O_WRONLY), O_CREAT | O_EXCL | O_WRONLY);
        co_await file.close();
        options.opener = [](const std::string&, int) { return -7; };
        EXPECT_EQ(co_await thrown_in([&]() -> Coroutine<void> {
                      co_await aiofiles::open(dir / "a", "r", options);
                  }),
                  "ValueError: opener returned -7");
        options.opener = [](const std::string&, int) -> int {
            throw asyncio::LookupError("no such thing");
        };
        EXPECT_EQ(co_await thrown_in([&]() -> Coroutine<void> {
                      co_await aiofiles::open(dir / "a", "r", options);
                  }),
                  "LookupError: no such thing");
    });
}

TEST_F(Files, PropertiesTellWhatItIs) {
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "wt");
        EXPECT_EQ(file.name(), dir / "a");
        EXPECT_EQ(file.mode(), "wt");
        EXPECT_EQ(file.encoding(), "utf-8");
        EXPECT_EQ(file.errors(), "strict");
        EXPECT_FALSE(file.line_buffering());
        EXPECT_FALSE(co_await file.readable());
        EXPECT_TRUE(co_await file.writable());
        EXPECT_TRUE(co_await file.seekable());
        EXPECT_FALSE(co_await file.isatty());
        EXPECT_EQ(file.repr(), "<File name='" + dir / "a" + "' mode='wt'>");
        EXPECT_GE(file.fileno(), 0);
        co_await file.close();
        EXPECT_EQ(File().repr(), "<no file>");
    });
}

TEST_F(Files, BufferIsTheSameFileAsBytes) {
    run([this]() -> Coroutine<void> {
        File text = co_await aiofiles::open(dir / "a", "w+", {.newline = "\r\n"});
        co_await text.write("a\n");
        File bytes = text.buffer();
        EXPECT_EQ(co_await bytes.write("b\n"), 2U);
        co_await text.seek(0);
        EXPECT_EQ(co_await bytes.read(), "a\r\nb\n");
        File raw = bytes.raw();
        co_await raw.write("!");
        EXPECT_EQ(contents_of(dir / "a"), "a\r\nb\n!");
        File detached = text.detach();
        EXPECT_EQ(co_await thrown_in([&] { return text.read(); }),
                  "ValueError: the file has been detached");
        co_await detached.close();
        EXPECT_TRUE(bytes.closed());
    });
}

TEST_F(Files, ManyTasksOnOneFileTakeTurns) {
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "w+b", {.buffering = 0});
        co_await asyncio::with(
            asyncio::TaskGroup(), [&](asyncio::TaskGroup& group) -> Coroutine<void> {
                for (int i = 0; i < 50; ++i) {
                    group.create_task([file, i]() mutable -> Coroutine<void> {
                        co_await file.write(std::to_string(100 + i) + std::string(996, '.') + "\n");
                    });
                }
                co_return;
            });
        co_await file.seek(0);
        std::set<std::string> starts;
        auto tasks = std::vector<asyncio::Task<std::string>>();
        for (int i = 0; i < 50; ++i) {
            tasks.push_back(asyncio::create_task([file]() mutable -> Coroutine<std::string> {
                co_return co_await file.readline();
            }));
        }
        for (auto& line : co_await asyncio::gather(tasks)) {
            EXPECT_EQ(line.size(), 1'000U);
            starts.insert(line.substr(0, 3));
        }
        EXPECT_EQ(starts.size(), 50U);
        EXPECT_EQ(*starts.begin(), "100");
        co_await file.close();
    });
}

TEST_F(Files, DroppedUnclosedItIsWrittenAndClosed) {
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "w");
        co_await file.write("not lost");
        file = File();
    });
    EXPECT_EQ(contents_of(dir / "a"), "not lost");
}

TEST_F(Files, DroppedAfterTheLoopItIsWrittenAndClosed) {
    File file;
    loop.run_until_complete(loop.create_task([&]() -> Coroutine<void> {
        file = co_await aiofiles::open(dir / "a", "w");
        co_await file.write("not lost");
    }));
    close();
    file = File();
    EXPECT_EQ(contents_of(dir / "a"), "not lost");
    EXPECT_EQ(open_in(dir.path()), 0);
}

TEST_F(Files, OneFileOnTwoLoopsOneAfterTheOther) {
    put(dir / "a", "1\n2\n");
    File file;
    // Two readers, so that one of them has to wait for the other.
    const auto read_two = [&]() -> Coroutine<void> {
        if (!file) file = co_await aiofiles::open(dir / "a");
        auto [first, second] = co_await asyncio::gather(file.readline(), file.readline());
        EXPECT_EQ(first + second, co_await file.tell() == 4 ? "1\n2\n" : "?");
        co_await file.seek(0);
    };
    loop.run_until_complete(loop.create_task(read_two));
    close();
    const asyncio::EventLoopPtr other = asyncio::new_event_loop();
    other->run_until_complete(other->create_task(read_two));
    other->run_until_complete(other->create_task([&] { return file.close(); }));
}

TEST_F(Files, ACFileIsWrapped) {
    run([this]() -> Coroutine<void> {
        std::FILE* const c_file = std::fopen((dir / "a").c_str(), "w");
        std::fputs("by C, ", c_file);
        File file = co_await aiofiles::wrap(c_file, "w");
        co_await file.write("by us");
        co_await file.close();
        std::fclose(c_file);
        EXPECT_EQ(contents_of(dir / "a"), "by C, by us");
    });
}
