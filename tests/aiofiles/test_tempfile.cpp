// aiofiles::tempfile: what is temporary goes away, and not before its time.
#include <fcntl.h>
#include <sys/stat.h>

#include "files_fixture.hpp"

namespace tempfile = aiofiles::tempfile;
using aiofiles::File;
using asyncio::Coroutine;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Tempfile : public FilesTest {
  protected:
    [[nodiscard]] std::vector<std::string> entries() const {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
            names.push_back(entry.path().filename());
        }
        return names;
    }
};

TEST_F(Tempfile, ATemporaryFileHasNoName) {
    run([this]() -> Coroutine<void> {
        co_await asyncio::with(tempfile::TemporaryFile("w+b", {.dir = dir.path()}),
                               [this](File& file) -> Coroutine<void> {
                                   EXPECT_TRUE(entries().empty());
                                   EXPECT_EQ(file.name(), std::to_string(file.fileno()));
                                   co_await file.write("x");
                                   co_await file.seek(0);
                                   EXPECT_EQ(co_await file.read(), "x");
                               });
    });
}

TEST_F(Tempfile, ANamedOneIsRemovedByClose) {
    run([this]() -> Coroutine<void> {
        File file = co_await tempfile::NamedTemporaryFile(
            "w", {.suffix = ".txt", .prefix = "mine-", .dir = dir.path()});
        EXPECT_THAT(file.name(), StartsWith(dir / "mine-"));
        EXPECT_TRUE(file.name().ends_with(".txt"));
        EXPECT_EQ(file.name().size(), (dir / "mine-").size() + 8 + 4);
        struct ::stat status{};
        EXPECT_EQ(::stat(file.name().c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 0777, 0600U);
        co_await file.write("text");
        co_await file.close();
        EXPECT_TRUE(entries().empty());
    });
}

TEST_F(Tempfile, DeleteOnCloseAndDelete) {
    run([this]() -> Coroutine<void> {
        std::string name;
        co_await asyncio::with(
            tempfile::NamedTemporaryFile("w", {.dir = dir.path(), .delete_on_close = false}),
            [&](File& file) -> Coroutine<void> {
                name = file.name();
                co_await file.write("still here");
                co_await file.close();
                EXPECT_EQ(contents_of(name), "still here");
            });
        EXPECT_TRUE(entries().empty());
        co_await asyncio::with(
            tempfile::NamedTemporaryFile("w", {.dir = dir.path(), .delete_ = false}),
            [&](File& file) -> Coroutine<void> { co_await file.write("for ever"); });
        EXPECT_EQ(entries().size(), 1U);
        // Somebody else removed it: no error.
        co_await asyncio::with(
            tempfile::NamedTemporaryFile("w", {.dir = dir.path()}),
            [&](File& file) -> Coroutine<void> { co_await aiofiles::os::remove(file.name()); });
    });
}

TEST_F(Tempfile, WhatIsDroppedGoes) {
    run([this]() -> Coroutine<void> {
        co_await tempfile::NamedTemporaryFile("w", {.dir = dir.path()});
        co_await tempfile::NamedTemporaryFile("w", {.dir = dir.path(), .delete_on_close = false});
        File closed = co_await tempfile::NamedTemporaryFile(
            "w", {.dir = dir.path(), .delete_on_close = false});
        co_await closed.close();
        EXPECT_TRUE(std::filesystem::exists(closed.name()));
        closed = File();
        co_await tempfile::TemporaryDirectory({.dir = dir.path()});
        co_await loop.shutdown_default_executor();
        co_await asyncio::sleep(0);
        EXPECT_TRUE(entries().empty());
    });
}

TEST_F(Tempfile, TheDirectoryHasToBeThere) {
    run([this]() -> Coroutine<void> {
        for (const bool named : {false, true}) {
            EXPECT_THAT(co_await thrown_in([&]() -> Coroutine<void> {
                            const tempfile::TempFileOptions options{.dir = dir / "no"};
                            co_await (named ? tempfile::NamedTemporaryFile("w", options)
                                            : tempfile::TemporaryFile("w", options));
                        }),
                        StartsWith("FileNotFoundError: [Errno 2] No such file or directory: '" +
                                   dir / "no/tmp"));
        }
        EXPECT_THAT(co_await thrown_in([this]() -> Coroutine<void> {
                        co_await tempfile::TemporaryDirectory({.dir = dir / "no"});
                    }),
                    StartsWith("FileNotFoundError"));
        EXPECT_EQ(
            co_await thrown_in([]() -> Coroutine<void> { co_await tempfile::TemporaryFile("rw"); }),
            "ValueError: must have exactly one of create/read/write/append mode");
        EXPECT_EQ(co_await thrown_in([]() -> Coroutine<void> {
                      co_await tempfile::TemporaryFile("w", {.suffix = std::string(1, '\0')});
                  }),
                  "ValueError: embedded null byte");
    });
}

TEST_F(Tempfile, TheEnvironmentSaysWhere) {
    const char* const before = std::getenv("TMPDIR");
    const std::string saved = before != nullptr ? before : "";
    ::setenv("TMPDIR", dir.path().c_str(), 1);
    run([this]() -> Coroutine<void> {
        File file = co_await tempfile::NamedTemporaryFile();
        EXPECT_THAT(file.name(), StartsWith(dir / "tmp"));
        EXPECT_EQ(file.mode(), "rb+");
        co_await file.close();
    });
    saved.empty() ? ::unsetenv("TMPDIR") : ::setenv("TMPDIR", saved.c_str(), 1);
}

TEST_F(Tempfile, ADirectoryGoesWithEverythingInIt) {
    put(dir / "outside", "stays");
    run([this]() -> Coroutine<void> {
        std::string name;
        co_await asyncio::with(
            tempfile::TemporaryDirectory({.suffix = ".d", .prefix = "p-", .dir = dir.path()}),
            [&](std::string& path) -> Coroutine<void> {
                name = path;
                co_await aiofiles::os::makedirs(path + "/a/b/c");
                for (int i = 0; i < 300; ++i) put(path + "/a/" + std::to_string(i), "x");
                co_await aiofiles::os::symlink(dir / "outside", path + "/link");
                co_await aiofiles::os::symlink(dir.path(), path + "/a/dirlink");
            });
        EXPECT_THAT(name, StartsWith(dir / "p-"));
        EXPECT_TRUE(name.ends_with(".d"));
        EXPECT_EQ(entries(), (std::vector<std::string>{"outside"}));
        EXPECT_EQ(contents_of(dir / "outside"), "stays");

        auto directory = co_await tempfile::TemporaryDirectory({.dir = dir.path()});
        std::filesystem::remove(directory.name());
        EXPECT_THAT(co_await thrown_in([&] { return directory.cleanup(); }),
                    StartsWith("FileNotFoundError"));
        co_await directory.close();
        EXPECT_THAT(thrown_by([] { static_cast<void>(tempfile::AsyncTemporaryDirectory().name()); }),
                    StartsWith("RuntimeError: this names no directory"));
    });
}

TEST_F(Tempfile, ASpooledFileStaysInMemoryUntilItGrows) {
    run([this]() -> Coroutine<void> {
        co_await asyncio::with(
            tempfile::SpooledTemporaryFile("w+b", {.dir = dir.path(), .max_size = 10}),
            [this](tempfile::AsyncSpooledTemporaryFile& file) -> Coroutine<void> {
                EXPECT_EQ(co_await file.write("0123456789"), 10U);
                EXPECT_EQ(open_in(dir.path()), 0);
                EXPECT_EQ(co_await file.tell(), 10);
                EXPECT_EQ(co_await file.seek(2), 2);
                EXPECT_EQ(co_await file.read(3), "234");
                EXPECT_EQ(co_await file.readline(), "56789");
                co_await file.seek(4);
                co_await file.write("XY");
                EXPECT_EQ(co_await file.truncate(8), 8);
                EXPECT_EQ(co_await file.seek(0, SEEK_END), 8);
                EXPECT_EQ(co_await thrown_in([&] { return file.seek(-1); }),
                          "ValueError: negative seek position -1");
                co_await file.write("abc");
                EXPECT_EQ(open_in(dir.path()), 1) << "rolled over";
                EXPECT_EQ(co_await file.tell(), 11);
                co_await file.seek(0);
                EXPECT_EQ(co_await file.read(), "0123XY67abc");
            });
    });
}

TEST_F(Tempfile, SpooledTextAndRollover) {
    run([this]() -> Coroutine<void> {
        auto file =
            co_await tempfile::SpooledTemporaryFile("w+", {.newline = "\r\n", .dir = dir.path()});
        EXPECT_EQ(file.encoding(), "utf-8");
        EXPECT_EQ(co_await file.write("ä\nb\n"), 4U);
        co_await file.seek(0);
        EXPECT_EQ(co_await file.readline(), "ä\r\n");
        co_await file.rollover();
        co_await file.rollover();
        EXPECT_EQ(open_in(dir.path()), 1);
        EXPECT_EQ(co_await file.readline(), "b\r\n") << "from where it stood";
        co_await file.close();
        EXPECT_TRUE(file.closed());
        EXPECT_THAT(co_await thrown_in([&] { return file.rollover(); }),
                    StartsWith("ValueError: I/O operation on closed file"));

        file = co_await tempfile::SpooledTemporaryFile("w+b", {.dir = dir.path()});
        co_await file.write(std::string(1'000'000, 'x'));
        EXPECT_EQ(open_in(dir.path()), 0) << "no limit";
        EXPECT_GE(co_await file.fileno(), 0);
        EXPECT_EQ(open_in(dir.path()), 1);
        co_await file.close();

        file = co_await tempfile::SpooledTemporaryFile("w+b", {.dir = dir / "no", .max_size = 1});
        EXPECT_THAT(co_await thrown_in([&] { return file.write("too much"); }),
                    StartsWith("FileNotFoundError"));
        co_await file.seek(0);
        EXPECT_EQ(co_await file.read(), "too much") << "nothing is lost";
        co_await file.close();
    });
}
