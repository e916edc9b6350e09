// The transport and protocol of a child process.
#include "subprocess_fixture.hpp"

#include <asyncio/log.hpp>

namespace asyncio::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

class SubprocessTransportTest : public SubprocessTest {};

const std::vector<std::string> blocked = {"sleep", "3600"};

// Writes down what it is told.
class Recorder : public SubprocessProtocol {
  public:
    void connection_made(std::shared_ptr<SubprocessTransport> transport) override {
        transport_ = transport;
        events.push_back("made");
    }
    void pipe_data_received(int fd, std::string_view data) override {
        (fd == 1 ? output : errors) += data;
        if (throw_on_data) throw ValueError("not this");
    }
    void pipe_connection_lost(int fd, std::exception_ptr error) override {
        events.push_back("pipe " + std::to_string(fd) + (error ? " failed" : " lost"));
    }
    void process_exited() override {
        returncode_at_exit = transport_->get_returncode();
        events.push_back("exited");
    }
    void connection_lost(std::exception_ptr error) override {
        EXPECT_EQ(error, nullptr);
        events.push_back("lost");
        transport_.reset();
        lost.set_result();
    }
    void pause_writing() override { events.push_back("pause"); }
    void resume_writing() override { events.push_back("resume"); }

    std::vector<std::string> events;
    std::string output, errors;
    std::optional<int> returncode_at_exit;
    bool throw_on_data = false;
    Future<void> lost;

  private:
    std::shared_ptr<SubprocessTransport> transport_;
};
const auto make_recorder = [] { return std::make_shared<Recorder>(); };

// test_subprocess_protocol_events, rule 143
TEST_F(SubprocessTransportTest, ProtocolIsToldOfEverythingAndLostLast) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] =
            co_await loop.subprocess_shell(make_recorder, "cat; echo err >&2; exit 5");
        EXPECT_EQ(protocol->events, std::vector<std::string>{"made"});
        transport->get_pipe_transport(0)->write("to cat");
        transport->get_pipe_transport(0)->write_eof();
        co_await protocol->lost;
        EXPECT_EQ(protocol->output, "to cat");
        EXPECT_EQ(protocol->errors, "err\n");
        EXPECT_EQ(protocol->returncode_at_exit, 5);
        EXPECT_EQ(transport->get_returncode(), 5);
        EXPECT_EQ(protocol->events.back(), "lost");
        EXPECT_THAT(protocol->events, UnorderedElementsAre("made", "pipe 0 lost", "pipe 1 lost",
                                                           "pipe 2 lost", "exited", "lost"));
    });
}

// test_proc_exited
TEST_F(SubprocessTransportTest, AFinishedTransportKnowsItsPastAndTakesNoSignals) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.subprocess_exec(
            make_recorder, "true",
            SubprocessOptions{
                .stdin_ = std::nullopt, .stdout_ = std::nullopt, .stderr_ = std::nullopt});
        const int pid = transport->get_pid();
        EXPECT_EQ(transport->get_extra_info<int>("subprocess"), pid);
        EXPECT_EQ(transport->get_protocol(), protocol);
        EXPECT_EQ(transport->repr(),
                  "<SubprocessTransport pid=" + std::to_string(pid) + " running>");
        co_await protocol->lost;
        EXPECT_THAT(protocol->events, ElementsAre("made", "exited", "lost"));
        EXPECT_EQ(transport->get_pid(), pid);
        EXPECT_EQ(transport->get_returncode(), 0);
        EXPECT_EQ(transport->get_protocol(), nullptr);
        EXPECT_FALSE(transport->is_closing());
        EXPECT_EQ(transport->repr(),
                  "<SubprocessTransport pid=" + std::to_string(pid) + " returncode=0>");
        EXPECT_THAT(thrown_by([&] { transport->send_signal(SIGTERM); }),
                    AllOf(StartsWith("ProcessLookupError: [Errno 3]"),
                          HasSubstr("has ended with return code 0")));
        transport->close();
    });
}

TEST_F(SubprocessTransportTest, PipesAreThoseThatWereAskedFor) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.subprocess_exec(
            make_recorder, {"cat"}, SubprocessOptions{.stdout_ = DEVNULL, .stderr_ = std::nullopt});
        const auto pipe = transport->get_pipe_transport(0);
        EXPECT_NE(pipe, nullptr);
        for (const int fd : {-1, 1, 2, 3}) EXPECT_EQ(transport->get_pipe_transport(fd), nullptr);
        pipe->close();
        co_await protocol->lost;
        EXPECT_EQ(transport->get_pipe_transport(0), pipe);
    });
}

