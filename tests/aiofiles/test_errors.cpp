// Misuse and failures: the right error, by type and text, and nothing lost or left open.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <asyncio/log.hpp>
#include <csignal>
#include <mutex>

#include "files_fixture.hpp"

using aiofiles::File;
using asyncio::Coroutine;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class FileErrors : public FilesTest {
  protected:
    Coroutine<std::string> open_error(std::string path, std::string mode,
                                      aiofiles::OpenOptions options = {}) {
        return thrown_in(
            [=]() -> Coroutine<void> { co_await aiofiles::open(path, mode, options); });
    }
};

TEST_F(FileErrors, ModesThatMeanNothing) {
    run([this]() -> Coroutine<void> {
        const std::string path = dir / "never";
        for (const char* const mode : {"", "+", "b", "t", "rw", "wa", "xr", "raw"}) {
            EXPECT_THAT(co_await open_error(path, mode),
                        StartsWith("ValueError: must have exactly one of"))
                << mode;
        }
        for (const char* const mode : {"U", "rr", "r++", "rbb", "q", "r w"}) {
            EXPECT_EQ(co_await open_error(path, mode),
                      std::string("ValueError: invalid mode: '") + mode + "'");
        }
        EXPECT_EQ(co_await open_error(path, "rbt"),
                  "ValueError: can't have text and binary mode at once");
        EXPECT_FALSE(std::filesystem::exists(path));
    });
}

TEST_F(FileErrors, OptionsThatContradict) {
    run([this]() -> Coroutine<void> {
        const std::string path = dir / "never";
        EXPECT_EQ(co_await open_error(path, "wb", {.encoding = "utf-8"}),
                  "ValueError: binary mode doesn't take an encoding argument");
        EXPECT_EQ(co_await open_error(path, "wb", {.errors = "strict"}),
                  "ValueError: binary mode doesn't take an errors argument");
        EXPECT_EQ(co_await open_error(path, "wb", {.newline = ""}),
                  "ValueError: binary mode doesn't take a newline argument");
        EXPECT_EQ(co_await open_error(path, "w", {.buffering = 0}),
                  "ValueError: can't have unbuffered text I/O");
        EXPECT_EQ(co_await open_error(path, "w", {.buffering = -2}),
                  "ValueError: invalid buffering size");
        EXPECT_EQ(co_await open_error(path, "w", {.newline = "x"}),
                  "ValueError: illegal newline value: 'x'");
        EXPECT_THAT(co_await open_error(path, "w", {.encoding = "klingon"}),
                    StartsWith("LookupError: unknown encoding: klingon"));
        EXPECT_EQ(co_await open_error(path, "w", {.errors = "shrug"}),
                  "LookupError: unknown error handler name 'shrug'");
        EXPECT_EQ(co_await open_error(path, "w", {.closefd = false}),
                  "ValueError: Cannot use closefd=False with file name");
        EXPECT_EQ(co_await open_error(path + std::string(1, '\0') + "x", "w"),
                  "ValueError: embedded null byte");
        EXPECT_FALSE(std::filesystem::exists(path));
        EXPECT_EQ(co_await thrown_in([]() -> Coroutine<void> { co_await aiofiles::open(-1); }),
                  "ValueError: negative file descriptor");
    });
}

TEST_F(FileErrors, TheSystemsReasonsWithThePath) {
    run([this]() -> Coroutine<void> {
        const std::string path = dir / "a";
        EXPECT_EQ(co_await open_error(path, "r"),
                  "FileNotFoundError: [Errno 2] No such file or directory: '" + path + "'");
        EXPECT_EQ(
            co_await open_error(dir / "no/such", "w"),
            "FileNotFoundError: [Errno 2] No such file or directory: '" + dir / "no/such" + "'");
        EXPECT_EQ(co_await open_error(dir.path(), "r"),
                  "IsADirectoryError: [Errno 21] Is a directory: '" + dir.path() + "'");
        EXPECT_EQ(co_await open_error(dir.path(), "w"),
                  "IsADirectoryError: [Errno 21] Is a directory: '" + dir.path() + "'");
        put(path, "");
        EXPECT_EQ(co_await open_error(path + "/x", "r"),
                  "NotADirectoryError: [Errno 20] Not a directory: '" + path + "/x'");
        EXPECT_THAT(co_await open_error(dir / std::string(300, 'x'), "w"),
                    StartsWith("OSError: [Errno 36] File name too long"));
        EXPECT_THAT(co_await thrown_in([]() -> Coroutine<void> { co_await aiofiles::open(987); }),
                    StartsWith("OSError: [Errno 9] Bad file descriptor: descriptor 987"));
        if (::geteuid() != 0) {
            ::chmod(path.c_str(), 0);
            EXPECT_EQ(co_await open_error(path, "r"),
                      "PermissionError: [Errno 13] Permission denied: '" + path + "'");
        }
    });
}

