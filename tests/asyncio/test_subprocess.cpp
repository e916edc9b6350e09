// Process: what CPython's test_subprocess.py asks of it, with real programs.
#include "subprocess_fixture.hpp"

#include <asyncio/locks.hpp>
#include <asyncio/testing.hpp>

namespace asyncio::testing {
namespace {

class SubprocessProcess : public SubprocessTest {};

const std::vector<std::string> blocked = {"sleep", "3600"};
std::vector<std::string> shell(std::string script) {
    return {"/bin/sh", "-c", std::move(script)};
}
std::vector<std::string> python(std::string script) {
    return {"python3", "-c", std::move(script)};
}

// ---- streams ------------------------------------------------------------------------------

TEST_F(SubprocessProcess, StdinAndStdoutAreStreams) {
    run([]() -> Coroutine<void> {
        const Process process =
            co_await create_subprocess_exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
        EXPECT_FALSE(process.stderr_);
        process.stdin_->write("some data");
        co_await process.stdin_->drain();
        process.stdin_->close();
        EXPECT_EQ(co_await process.stdout_->read(), "some data");
        EXPECT_EQ(co_await process.wait(), 0);
        EXPECT_EQ(process.returncode(), 0);
    });
}

TEST_F(SubprocessProcess, CommunicateGivesBothOutputs) {
    run([]() -> Coroutine<void> {
        const Process process =
            co_await create_subprocess_exec(shell("cat; echo wrong >&2; exit 3"),
                                            {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE});
        const auto [output, errors] = co_await process.communicate("right");
        EXPECT_EQ(output, "right");
        EXPECT_EQ(errors, "wrong\n");
        EXPECT_EQ(process.returncode(), 3);
    });
}

TEST_F(SubprocessProcess, CommunicateWithoutInputClosesStdin) {
    run([]() -> Coroutine<void> {
        for (const std::optional<std::string>& input :
             {std::optional<std::string>(), std::optional<std::string>("")}) {
            const Process process =
                co_await create_subprocess_exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
            EXPECT_EQ((co_await process.communicate(input)).first, "");
            EXPECT_EQ(process.returncode(), 0);
        }
    });
}

TEST_F(SubprocessProcess, CommunicateWithNoPipesJustWaits) {
    run([]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec(shell("exit 4"));
        EXPECT_FALSE(process.stdin_ || process.stdout_ || process.stderr_);
        const auto [output, errors] = co_await process.communicate("nobody reads this");
        EXPECT_EQ(output + errors, "");
        EXPECT_EQ(process.returncode(), 4);
    });
}

TEST_F(SubprocessProcess, CommunicateTwiceGivesNothingMore) {
    run([]() -> Coroutine<void> {
        const Process process =
            co_await create_subprocess_exec({"echo", "once"}, {.stdout_ = PIPE});
        EXPECT_EQ((co_await process.communicate()).first, "once\n");
        EXPECT_EQ((co_await process.communicate()).first, "");
    });
}

// test_communicate_ignore_broken_pipe
TEST_F(SubprocessProcess, CommunicateIgnoresAChildThatDoesNotRead) {
    run([]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec({"true"}, {.stdin_ = PIPE});
        co_await process.communicate(std::string(4'000'000, 'x'));
        EXPECT_EQ(process.returncode(), 0);
    });
}

// test_stdin_broken_pipe
TEST_F(SubprocessProcess, DrainThrowsWhenTheChildIsGone) {
    run([]() -> Coroutine<void> {
        const Process process =
            co_await create_subprocess_exec(shell("read line; exit 0"), {.stdin_ = PIPE});
        const auto write = [process]() -> Coroutine<void> {
            process.stdin_->write("go\n" + std::string(4'000'000, 'x'));
            co_await process.stdin_->drain();
        };
        const Outcome<void> outcome = co_await try_(write());
        EXPECT_TRUE(holds_exception<BrokenPipeError>(outcome.exception()) ||
                    holds_exception<ConnectionResetError>(outcome.exception()))
            << describe_exception(outcome.exception());
        EXPECT_EQ(co_await process.wait(), 0);
        const Outcome<void> closed = co_await try_(process.stdin_->wait_closed());
        EXPECT_TRUE(holds_exception<BrokenPipeError>(closed.exception()));
    });
}

