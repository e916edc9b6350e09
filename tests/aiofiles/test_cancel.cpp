// Every operation cancelled at every place, and by hand where it waits for threads, pipes or a
// cold disk: no byte lost, nothing left open, the file as good as before.
#include <fcntl.h>

#include <asyncio/testing.hpp>
#include <atomic>
#include <latch>
#include <semaphore>

#include "files_fixture.hpp"

using aiofiles::File;
using asyncio::Coroutine;
using asyncio::testing::cancel_everywhere;

namespace {

// A directory on tmpfs, which cannot be asked not to wait: reads there go to threads.
std::string in_threads() {
    return std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/tmp";
}

class BusyPool {
  public:
    BusyPool() : pool(std::make_shared<concurrent::futures::ThreadPoolExecutor>(1)) {}
    // Keeps the only thread until release().
    void hold() {
        held_ = pool->submit([this] { gate_.acquire(); });
    }
    void release() {
        gate_.release();
        held_->result();
    }
    std::shared_ptr<concurrent::futures::ThreadPoolExecutor> pool;

  private:
    std::binary_semaphore gate_{0};
    std::optional<concurrent::futures::Future<void>> held_;
};

}  // namespace

class CancelFiles : public FilesTest {
  protected:
    // cancel_everywhere(), whose `check` comes when threads have ended what they had begun.
    asyncio::testing::CancelReport everywhere(const std::string& where,
                                              const std::function<Coroutine<void>()>& body,
                                              const std::function<void()>& check) {
        return cancel_everywhere(
            body,
            [&] {
                in_the_same_loop([this] { return sim->loop().shutdown_default_executor(); });
                sim->run_until_idle();
                EXPECT_EQ(open_in(where), 0);
                check();
            },
            note_loop());
    }
    std::function<void(asyncio::testing::SimLoop&)> note_loop() {
        return [this](asyncio::testing::SimLoop& here) { sim = &here; };
    }
    template <class Body>
    void in_the_same_loop(Body body) {
        sim->run_until_complete(sim->create_task(body));
    }
    asyncio::testing::SimLoop* sim = nullptr;

    // Lets a task reach its wait, cancels it there, and lets everything end.
    template <class T>
    static Coroutine<void> cancel(asyncio::Task<T> task, int turns = 10) {
        for (int i = 0; i < turns; ++i) co_await asyncio::sleep(0);
        task.cancel();
        const auto outcome = co_await asyncio::try_(task);
        EXPECT_TRUE(task.cancelled());
    }
};

