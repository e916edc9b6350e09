// The program's own input and output, led through pipes and files here.
#include <fcntl.h>

#include <array>
#include <csignal>

#include "files_fixture.hpp"

using asyncio::Coroutine;
using namespace std::chrono_literals;

namespace {

// A descriptor leads elsewhere until the end of the scope.
class Redirected {
  public:
    Redirected(int fd, int to) : fd_(fd), before_(::fcntl(fd, F_DUPFD_CLOEXEC, 10)) {
        ::dup2(to, fd);
    }
    Redirected(const Redirected&) = delete;
    Redirected& operator=(const Redirected&) = delete;
    ~Redirected() {
        if (before_ >= 0) {
            ::dup2(before_, fd_);
            ::close(before_);
        } else {
            ::close(fd_);
        }
    }

  private:
    int fd_;
    int before_;
};

struct Pipe {
    Pipe() { EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0); }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        ::close(ends[0]);
        close_writing();
    }
    void put(std::string_view text) const {
        EXPECT_EQ(::write(ends[1], text.data(), text.size()), std::ssize(text));
    }
    void close_writing() {
        if (ends[1] >= 0) ::close(std::exchange(ends[1], -1));
    }
    // What is there now.
    [[nodiscard]] std::string take() const {
        std::string text(65'536, '\0');
        text.resize(static_cast<std::size_t>(
            std::max<ssize_t>(::read(ends[0], text.data(), text.size()), 0)));
        return text;
    }
    std::array<int, 2> ends{};
};

class Stdio : public FilesTest {};

}  // namespace

TEST_F(Stdio, InputComesLineByLine) {
    Pipe pipe;
    const Redirected input(0, pipe.ends[0]);
    run([&]() -> Coroutine<void> {
        pipe.put("one\r\ntw");
        EXPECT_EQ(co_await anext(aiofiles::stdin_), "one\n");
        auto second = asyncio::create_task([]() { return aiofiles::stdin_.readline(); });
        co_await asyncio::sleep(0);
        EXPECT_FALSE(second.done()) << "half a line is none";
        pipe.put("o é\nthe rest");
        EXPECT_EQ(co_await second, "two é\n");
        pipe.close_writing();
        EXPECT_EQ(co_await aiofiles::stdin_.read(), "the rest");
        EXPECT_EQ(co_await anext(aiofiles::stdin_), std::nullopt);
    });
}

TEST_F(Stdio, TextAndBytesOfOneInputShareItsBuffer) {
    Pipe pipe;
    const Redirected input(0, pipe.ends[0]);
    run([&]() -> Coroutine<void> {
        pipe.put("a line\nsome bytes\n");
        pipe.close_writing();
        EXPECT_EQ(co_await aiofiles::stdin_bytes.readline(), "a line\n");
        EXPECT_EQ(co_await aiofiles::stdin_bytes.read(5), "some ");
        EXPECT_EQ(co_await aiofiles::stdin_bytes.read(), "bytes\n");
        EXPECT_EQ(co_await aiofiles::stdin_bytes.read(), "");
    });
}

TEST_F(Stdio, WaitingForInputIsCancelledAtOnceAndLosesNothing) {
    Pipe pipe;
    const Redirected input(0, pipe.ends[0]);
    run([&]() -> Coroutine<void> {
        pipe.put("half ");
        const auto late = co_await asyncio::try_(asyncio::wait_for(
            []() -> Coroutine<std::string> { return aiofiles::stdin_.readline(); }(), 20ms));
        EXPECT_TRUE(asyncio::holds_exception<asyncio::TimeoutError>(late.exception()));
        pipe.put("a line\n");
        EXPECT_EQ(co_await aiofiles::stdin_.readline(), "half a line\n");
    });
}

TEST_F(Stdio, OutputIsOutWhenItIsWritten) {
    for (const int fd : {1, 2}) {
        const Pipe pipe;
        std::fflush(nullptr);
        const Redirected output(fd, pipe.ends[1]);
        run([&]() -> Coroutine<void> {
            aiofiles::File text = fd == 1 ? aiofiles::stdout_ : aiofiles::stderr_;
            aiofiles::File bytes = fd == 1 ? aiofiles::stdout_bytes : aiofiles::stderr_bytes;
            EXPECT_EQ(co_await text.write("é without an end"), 16U);
            EXPECT_EQ(pipe.take(), "é without an end");
            co_await text.writelines(std::vector<std::string>{"a\n", "b\n"});
            EXPECT_EQ(pipe.take(), "a\nb\n");
            EXPECT_EQ(co_await bytes.write(std::string("\0\xff", 2)), 2U);
            EXPECT_EQ(pipe.take(), std::string("\0\xff", 2));
            EXPECT_FALSE(co_await text.isatty());
            EXPECT_EQ(text.fileno(), fd);
        });
    }
}

// As Python's look sys.stdout up with each call.
TEST_F(Stdio, OutputGoesWhereTheDescriptorLeadsAtTheTime) {
    const Pipe first, second;
    std::fflush(nullptr);
    run([&]() -> Coroutine<void> {
        for (const Pipe* pipe : {&first, &second}) {
            const Redirected output(1, pipe->ends[1]);
            co_await aiofiles::stdout_.write("here\n");
            EXPECT_EQ(pipe->take(), "here\n");
        }
    });
}

TEST_F(Stdio, TheWrongDirectionIsUnsupported) {
    Pipe pipe;
    const Redirected input(0, pipe.ends[0]);
    run([&]() -> Coroutine<void> {
        EXPECT_THAT(co_await thrown_in([] { return aiofiles::stdin_.write("x"); }),
                    ::testing::HasSubstr("UnsupportedOperation: not "));
        EXPECT_THAT(co_await thrown_in([] { return aiofiles::stdout_.read(); }),
                    ::testing::HasSubstr("UnsupportedOperation: not "));
    });
}

// Nobody reads what comes out: an error that says so, and no signal.
TEST_F(Stdio, OutputThatNobodyReadsIsABrokenPipe) {
    Pipe pipe;
    std::fflush(nullptr);
    struct sigaction ignore = {}, before = {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &ignore, &before);
    {
        const Redirected output(1, pipe.ends[1]);
        ::close(pipe.ends[0]);
        pipe.ends[0] = -1;
        run([&]() -> Coroutine<void> {
            EXPECT_THAT(co_await thrown_in([] { return aiofiles::stdout_.write("x\n"); }),
                        ::testing::StartsWith("BrokenPipeError"));
        });
    }
    ::sigaction(SIGPIPE, &before, nullptr);
}