// test_read_stdout_after_process_exit
TEST_F(SubprocessProcess, OutputIsReadableAfterTheExit) {
    run([]() -> Coroutine<void> {
        const Process process =
            co_await create_subprocess_exec({"echo", "-n", "line"}, {.stdout_ = PIPE});
        EXPECT_EQ(co_await process.wait(), 0);
        EXPECT_EQ(co_await process.stdout_->read(), "line");
    });
}

TEST_F(SubprocessProcess, LinesComeOneByOne) {
    run([]() -> Coroutine<void> {
        const Process process =
            co_await create_subprocess_shell("echo one; echo two; printf end", {.stdout_ = PIPE});
        std::vector<std::string> lines;
        while (auto line = co_await process.stdout_->anext()) lines.push_back(*line);
        EXPECT_THAT(lines, ::testing::ElementsAre("one\n", "two\n", "end"));
        co_await process.wait();
    });
}

TEST_F(SubprocessProcess, OptionsMayBeBracesBehindTheArguments) {
    run([]() -> Coroutine<void> {
        const std::filesystem::path folder = "/";
        const std::string_view format = "%s,%s";
        const SubprocessOptions piped{.stdout_ = PIPE};
        const auto output = [](const Process& process) -> Coroutine<std::string> {
            co_return (co_await process.communicate()).first;
        };
        EXPECT_EQ(
            co_await output(co_await create_subprocess_exec("pwd", {.stdout_ = PIPE, .cwd = "/"})),
            "/\n");
        EXPECT_EQ(
            co_await output(co_await create_subprocess_exec("printf", "one", {.stdout_ = PIPE})),
            "one");
        EXPECT_EQ(co_await output(
                      co_await create_subprocess_exec("basename", folder, "x", {.stdout_ = PIPE})),
                  "/\n");
        EXPECT_EQ(co_await output(co_await create_subprocess_exec(std::string("printf"), format,
                                                                  "one", "two", {.stdout_ = PIPE})),
                  "one,two");
        EXPECT_EQ(co_await output(co_await create_subprocess_exec("printf", "one", piped)), "one");
        EXPECT_EQ(co_await (co_await create_subprocess_exec("true", {})).wait(), 0);
    });
}

TEST_F(SubprocessProcess, LimitIsThatOfTheStreams) {
    run([]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec({"printf", "%0100d\\n", "7"},
                                                                {.stdout_ = PIPE, .limit = 16});
        const Outcome<std::string> line = co_await try_(process.stdout_->readline());
        EXPECT_TRUE(holds_exception<ValueError>(line.exception()));
        co_await process.communicate();
    });
}

// Rule 108, test_pause_reading: a child whose output nobody reads has to wait.
TEST_F(SubprocessProcess, AFullStreamStopsTheChild) {
    run([]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec(
            {"head", "-c", "10000000", "/dev/zero"}, {.stdout_ = PIPE, .limit = 1000});
        co_await sleep(100ms);
        EXPECT_FALSE(process.returncode());
        EXPECT_EQ((co_await process.communicate()).first.size(), 10'000'000U);
        EXPECT_EQ(process.returncode(), 0);
    });
}

TEST_F(SubprocessProcess, AHundredMegabytesPassBothWays) {
    run([]() -> Coroutine<void> {
        std::string data(100'000'000, '\0');
        for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * i >> 7);
        const Process process =
            co_await create_subprocess_exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
        const auto [output, errors] = co_await process.communicate(data);
        EXPECT_TRUE(output == data) << output.size() << " bytes came back";
        EXPECT_EQ(process.returncode(), 0);
    });
}

TEST_F(SubprocessProcess, StderrGoesWhereStdoutGoes) {
    run([]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_shell(
            "echo out; echo err >&2", {.stdout_ = PIPE, .stderr_ = STDOUT});
        const auto [output, errors] = co_await process.communicate();
        EXPECT_EQ(output, "out\nerr\n");
        EXPECT_EQ(errors, "");
        EXPECT_FALSE(process.stderr_);
    });
}