TEST_F(FileErrors, AClosedFileSaysSo) {
    put(dir / "a", "x");
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "r+b");
        co_await file.close();
        const auto text = "ValueError: I/O operation on closed file '" + dir / "a" + "'";
        char byte = 0;
        const std::span<char> target(&byte, 1);
        EXPECT_EQ(co_await thrown_in([&] { return file.read(); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return file.read1(); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return file.readinto(target); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return file.peek(); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return file.readline(); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return file.readlines(); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return anext(file); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return file.write("x"); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return file.writelines(std::vector{"x"}); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return file.flush(); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return file.seek(0); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return file.tell(); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return file.truncate(); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return file.isatty(); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return file.readable(); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return file.aenter(); }), text);
        EXPECT_EQ(thrown_by([&] { static_cast<void>(file.fileno()); }), text);
        EXPECT_EQ(file.repr(), "<File name='" + dir / "a" + "' mode='rb+' closed>");
    });
}

TEST_F(FileErrors, TheWrongDirectionOrKind) {
    put(dir / "a", "x");
    run([this]() -> Coroutine<void> {
        const auto unsupported = [&](const std::string& what, const std::string& mode) {
            return "aiofiles::UnsupportedOperation: " + what + ": '" + dir / "a" +
                   "' is open in mode '" + mode + "'";
        };
        File in = co_await aiofiles::open(dir / "a");
        EXPECT_EQ(co_await thrown_in([&] { return in.write("x"); }),
                  unsupported("not writable", "r"));
        EXPECT_EQ(co_await thrown_in([&] { return in.truncate(); }),
                  unsupported("not writable", "r"));
        EXPECT_EQ(co_await thrown_in([&] { return in.peek(); }),
                  unsupported("peek() is for binary files, opened with 'b'", "r"));
        EXPECT_THAT(co_await thrown_in([&] { return in.seek(3, SEEK_CUR); }),
                    HasSubstr("can't do nonzero cur-relative seeks"));
        EXPECT_THAT(co_await thrown_in([&] { return in.seek(-1, SEEK_END); }),
                    HasSubstr("can't do nonzero end-relative seeks"));
        EXPECT_EQ(co_await thrown_in([&] { return in.seek(-1); }),
                  "ValueError: negative seek position -1");
        EXPECT_THAT(co_await thrown_in([&] { return in.seek(0, 77); }),
                    StartsWith("ValueError: invalid whence (77"));
        co_await in.close();

        File out = co_await aiofiles::open(dir / "a", "wb");
        EXPECT_EQ(co_await thrown_in([&] { return out.read(); }), unsupported("read", "wb"));
        EXPECT_EQ(co_await thrown_in([&] { return out.readline(); }), unsupported("read", "wb"));
        EXPECT_THAT(thrown_by([&] { static_cast<void>(out.encoding()); }),
                    StartsWith("aiofiles::UnsupportedOperation: encoding() is of text files"));
        EXPECT_EQ(co_await thrown_in([&] { return out.seek(-1); }),
                  "OSError: [Errno 22] Invalid argument: '" + dir / "a" + "'");
        EXPECT_THAT(co_await thrown_in([&] { return out.truncate(-1); }),
                    StartsWith("OSError: [Errno 22]"));
        co_await out.close();
        EXPECT_THAT(thrown_by([] { static_cast<void>(File().read()); }),
                    StartsWith("RuntimeError: this File names nothing"));
    });
}

TEST_F(FileErrors, UnsupportedOperationIsAnOSErrorWithoutANumber) {
    const aiofiles::UnsupportedOperation error("no");
    const asyncio::OSError& base = error;
    EXPECT_EQ(base.number(), 0);
    EXPECT_STREQ(base.what(), "no");
}