TEST_F(CancelFiles, EverywhereReadingLosesNothing) {
    const std::string text(200'000, 'x');
    for (const std::string& base : {std::string("/tmp"), in_threads()}) {
        const std::string path = base + "/aiofiles-cancel-" + std::to_string(::getpid());
        put(path, text);
        File file;
        std::string got;
        const auto report = cancel_everywhere(
            [&]() -> Coroutine<void> {
                got.clear();
                file = File();
                file = File();
                file = co_await aiofiles::open(path, "rb");
                while (true) {
                    std::string part = co_await file.read(70'000);
                    if (part.empty()) break;
                    got += part;
                }
                co_await file.close();
            },
            [&] {
                if (!file || got == text) return;  // not yet open, or closing
                // What the cancelled task did not get is still to be had.
                in_the_same_loop([&]() -> Coroutine<void> {
                    got += co_await file.read();
                    co_await file.close();
                });
                EXPECT_TRUE(got == text);
                file = File();
            },
            note_loop());
        EXPECT_GT(report.cancelled, 2U);
        EXPECT_EQ(open_in(path), 0);
        ::unlink(path.c_str());
    }
}

TEST_F(CancelFiles, EverywhereLinesAreReadWholeOrNotAtAll) {
    std::vector<std::string> lines;
    std::string text;
    for (int i = 0; i < 6'000; ++i) {
        lines.push_back("line " + std::to_string(i) + " é\n");
        text += lines.back();
    }
    const std::string path = in_threads() + "/aiofiles-cancel-" + std::to_string(::getpid());
    put(path, text);
    File file;
    std::vector<std::string> got;
    cancel_everywhere(
        [&]() -> Coroutine<void> {
            got.clear();
            file = File();
            file = co_await aiofiles::open(path);
            for (int i = 0; i < 100; ++i) got.push_back(co_await file.readline());
            for (auto& line : co_await file.readlines(40'000)) got.push_back(std::move(line));
            while (auto line = co_await anext(file)) got.push_back(*line);
            co_await file.close();
        },
        [&] {
            if (!file || got.size() == lines.size()) return;
            in_the_same_loop([&]() -> Coroutine<void> {
                for (auto& line : co_await file.readlines()) got.push_back(std::move(line));
                co_await file.close();
            });
            EXPECT_EQ(got.size(), lines.size());
            EXPECT_TRUE(got == lines);
            file = File();
        },
        note_loop());
    ::unlink(path.c_str());
}

TEST_F(CancelFiles, EverywhereWhatIsWrittenIsWhole) {
    const std::string path = dir / "a";
    std::string expected;
    for (int i = 0; i < 40; ++i) expected += std::string(10'000, static_cast<char>('a' + i % 26));
    everywhere(
        dir.path(),
        [&]() -> Coroutine<void> {
            File file = co_await aiofiles::open(path, "wb");
            for (int i = 0; i < 40; ++i) {
                co_await file.write(std::string(10'000, static_cast<char>('a' + i % 26)));
            }
            co_await file.close();
        },
        [&] {
            // The last handle is gone: what was written so far has arrived, in order.
            const std::string there = std::filesystem::exists(path) ? contents_of(path) : "";
            EXPECT_EQ(there, expected.substr(0, there.size()));
            EXPECT_EQ(there.size() % 10'000, 0U);
        });
}

TEST_F(CancelFiles, EverywhereTheOtherOperations) {
    const std::string path = dir / "a";
    put(path, "0123456789");
    everywhere(
        dir.path(),
        [&]() -> Coroutine<void> {
            co_await asyncio::with(aiofiles::open(path, "r+b"), [](File& file) -> Coroutine<void> {
                co_await file.seek(0, SEEK_END);
                co_await file.write("x");
                co_await file.flush();
                co_await file.truncate(10);
                char bytes[4];
                co_await file.seek(2);
                co_await file.peek();
                EXPECT_EQ(co_await file.readinto(bytes), 4U);
                EXPECT_EQ(co_await file.tell(), 6);
            });
            co_await aiofiles::os::rename(path, path + "2");
            co_await aiofiles::os::replace(path + "2", path);
            co_await aiofiles::os::stat(path);
            co_await aiofiles::os::listdir(dir.path());
        },
        [&] {
            std::error_code ignored;
            std::filesystem::rename(path + "2", path, ignored);
            EXPECT_EQ(contents_of(path).substr(0, 10), "0123456789");
        });
}

TEST_F(CancelFiles, EverywhereTemporariesGoAway) {
    const std::string where = dir.path();
    everywhere(
        dir.path(),
        [&]() -> Coroutine<void> {
            co_await asyncio::with(
                aiofiles::tempfile::TemporaryDirectory({.dir = where}),
                [](std::string& path) -> Coroutine<void> {
                    co_await asyncio::with(aiofiles::tempfile::NamedTemporaryFile(
                                               "w", {.dir = path, .delete_on_close = false}),
                                           [](File& file) -> Coroutine<void> {
                                               co_await file.write("x");
                                               co_await file.flush();
                                           });
                    co_await asyncio::with(aiofiles::tempfile::SpooledTemporaryFile(
                                               "w+", {.dir = path, .max_size = 2}),
                                           [](File& file) -> Coroutine<void> {
                                               co_await file.write("rolls over");
                                               co_await file.seek(0);
                                               EXPECT_EQ(co_await file.read(), "rolls over");
                                           });
                });
        },
        [&] { EXPECT_TRUE(std::filesystem::is_empty(where)); });
}

TEST_F(CancelFiles, ACancelledOpenThatOpensAfterAllCloses) {
    put(dir / "a", "");
    run([&]() -> Coroutine<void> {
        std::latch opening(1);
        std::binary_semaphore go(0);
        aiofiles::OpenOptions options;
        options.opener = [&](const std::string& path, int flags) {
            opening.count_down();
            go.acquire();
            return ::open(path.c_str(), flags, 0600);
        };
        auto task = asyncio::create_task(
            [&]() -> Coroutine<void> { co_await aiofiles::open(dir / "a", "r", options); });
        co_await asyncio::sleep(0);
        opening.wait();
        co_await cancel(task);
        go.release();
        co_await loop.shutdown_default_executor();
        co_await asyncio::sleep(0);
    });
}

TEST_F(CancelFiles, AReadInAThreadThatWasNotAwaitedComesFirst) {
    BusyPool busy;
    const std::string path = in_threads() + "/aiofiles-cancel-" + std::to_string(::getpid());
    put(path, "0123456789");
    run([&]() -> Coroutine<void> {
        File file = co_await aiofiles::open(path, "rb", {.buffering = 0, .executor = busy.pool});
        // Cancelled before it began: it never happens.
        busy.hold();
        co_await cancel(asyncio::create_task([&] { return file.read(4); }));
        busy.release();
        EXPECT_EQ(co_await file.read(4), "0123");
        co_await file.close();
    });
    ::unlink(path.c_str());
}

TEST_F(CancelFiles, AWriteThatNeverBeganGoesWithTheNext) {
    BusyPool busy;
    run([&]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "wb", {.executor = busy.pool});
        co_await file.write("first ");
        busy.hold();
        co_await cancel(
            asyncio::create_task([&] { return file.write(std::string(100'000, 'x')); }));
        auto next = asyncio::create_task([&] { return file.write(" next"); });
        co_await asyncio::sleep(0);
        busy.release();
        co_await next;
        co_await file.close();
        EXPECT_EQ(contents_of(dir / "a"), "first " + std::string(100'000, 'x') + " next");
    });
}

TEST_F(CancelFiles, ACancelledCloseCloses) {
    BusyPool busy;
    run([&]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "wb", {.executor = busy.pool});
        co_await file.write("buffered");
        busy.hold();
        co_await cancel(asyncio::create_task([&] { return file.close(); }));
        EXPECT_FALSE(file.closed());
        busy.release();
        co_await file.close();  // waits for the other
        EXPECT_TRUE(file.closed());
        EXPECT_EQ(contents_of(dir / "a"), "buffered");
    });
}

TEST_F(CancelFiles, WaitingForATurnCanBeCancelled) {
    BusyPool busy;
    run([&]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "w+b", {.executor = busy.pool});
        busy.hold();
        auto first = asyncio::create_task([&] { return file.write(std::string(100'000, 'x')); });
        auto second = asyncio::create_task([&] { return file.write("never"); });
        auto third = asyncio::create_task([&] { return file.write("third"); });
        co_await cancel(second);
        busy.release();
        co_await asyncio::gather(first, third);
        co_await file.close();
        EXPECT_EQ(contents_of(dir / "a"), std::string(100'000, 'x') + "third");
    });
}

TEST_F(CancelFiles, WhoWasGivenTheTurnAndIsCancelledPassesItOn) {
    BusyPool busy;
    run([&]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "w+b", {.executor = busy.pool});
        busy.hold();
        auto second = std::make_shared<asyncio::Task<std::size_t>>(nullptr);
        auto first = asyncio::create_task([&]() -> Coroutine<void> {
            co_await file.write(std::string(100'000, 'x'));
            second->cancel();  // it has the turn, and has not run yet
        });
        *second = asyncio::create_task([&] { return file.write("never"); });
        auto third = asyncio::create_task([&] { return file.write("third"); });
        for (int i = 0; i < 5; ++i) co_await asyncio::sleep(0);
        busy.release();
        co_await asyncio::gather(first, third);
        EXPECT_TRUE(second->cancelled());
        co_await file.close();
        EXPECT_EQ(contents_of(dir / "a"), std::string(100'000, 'x') + "third");
    });
}

TEST_F(CancelFiles, WaitingForAPipeEndsAtOnceAndLosesNothing) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    run([&]() -> Coroutine<void> {
        File in = co_await aiofiles::open(ends[0]);
        EXPECT_EQ(::write(ends[1], "half", 4), 4);
        co_await cancel(asyncio::create_task([&] { return in.readline(); }));
        EXPECT_EQ(::write(ends[1], " a line\n", 8), 8);
        EXPECT_EQ(co_await in.readline(), "half a line\n");
        co_await cancel(asyncio::create_task([&] { return in.read(); }));
        EXPECT_EQ(::write(ends[1], "more", 4), 4);
        co_await cancel(asyncio::create_task([&] { return in.read(); }));
        ::close(ends[1]);
        EXPECT_EQ(co_await in.read(), "more");
        co_await in.close();
    });
}

TEST_F(CancelFiles, AFullPipeDoesNotHoldTheWriter) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const std::string data(300'000, 'x');
    run([&]() -> Coroutine<void> {
        File in = co_await aiofiles::open(ends[0], "rb");
        File out = co_await aiofiles::open(ends[1], "wb");
        co_await cancel(asyncio::create_task([&] { return out.write(data); }));
        // The rest stays with the file and goes out when somebody asks for it.
        auto rest = asyncio::create_task([&] { return out.flush(); });
        EXPECT_EQ(co_await in.read(300'000), data);
        co_await rest;
        co_await out.close();
        EXPECT_EQ(co_await in.read(), "");
        co_await in.close();
    });
}

TEST_F(CancelFiles, AColdFileReadIsCancelledAndReadAgain) {
    std::string text;
    for (int i = 0; i < 400'000; ++i) text += std::to_string(i) + "\n";
    put(dir / "a", text);
    const int fd = ::open((dir / "a").c_str(), O_RDONLY | O_CLOEXEC);
    const auto make_cold = [&] {
        ::fdatasync(fd);
        ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    };
    run([&]() -> Coroutine<void> {
        for (int turns = 0; turns < 12; ++turns) {
            make_cold();
            File file = co_await aiofiles::open(dir / "a", "rb");
            std::string got;
            auto task = asyncio::create_task([&]() -> Coroutine<void> {
                for (;;) {
                    std::string part = co_await file.read(50'000);
                    if (part.empty()) co_return;
                    got += part;
                }
            });
            for (int i = 0; i < turns; ++i) co_await asyncio::sleep(0);
            task.cancel();
            static_cast<void>(co_await asyncio::try_(task));
            make_cold();
            got += co_await file.read();
            EXPECT_TRUE(got == text) << turns;
            co_await file.close();
        }
        ::close(fd);
    });
}

TEST_F(CancelFiles, TheLoopEndsWhileAFileIsWaitedFor) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    asyncio::Future<void> open_now = loop.create_future<void>();
    static_cast<void>(loop.create_task([&]() -> Coroutine<void> {
        File in = co_await aiofiles::open(ends[0], "rb");
        open_now.set_result();
        co_await in.read();
    }));
    loop.run_until_complete(open_now);
    iterate(5);
    close();
    take_reports();
    ::close(ends[1]);
    EXPECT_EQ(::fcntl(ends[0], F_GETFD), -1) << "closed with its last handle";
}