TEST_F(SubprocessProcess, DevnullIsEmptyAndSwallows) {
    run([]() -> Coroutine<void> {
        const Process counts =
            co_await create_subprocess_exec({"wc", "-c"}, {.stdin_ = DEVNULL, .stdout_ = PIPE});
        EXPECT_EQ(std::stoi((co_await counts.communicate()).first), 0);
        const Process talks = co_await create_subprocess_shell(
            "echo out; echo err >&2", {.stdin_ = DEVNULL, .stdout_ = DEVNULL, .stderr_ = DEVNULL});
        EXPECT_EQ(co_await talks.wait(), 0);
    });
}

// test_devstdin_input: a pipe can be opened by name, a socket could not.
TEST_F(SubprocessProcess, StdinIsARealPipe) {
    run([]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec({"cat", "/dev/stdin"},
                                                                {.stdin_ = PIPE, .stdout_ = PIPE});
        EXPECT_EQ((co_await process.communicate("abc")).first, "abc");
    });
}

// test_stdin_not_inheritable
TEST_F(SubprocessProcess, OurEndsAreInheritedByNobody) {
    run([]() -> Coroutine<void> {
        const SubprocessOptions pipes{.stdin_ = PIPE, .stdout_ = PIPE, .close_fds = false};
        const Process first = co_await create_subprocess_exec({"cat"}, pipes);
        const Process second = co_await create_subprocess_exec({"cat"}, pipes);
        // Would not end if the second had a copy of our end of its stdin.
        EXPECT_EQ((co_await first.communicate("abc")).first, "abc");
        EXPECT_EQ((co_await second.communicate("def")).first, "def");
    });
}

// ---- signals and the end ------------------------------------------------------------------

TEST_F(SubprocessProcess, KillAndTerminateAreTheReturnCode) {
    run([]() -> Coroutine<void> {
        const Process killed = co_await create_subprocess_exec(blocked);
        EXPECT_FALSE(killed.returncode());
        killed.kill();
        EXPECT_EQ(co_await killed.wait(), -SIGKILL);
        const Process terminated = co_await create_subprocess_exec(blocked);
        terminated.terminate();
        EXPECT_EQ(co_await terminated.wait(), -SIGTERM);
        const Process hung_up = co_await create_subprocess_exec(blocked);
        hung_up.send_signal(SIGHUP);
        EXPECT_EQ(co_await hung_up.wait(), -SIGHUP);
    });
}

TEST_F(SubprocessProcess, AChildThatIgnoresSigtermNeedsKill) {
    run([]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec(
            shell("trap '' TERM; echo ready; while :; do sleep 0.01; done"), {.stdout_ = PIPE});
        EXPECT_EQ(co_await process.stdout_->readline(), "ready\n");
        process.terminate();
        const Outcome<int> in_time = co_await try_(wait_for(process.wait(), 100ms));
        EXPECT_TRUE(holds_exception<TimeoutError>(in_time.exception()));
        EXPECT_FALSE(process.returncode());
        process.kill();
        EXPECT_EQ(co_await process.wait(), -SIGKILL);
    });
}

// CPython raises this as soon as the transport has finished.
TEST_F(SubprocessProcess, SignalsToAChildThatHasEndedAreProcessLookupError) {
    run([]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec("true");
        EXPECT_EQ(co_await process.wait(), 0);
        for (const auto& call : {&Process::kill, &Process::terminate}) {
            EXPECT_THAT(thrown_by([&] { (process.*call)(); }),
                        ::testing::StartsWith("ProcessLookupError: [Errno 3]"));
        }
    });
}

// test_subprocess_send_signal_race: it ended, and we do not know yet.
TEST_F(SubprocessProcess, ASignalToAChildThatJustEndedIsNothing) {
    run([]() -> Coroutine<void> {
        const Process process =
            co_await create_subprocess_exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
        kill(process.pid, SIGKILL);
        siginfo_t info;
        EXPECT_EQ(waitid(P_PID, static_cast<id_t>(process.pid), &info, WEXITED | WNOWAIT), 0);
        process.terminate();
        EXPECT_EQ(co_await process.wait(), -SIGKILL);
    });
}