TEST_F(FileErrors, APipeHasNoPositions) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    run([&]() -> Coroutine<void> {
        EXPECT_THAT(co_await thrown_in([&]() -> Coroutine<void> {
                        co_await aiofiles::open(ends[0], "r+b", {.closefd = false});
                    }),
                    HasSubstr("File or stream is not seekable"));
        File in = co_await aiofiles::open(ends[0], "rb");
        EXPECT_FALSE(co_await in.seekable());
        EXPECT_THAT(co_await thrown_in([&] { return in.tell(); }), HasSubstr("not seekable"));
        EXPECT_THAT(co_await thrown_in([&] { return in.seek(0); }), HasSubstr("not seekable"));
        co_await in.close();
        File out = co_await aiofiles::open(ends[1], "wb");
        co_await out.write("nobody reads this");
        EXPECT_THAT(co_await thrown_in([&] { return out.flush(); }),
                    StartsWith("BrokenPipeError: [Errno 32]"))
            << "and no SIGPIPE";
        EXPECT_THAT(co_await thrown_in([&] { return out.close(); }),
                    HasSubstr("closed with 17 bytes that could not be written"));
        EXPECT_TRUE(out.closed());
        EXPECT_EQ(::fcntl(ends[1], F_GETFD), -1);
    });
}

TEST_F(FileErrors, AFullDeviceIsNoticedAtFlushAndClose) {
    run([]() -> Coroutine<void> {
        File file = co_await aiofiles::open("/dev/full", "w");
        co_await file.write("does not fit");
        EXPECT_EQ(co_await thrown_in([&] { return file.flush(); }),
                  "OSError: [Errno 28] No space left on device: '/dev/full'");
        EXPECT_EQ(co_await thrown_in([&] { return file.close(); }),
                  "OSError: [Errno 28] No space left on device: '/dev/full', closed with 12 bytes "
                  "that could not be written");
        EXPECT_TRUE(file.closed());
        co_await file.close();

        file = co_await aiofiles::open("/dev/full", "wb", {.buffering = 0});
        EXPECT_THAT(co_await thrown_in([&] { return file.write("x"); }),
                    StartsWith("OSError: [Errno 28]"));
        co_await file.close();  // nothing was kept that could fail again
    });
}