// test_subprocess_close_client_stream
TEST_F(SubprocessTransportTest, AnOutputThatWeCloseIsABrokenPipeForTheChild) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] =
            co_await loop.subprocess_shell(make_recorder,
                                           "trap '' PIPE; read x; echo OUT:$x; read y; "
                                           "(echo OUT:$y) 2>/dev/null || echo failed >&2; read z");
        const auto input = transport->get_pipe_transport(0);
        const auto& told = *protocol;
        input->write("test\n");
        while (told.output != "OUT:test\n") co_await sleep(1ms);
        transport->get_pipe_transport(1)->close();
        while (told.events.size() < 2) co_await sleep(1ms);
        EXPECT_THAT(told.events, ElementsAre("made", "pipe 1 lost"));
        input->write("xxx\n");
        while (told.errors.empty()) co_await sleep(1ms);
        EXPECT_EQ(told.errors, "failed\n");
        transport->close();
        co_await protocol->lost;
        EXPECT_EQ(transport->get_returncode(), -SIGKILL);
    });
}

TEST_F(SubprocessTransportTest, EachPipeIsForOneWay) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.subprocess_exec(make_recorder, "cat");
        const auto input = transport->get_pipe_transport(0);
        const auto output = transport->get_pipe_transport(1);
        EXPECT_TRUE(input->can_write_eof());
        EXPECT_FALSE(output->can_write_eof());
        EXPECT_FALSE(input->is_reading());
        EXPECT_TRUE(output->is_reading());
        for (const std::string& error :
             {thrown_by([&] { output->write("x"); }), thrown_by([&] { output->write_eof(); }),
              thrown_by([&] { output->set_write_buffer_limits({}); }),
              thrown_by([&] { static_cast<void>(output->get_write_buffer_limits()); }),
              thrown_by([&] { input->pause_reading(); }),
              thrown_by([&] { input->resume_reading(); })}) {
            EXPECT_THAT(error, StartsWith("NotImplementedError: this transport "));
        }
        EXPECT_THAT(input->repr(), StartsWith("<WritePipeTransport fd="));
        EXPECT_THAT(output->repr(), StartsWith("<ReadPipeTransport fd="));
        input->close();
        co_await protocol->lost;
    });
}

// Rule 144, test_close_kill_running
TEST_F(SubprocessTransportTest, ClosingKillsARunningChild) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] =
            co_await loop.subprocess_exec(make_recorder, blocked, SubprocessOptions{});
        EXPECT_FALSE(transport->get_returncode());
        transport->close();
        transport->close();
        EXPECT_TRUE(transport->is_closing());
        co_await protocol->lost;
        EXPECT_EQ(transport->get_returncode(), -SIGKILL);
        EXPECT_THAT(transport->repr(), HasSubstr(" closed "));
    });
}

// test_close_dont_kill_finished: it ended by itself, which nobody had noticed.
TEST_F(SubprocessTransportTest, ClosingDoesNotHarmAChildThatEnded) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] =
            co_await loop.subprocess_shell(make_recorder, "read x; exit 3");
        transport->get_pipe_transport(0)->write("\n");
        siginfo_t info;
        EXPECT_EQ(waitid(P_PID, static_cast<id_t>(transport->get_pid()), &info, WEXITED | WNOWAIT),
                  0);
        EXPECT_FALSE(transport->get_returncode());
        transport->close();
        co_await protocol->lost;
        EXPECT_EQ(transport->get_returncode(), 3);
    });
}

// test_cancel_post_init, rule 145
TEST_F(SubprocessTransportTest, CreationCancelledAnywhereKillsTheChild) {
    run([this]() -> Coroutine<void> {
        for (int turns = 0; turns < 5; ++turns) {
            std::shared_ptr<Recorder> made;
            const auto creation = create_task([&]() -> Coroutine<void> {
                const auto factory = [&] { return made = std::make_shared<Recorder>(); };
                auto [transport, protocol] =
                    co_await loop.subprocess_exec(factory, blocked, SubprocessOptions{});
                transport->close();
                co_await sleep(1h);
            });
            for (int i = 0; i < turns; ++i) co_await sleep(0);
            creation.cancel();
            EXPECT_TRUE((co_await try_(creation)).cancelled());
            if (made != nullptr) co_await made->lost;
            EXPECT_EQ(zombie(), 0);
        }
    });
}

TEST_F(SubprocessTransportTest, WritingIsPausedAndResumed) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.subprocess_shell(
            make_recorder, "read line; cat >/dev/null", {.stdout_ = DEVNULL});
        const auto pipe = transport->get_pipe_transport(0);
        EXPECT_EQ(pipe->get_write_buffer_limits(),
                  std::make_pair(std::size_t{16 * 1024}, std::size_t{64 * 1024}));
        pipe->write(std::string(1'000'000, 'x'));
        EXPECT_EQ(protocol->events.back(), "pause");
        EXPECT_GT(pipe->get_write_buffer_size(), 500'000U);
        pipe->write("\n");
        pipe->write_eof();
        pipe->write_eof();
        co_await protocol->lost;
        EXPECT_THAT(protocol->events, ::testing::Contains("resume"));
        EXPECT_THAT(protocol->events, ::testing::Contains("pipe 0 lost"));
        EXPECT_EQ(transport->get_returncode(), 0);
    });
}