TEST_F(SubprocessProcess, ANumberThatIsNoSignalIsRefused) {
    run([]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec(blocked);
        EXPECT_THAT(thrown_by([&] { process.send_signal(4711); }),
                    ::testing::StartsWith("OSError: [Errno 22]"));
        process.send_signal(0);  // only asks
        EXPECT_FALSE(process.returncode());
        process.kill();
        co_await process.wait();
    });
}

// test_subprocess_concurrent_wait, rule 145
TEST_F(SubprocessProcess, ManyTasksWaitForOneChild) {
    run([]() -> Coroutine<void> {
        const Process process =
            co_await create_subprocess_exec(shell("read x; exit 6"), {.stdin_ = PIPE});
        std::vector<Task<int>> tasks;
        for (int i = 0; i < 20; ++i) tasks.push_back(create_task(process.wait()));
        co_await sleep(0);
        tasks[3].cancel();
        co_await sleep(0);
        process.stdin_->write("\n");
        for (std::size_t i = 0; i < tasks.size(); ++i) {
            const Outcome<int> outcome = co_await try_(tasks[i]);
            if (i == 3) {
                EXPECT_TRUE(outcome.cancelled());
            } else {
                EXPECT_EQ(outcome.value(), 6);
            }
        }
        EXPECT_EQ(co_await process.wait(), 6);
    });
}

// test_wait_even_if_pipe_is_open
TEST_F(SubprocessProcess, WaitDoesNotWaitForThePipes) {
    run([]() -> Coroutine<void> {
        const Process process =
            co_await create_subprocess_shell("sleep 3600 & echo $!", {.stdout_ = PIPE});
        const pid_t grandchild = std::stoi(co_await process.stdout_->readline());
        EXPECT_EQ(co_await process.wait(), 0);
        EXPECT_FALSE(process.stdout_->at_eof());
        kill(grandchild, SIGKILL);
        EXPECT_EQ(co_await process.stdout_->read(), "");
    });
}

// ---- cancelled ----------------------------------------------------------------------------

// test_cancel_process_wait, rule 144
TEST_F(SubprocessProcess, CancellingWaitLeavesTheChild) {
    run([]() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec(blocked);
        const Task<int> waiting = create_task(process.wait());
        co_await sleep(0);
        waiting.cancel();
        EXPECT_TRUE((co_await try_(waiting)).cancelled());
        EXPECT_FALSE(process.returncode());
        EXPECT_TRUE(exists(process.pid));
        process.kill();
        EXPECT_EQ(co_await process.wait(), -SIGKILL);
    });
}

TEST_F(SubprocessProcess, CancellingCommunicateLeavesTheChild) {
    run([]() -> Coroutine<void> {
        const Process process =
            co_await create_subprocess_exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
        // More than the pipes hold; but only half of it is read before the end of file.
        const auto talk = create_task(process.communicate(std::string(1'000'000, 'x')));
        co_await process.stdin_->drain();
        talk.cancel();
        EXPECT_TRUE((co_await try_(talk)).cancelled());
        EXPECT_TRUE(exists(process.pid));
        process.kill();
        EXPECT_EQ(co_await process.wait(), -SIGKILL);
    });
}