TEST_F(FileErrors, AFullFileSystemLosesNothingSilently) {
    const std::string mount = dir / "small";
    ASSERT_EQ(::mkdir(mount.c_str(), 0700), 0);
    if (::mount("tmpfs", mount.c_str(), "tmpfs", 0, "size=64k") != 0) {
        GTEST_SKIP() << "mounting a file system is not permitted here";
    }
    struct Unmount {
        std::string path;
        ~Unmount() { ::umount2(path.c_str(), MNT_DETACH); }
    } const unmount{mount};
    run([&]() -> Coroutine<void> {
        File file = co_await aiofiles::open(mount + "/a", "wb");
        EXPECT_THAT(co_await thrown_in([&] { return file.write(std::string(100'000, 'x')); }),
                    StartsWith("OSError: [Errno 28] No space left on device"));
        EXPECT_EQ(contents_of(mount + "/a").size(), 65'536U) << "what fits is there";
        // What was in the buffer before stays there, and can still be written.
        co_await file.seek(0);
        co_await file.write("kept ");
        EXPECT_THAT(co_await thrown_in([&] { return file.write(std::string(100'000, 'y')); }),
                    StartsWith("OSError: [Errno 28]"));
        co_await file.truncate(0);
        co_await file.close();

        file = co_await aiofiles::open(mount + "/b", "wb", {.buffering = 1'000'000});
        co_await file.write(std::string(100'000, 'z'));
        EXPECT_THAT(co_await thrown_in([&] { return file.flush(); }),
                    StartsWith("OSError: [Errno 28]"));
        ::unlink((mount + "/a").c_str());
        ::truncate((mount + "/b").c_str(), 0);
        co_await file.seek(0, SEEK_SET);  // flushes what the flush had to leave
        co_await file.close();
        const std::string late = contents_of(mount + "/b");
        EXPECT_EQ(late.substr(65'536), std::string(100'000 - 65'536, 'z'));
    });
}

TEST_F(FileErrors, AFileLimitIsAnError) {
    struct ::rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, SIG_IGN);
    run([&]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "wb");
        const struct ::rlimit small{.rlim_cur = 10, .rlim_max = before.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &small);
        const auto error = co_await thrown_in([&]() -> Coroutine<void> {
            co_await file.write("more than ten bytes");
            co_await file.close();
        });
        ::setrlimit(RLIMIT_FSIZE, &before);
        EXPECT_THAT(error, HasSubstr("[Errno 27] File too large"));
        EXPECT_THAT(error, HasSubstr("9 bytes that could not be written"));
        EXPECT_EQ(contents_of(dir / "a"), "more than ");
    });
    std::signal(SIGXFSZ, SIG_DFL);
}

TEST_F(FileErrors, SignalsDoNotEndReadsOrWrites) {
    // EINTR: a handler without SA_RESTART, and a signal for each thread that may be in a call.
    struct sigaction action{};
    struct sigaction before{};
    action.sa_handler = [](int) {};
    ::sigaction(SIGUSR1, &action, &before);
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const std::string data(1'000'000, 'x');
    std::atomic<bool> done{false};
    std::thread pest([&] {
        while (!done) {
            ::kill(::getpid(), SIGUSR1);
            std::this_thread::yield();
        }
    });
    run([&]() -> Coroutine<void> {
        File in = co_await aiofiles::open(ends[0], "rb");
        File out = co_await aiofiles::open(ends[1], "wb");
        auto reading = asyncio::create_task([&] { return in.read(); });
        for (std::size_t at = 0; at < data.size(); at += 10'000) {
            co_await out.write(std::string_view(data).substr(at, 10'000));
        }
        co_await out.close();
        EXPECT_EQ(co_await reading, data);
        co_await in.close();
        File file = co_await aiofiles::open(dir / "a", "w+b");
        for (int i = 0; i < 100; ++i) {
            co_await file.write(data);
            co_await file.flush();
            co_await file.seek(0);
            const std::string back = co_await file.read();
            EXPECT_EQ(back, data);
            co_await file.seek(0);
        }
        co_await file.close();
    });
    done = true;
    pest.join();
    ::sigaction(SIGUSR1, &before, nullptr);
}

// What went to the log while this lives.
class Logged {
  public:
    Logged()
        : before_(asyncio::set_log_sink([this](asyncio::LogLevel, std::string_view text) {
              const std::lock_guard lock(mutex_);
              texts_.emplace_back(text);
          })) {}
    Logged(const Logged&) = delete;
    ~Logged() { asyncio::set_log_sink(before_); }
    std::vector<std::string> texts() {
        const std::lock_guard lock(mutex_);
        return texts_;
    }

  private:
    std::mutex mutex_;
    std::vector<std::string> texts_;
    asyncio::LogSink before_;
};

TEST_F(FileErrors, DebugModeTellsWhatWasLeftOpen) {
    Logged log;
    loop.set_debug(true);
    run([this]() -> Coroutine<void> {
        File closed = co_await aiofiles::open(dir / "a", "w");
        co_await closed.close();
        co_await aiofiles::open(dir / "b", "w");
    });
    ASSERT_EQ(log.texts().size(), 1U);
    EXPECT_THAT(log.texts()[0], HasSubstr("unclosed file '" + dir / "b" + "', opened at "));
    EXPECT_THAT(log.texts()[0], HasSubstr("test_errors.cpp:"));
}

TEST_F(FileErrors, WithoutDebugModeItIsQuiet) {
    Logged log;
    loop.set_debug(false);
    run([this]() -> Coroutine<void> { co_await aiofiles::open(dir / "b", "w"); });
    EXPECT_THAT(log.texts(), IsEmpty());
}

TEST_F(FileErrors, WhatADroppedFileCannotWriteIsLogged) {
    Logged log;
    loop.run_until_complete(loop.create_task([]() -> Coroutine<void> {
        File file = co_await aiofiles::open("/dev/full", "w");
        co_await file.write("lost");
    }));
    loop.run_until_complete(loop.create_task([this] { return loop.shutdown_default_executor(); }));
    EXPECT_THAT(log.texts(),
                ElementsAre("closing the file '/dev/full', which was dropped unclosed, failed "
                            "with 4 bytes unwritten: No space left on device"));
}

TEST_F(FileErrors, WithoutAnExecutorThereIsNoOpening) {
    EXPECT_THAT(thrown_by([&] {
                    loop.run_until_complete(loop.create_task([this]() -> Coroutine<void> {
                        co_await loop.shutdown_default_executor();
                        co_await aiofiles::open(dir / "a", "w");
                    }));
                }),
                StartsWith("RuntimeError: the default executor of this loop has been shut down"));
}

TEST_F(FileErrors, AnExecutorOfItsOwn) {
    auto pool = std::make_shared<concurrent::futures::ThreadPoolExecutor>(1);
    run([&]() -> Coroutine<void> {
        co_await loop.shutdown_default_executor();
        File file = co_await aiofiles::open(dir / "a", "w", {.executor = pool});
        co_await file.write("elsewhere");
        co_await file.close();
        EXPECT_EQ(contents_of(dir / "a"), "elsewhere");
        file = co_await aiofiles::open(dir / "a", "w", {.executor = pool});
        co_await file.write("kept");
        pool->shutdown();
        EXPECT_THAT(co_await thrown_in([&] { return file.flush(); }),
                    StartsWith("RuntimeError: cannot schedule new futures after shutdown"));
        file = File();  // closes by itself, there being nobody to leave it to
        EXPECT_EQ(contents_of(dir / "a"), "kept");
    });
}