// Rule 126: the reader is gone, which is noticed without writing.
TEST_F(SubprocessTransportTest, AStdinThatNobodyReadsIsLost) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.subprocess_shell(
            make_recorder, "exec <&-; echo closed; exec sleep 3600", {.stderr_ = std::nullopt});
        while (protocol->events.back() != "pipe 0 lost") co_await sleep(1ms);
        EXPECT_FALSE(transport->get_returncode());
        transport->get_pipe_transport(0)->write("to nobody");
        transport->kill();
        co_await protocol->lost;
    });
}

TEST_F(SubprocessTransportTest, ReadingIsPausedAndResumed) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] =
            co_await loop.subprocess_shell(make_recorder, "read x; head -c 1000000 /dev/zero");
        const auto pipe = transport->get_pipe_transport(1);
        pipe->pause_reading();
        pipe->pause_reading();
        EXPECT_FALSE(pipe->is_reading());
        transport->get_pipe_transport(0)->write("\n");
        co_await sleep(20ms);
        EXPECT_EQ(protocol->output.size(), 0U);
        EXPECT_FALSE(transport->get_returncode());
        pipe->resume_reading();
        pipe->resume_reading();
        co_await protocol->lost;
        EXPECT_EQ(protocol->output.size(), 1'000'000U);
        pipe->pause_reading();  // closed: nothing
    });
}

TEST_F(SubprocessTransportTest, PausingAgainAndAgainLosesNothing) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.subprocess_exec(
            make_recorder, {"seq", "200000"}, SubprocessOptions{.stdin_ = DEVNULL});
        const auto pipe = transport->get_pipe_transport(1);
        for (int i = 0; !protocol->lost.done(); ++i) {
            pipe->pause_reading();
            for (int turns = i % 3; turns > 0; --turns) co_await sleep(0);
            pipe->resume_reading();
            for (int turns = i % 4; turns > 0; --turns) co_await sleep(0);
        }
        std::string expected;
        for (int i = 1; i <= 200'000; ++i) expected += std::to_string(i) + "\n";
        EXPECT_TRUE(protocol->output == expected) << protocol->output.size();
    });
}

// What is there and the end of file, both while paused, come when reading goes on.
TEST_F(SubprocessTransportTest, TheEndIsNotToldWhilePaused) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] =
            co_await loop.subprocess_shell(make_recorder, "read x; echo last words");
        const auto pipe = transport->get_pipe_transport(1);
        pipe->pause_reading();
        transport->get_pipe_transport(0)->write("\n");
        while (!transport->get_returncode()) co_await sleep(1ms);
        co_await sleep(5ms);
        EXPECT_EQ(protocol->output, "");
        EXPECT_THAT(protocol->events, ::testing::Not(::testing::Contains("pipe 1 lost")));
        pipe->resume_reading();
        co_await protocol->lost;
        EXPECT_EQ(protocol->output, "last words\n");
    });
}

TEST_F(SubprocessTransportTest, WhatAProtocolThrowsIsReported) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.subprocess_exec(
            make_recorder, "echo", "text", SubprocessOptions{.stdin_ = DEVNULL});
        protocol->throw_on_data = true;
        co_await protocol->lost;
        EXPECT_EQ(protocol->output, "text\n");
    });
    EXPECT_THAT(take_reports(), ElementsAre("protocol.pipe_data_received() failed"));
}

TEST_F(SubprocessTransportTest, AFactoryHasToMakeAProtocol) {
    EXPECT_THAT(thrown_by([&] {
                    run([this]() -> Coroutine<void> {
                        co_await loop.subprocess_exec([] { return std::shared_ptr<Recorder>(); },
                                                      "true");
                    });
                }),
                StartsWith("TypeError: "));
}

TEST_F(SubprocessTransportTest, ItsProtocolMayBeExchanged) {
    run([this]() -> Coroutine<void> {
        auto [transport, protocol] = co_await loop.subprocess_exec(make_recorder, "cat");
        const auto second = std::make_shared<Recorder>();
        second->connection_made(transport);
        transport->set_protocol(second);
        EXPECT_THAT(thrown_by([&] { transport->set_protocol(std::make_shared<Protocol>()); }),
                    StartsWith("TypeError: "));
        transport->get_pipe_transport(0)->write("for the second");
        transport->get_pipe_transport(0)->close();
        co_await second->lost;
        EXPECT_EQ(second->output, "for the second");
        EXPECT_EQ(protocol->output, "");
    });
}

// No parameters are logged: they may be confidential.
TEST_F(SubprocessTransportTest, DebugModeLogsTheProgramButNotItsArguments) {
    std::vector<std::string> lines;
    set_log_sink([&](LogLevel, std::string_view text) { lines.emplace_back(text); });
    set_log_level(LogLevel::debug);
    loop.set_debug(true);
    EXPECT_EQ(output_of({"echo", "a secret"}).second, 0);
    set_log_level(LogLevel::warning);
    set_log_sink({});
    EXPECT_THAT(lines, ::testing::Contains(HasSubstr("process 'echo' created: pid ")));
    EXPECT_THAT(lines, ::testing::Not(::testing::Contains(HasSubstr("secret"))));
}

}  // namespace
}  // namespace asyncio::testing