// Wherever communicate() is cancelled: the child is there, and can be had again.
TEST_F(SubprocessProcess, CommunicateCancelledAnywhereNeitherHangsNorHarms) {
    run([]() -> Coroutine<void> {
        for (int turns = 0; turns < 12; ++turns) {
            const Process process = co_await create_subprocess_exec(
                {"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE});
            const auto talk = create_task(process.communicate(std::string(300'000, 'x')));
            for (int i = 0; i < turns; ++i) co_await sleep(0);
            talk.cancel();
            static_cast<void>(co_await try_(talk));
            process.stdin_->close();
            co_await process.communicate();
            EXPECT_EQ(process.returncode(), 0) << turns;
        }
    });
}

// test_cancel_make_subprocess_transport_exec, rule 145
TEST_F(SubprocessProcess, CreationCancelledAnywhereLeavesNothing) {
    run([]() -> Coroutine<void> {
        for (int turns = 0; turns < 6; ++turns) {
            const auto creation = create_task([]() -> Coroutine<Process> {
                return create_subprocess_exec(blocked, {.stdin_ = PIPE, .stdout_ = PIPE});
            });
            for (int i = 0; i < turns; ++i) co_await sleep(0);
            creation.cancel();
            const Outcome<Process> outcome = co_await try_(creation);
            if (outcome) {
                outcome.value().kill();
                co_await outcome.value().wait();
            } else {
                EXPECT_TRUE(outcome.cancelled());
            }
        }
    });
    EXPECT_EQ(zombie(), 0);
}

TEST_F(SubprocessProcess, CancelledAtEveryPlaceNothingIsLeft) {
    const auto talk = []() -> Coroutine<void> {
        const Process process = co_await create_subprocess_exec(
            {"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE});
        const auto said = co_await try_(process.communicate(std::string(100'000, 'x')));
        if (said) {
            EXPECT_EQ(said.value().first.size(), 100'000U);
            co_return;
        }
        if (!process.returncode()) process.kill();
        static_cast<void>(co_await process.wait());
        std::rethrow_exception(said.exception());
    };
    run(talk);  // the first time the loop may open what it keeps
    const std::size_t before = open_descriptors();
    const auto report = cancel_everywhere(loop, talk, [&] {
        run([&]() -> Coroutine<void> {
            while (open_descriptors() > before) co_await sleep(1ms);
        });
        EXPECT_EQ(zombie(), 0);
    });
    EXPECT_GT(report.cancelled, 3U);
    EXPECT_GT(report.completed, 0U);
}

// ---- spelling -----------------------------------------------------------------------------

TEST_F(SubprocessProcess, ArgumentsMayBeGivenOneByOne) {
    run([]() -> Coroutine<void> {
        const std::filesystem::path program = "/bin/echo";
        const std::string word = "b";
        const Process process = co_await create_subprocess_exec(
            program, "a", word, std::string_view("c"), SubprocessOptions{.stdout_ = PIPE});
        EXPECT_EQ((co_await process.communicate()).first, "a b c\n");
        EXPECT_EQ(process.repr(), "<Process " + std::to_string(process.pid) + ">");
    });
}

TEST_F(SubprocessProcess, AShellCommandIsOneString) {
    run([]() -> Coroutine<void> {
        const Process process = co_await subprocess::create_subprocess_shell(
            "X=$((6 * 7)); echo $X; exit 7", {.stdout_ = PIPE});
        EXPECT_EQ((co_await process.communicate()).first, "42\n");
        EXPECT_EQ(process.returncode(), 7);
    });
}

TEST_F(SubprocessProcess, PythonOnTheOtherSideTalksLineByLine) {
    run([]() -> Coroutine<void> {
        const Process process =
            co_await create_subprocess_exec(python("import sys\n"
                                                   "for line in sys.stdin:\n"
                                                   "    print(eval(line), flush=True)"),
                                            {.stdin_ = PIPE, .stdout_ = PIPE});
        for (int i = 0; i < 50; ++i) {
            process.stdin_->write(std::to_string(i) + " ** 2\n");
            EXPECT_EQ(co_await process.stdout_->readline(), std::to_string(i * i) + "\n");
        }
        process.stdin_->write_eof();
        EXPECT_EQ(co_await process.wait(), 0);
    });
}

TEST_F(SubprocessProcess, ALimitOfNothingIsRefused) {
    EXPECT_THAT(error_of({"true"}, {.limit = 0}), ::testing::StartsWith("ValueError: limit"));
}

TEST_F(SubprocessProcess, TheLoopIsTheOneThatRunsWhenAwaited) {
    Coroutine<Process> creation = create_subprocess_exec("true");
    EXPECT_EQ(
        run([&]() -> Coroutine<int> { co_return co_await (co_await std::move(creation)).wait(); }),
        0);
}

}  // namespace
}  // namespace asyncio::testing
