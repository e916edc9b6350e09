// StreamReader without a connection: CPython's test_streams.py.
#include <support/simulate.hpp>
#include <support/turns.hpp>

#include <gmock/gmock.h>

namespace {

using namespace asyncio;
using asyncio::testing::cancel_everywhere;
using asyncio::testing::SimLoop;

std::string error_of(const std::exception_ptr& error) {
    return describe_exception(error);
}

template <class A>
Coroutine<std::string> thrown(A awaitable) {
    auto outcome = co_await try_(std::move(awaitable));
    co_return error_of(outcome.exception());
}

TEST(StreamReader, ReadsWhatIsThere) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        reader.feed_data("line1\nline2\n");
        EXPECT_EQ(co_await reader.read(0), "");
        EXPECT_EQ(co_await reader.read(30), "line1\nline2\n");
        reader.feed_data("ab");
        EXPECT_EQ(co_await reader.read(1), "a");
        EXPECT_EQ(co_await reader.read(1), "b");
    });
}

TEST(StreamReader, EmptyDataIsNone) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        auto reading = create_task(reader.read(5));
        co_await turns();
        reader.feed_data("");
        co_await turns(2);
        EXPECT_FALSE(reading.done());
        reader.feed_data("x");
        EXPECT_EQ(co_await reading, "x");
    });
}

TEST(StreamReader, WaitsAndLeavesTheRest) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        auto reading = create_task(reader.read(3));
        co_await turns();
        reader.feed_data("abcde");
        reader.feed_data("fg");
        EXPECT_EQ(co_await reading, "abc");
        EXPECT_EQ(co_await reader.read(100), "defg");
    });
}

TEST(StreamReader, ReadUntilEndOfFile) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader(10);
        reader.feed_data("before ");
        auto reading = create_task(reader.read());
        co_await turns();
        for (int i = 0; i < 10; ++i) {
            reader.feed_data("some more of it ");
            co_await turns();
        }
        EXPECT_FALSE(reading.done());
        reader.feed_eof();
        EXPECT_EQ((co_await reading).size(), 7U + 160U);
        EXPECT_TRUE(reader.at_eof());
        EXPECT_EQ(co_await reader.read(), "");
        EXPECT_EQ(co_await reader.read(7), "");
    });
}

TEST(StreamReader, ReadInto) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        char memory[4] = {};
        auto reading = create_task(reader.read_into(memory));
        co_await turns();
        reader.feed_data("abcdef");
        EXPECT_EQ(co_await reading, 4U);
        EXPECT_EQ(std::string(memory, 4), "abcd");
        EXPECT_EQ(co_await reader.read_into(memory), 2U);
        EXPECT_EQ(std::string(memory, 2), "ef");
        EXPECT_EQ(co_await reader.read_into(std::span<char>()), 0U);
        reader.feed_eof();
        EXPECT_EQ(co_await reader.read_into(memory), 0U);
    });
}

TEST(StreamReader, ReadView) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        auto reading = create_task(reader.read_view(4));
        co_await turns();
        reader.feed_data("abcdef");
        EXPECT_EQ(co_await reading, "abcd");
        EXPECT_EQ(co_await reader.read_view(0), "");
        EXPECT_EQ(co_await reader.read_view(), "ef");
        auto all = create_task(reader.read_view());
        co_await turns();
        const std::string large(100'000, 'l');
        reader.feed_data(large);
        EXPECT_EQ(co_await all, large);
        reader.feed_data(large);
        EXPECT_EQ(co_await reader.read_view(99'999), large.substr(1));
        EXPECT_EQ(co_await reader.read_view(), "l");
        reader.feed_eof();
        EXPECT_EQ(co_await reader.read_view(), "");
        EXPECT_TRUE(reader.at_eof());
    });
}

TEST(StreamReader, AViewIsValidUntilTheNextRead) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        for (const std::size_t size : {1U, 100U, 1'000U, 10'000U}) {
            const std::string first(size, 'a');
            auto reading = create_task(reader.read_view());
            co_await turns();
            reader.feed_data(first);
            const std::string_view waited = co_await reading;
            std::string rest;
            for (int i = 0; i < 50; ++i) {  // the reader's own memory grows and moves
                const std::string more(size, static_cast<char>('b' + i % 20));
                reader.feed_data(more);
                rest += more;
            }
            EXPECT_EQ(waited, first);
            const std::string_view was_there = co_await reader.read_view(size);
            for (int i = 0; i < 50; ++i) reader.feed_data(first);
            EXPECT_EQ(was_there, rest.substr(0, size));
            EXPECT_EQ(co_await reader.readexactly(static_cast<std::ptrdiff_t>(49 * size)),
                      rest.substr(size));
            EXPECT_EQ((co_await reader.readexactly(static_cast<std::ptrdiff_t>(50 * size))).size(),
                      50 * size);
        }
    });
}

TEST(StreamReader, AViewLivesAsLongAsItsReader) {
    std::optional<StreamReader> reader;
    std::string_view view;
    simulate([&]() -> Coroutine<void> {
        reader.emplace();
        reader->feed_data("of a loop that is gone");
        view = co_await reader->read_view();
    });
    EXPECT_EQ(view, "of a loop that is gone");
    reader.reset();
}

// The first one has its data, and not yet its turn, as the second one reads.
TEST(StreamReader, ViewsOfTwoWhoReadAtOnce) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        std::vector<std::string> got;
        const auto read = [&]() -> Coroutine<void> {
            got.emplace_back(co_await reader.read_view(3));
        };
        auto first = create_task(read());
        co_await turns();
        auto second = create_task(read());
        reader.feed_data("onetwo");
        co_await gather(first, second);
        EXPECT_THAT(got, ::testing::UnorderedElementsAre("one", "two"));
    });
}

TEST(StreamReader, AtEof) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        EXPECT_FALSE(reader.at_eof());
        reader.feed_data("data\n");
        reader.feed_eof();
        EXPECT_FALSE(reader.at_eof());
        co_await reader.readline();
        EXPECT_TRUE(reader.at_eof());
    });
}

TEST(StreamReader, FeedingAfterTheEndIsAMistake) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        reader.feed_eof();
        EXPECT_THROW(reader.feed_data("x"), RuntimeError);
        co_return;
    });
}

TEST(StreamReader, InvalidArguments) {
    simulate([]() -> Coroutine<void> {
        EXPECT_THROW(StreamReader(0), ValueError);
        EXPECT_THROW(StreamReader(-1), ValueError);
        const StreamReader reader;
        // As with a coroutine of Python's, nothing happens before somebody awaits it.
        Task<std::string> refused[] = {
            create_task(reader.readexactly(-1)),
            create_task(reader.readuntil("")),
            create_task(reader.readuntil(std::vector<std::string>{})),
            create_task(reader.readuntil(std::vector<std::string>{"a", ""})),
        };
        for (Task<std::string>& task : refused) {
            EXPECT_THROW(co_await task, ValueError);
        }
    });
}

// ---- readline() ---------------------------------------------------------------------------

TEST(StreamReaderLine, InPieces) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        reader.feed_data("chunk1 ");
        auto reading = create_task(reader.readline());
        for (const char* piece : {"chunk2 ", "chunk3 ", "\n chunk4"}) {
            co_await turns();
            EXPECT_FALSE(reading.done());
            reader.feed_data(piece);
        }
        EXPECT_EQ(co_await reading, "chunk1 chunk2 chunk3 \n");
        EXPECT_EQ(co_await reader.read(100), " chunk4");
    });
}

TEST(StreamReaderLine, TheLastOneNeedsNoEnd) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        reader.feed_data("some data");
        reader.feed_eof();
        EXPECT_EQ(co_await reader.readline(), "some data");
        EXPECT_EQ(co_await reader.readline(), "");
    });
}

// semantics.md 104; test_readline_limit_with_existing_data, test_readline_limit
TEST(StreamReaderLine, AboveTheLimit) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader(3);
        reader.feed_data("li");
        reader.feed_data("ne1\nline2\n");
        EXPECT_EQ(co_await thrown(reader.readline()),
                  "ValueError: Separator is found, but chunk is longer than limit");
        EXPECT_EQ(co_await thrown(reader.readline()),
                  "ValueError: Separator is found, but chunk is longer than limit");
        reader.feed_data("no end of it");
        EXPECT_EQ(co_await thrown(reader.readline()),
                  "ValueError: Separator is not found, and chunk exceed the limit");
        reader.feed_data("ok\n");
        EXPECT_EQ(co_await reader.readline(), "ok\n");
    });
}

TEST(StreamReaderLine, AboveTheLimitWhileItWaits) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader(7);
        auto reading = create_task(thrown(reader.readline()));
        co_await turns();
        reader.feed_data("chunk1");
        co_await turns();
        EXPECT_FALSE(reading.done());
        reader.feed_data("chunk2");
        EXPECT_EQ(co_await reading,
                  "ValueError: Separator is not found, and chunk exceed the limit");
        reader.feed_data("chunk3\n");
        EXPECT_EQ(co_await reader.readline(), "chunk3\n");
    });
}

TEST(StreamReaderLine, TheEndOfLineDoesNotCountTowardsTheLimit) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader(4);
        reader.feed_data("1234\n");
        EXPECT_EQ(co_await reader.readline(), "1234\n");
        auto reading = create_task(reader.readline());
        co_await turns();
        reader.feed_data("5678");
        co_await turns();
        reader.feed_data("\n");
        EXPECT_EQ(co_await reading, "5678\n");
    });
}

TEST(StreamReaderLine, ByIteration) {
    simulate([]() -> Coroutine<void> {
        StreamReader reader;
        reader.feed_data("line1\n\nline3");
        reader.feed_eof();
        std::vector<std::string> lines;
        while (auto line = co_await anext(reader)) lines.push_back(*line);
        EXPECT_EQ(lines, (std::vector<std::string>{"line1\n", "\n", "line3"}));
    });
}

// ---- readuntil() --------------------------------------------------------------------------

TEST(StreamReaderUntil, ASeparatorInPieces) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        auto reading = create_task(reader.readuntil("aaa"));
        for (const char* piece : {"some d", "ata a", "b aa"}) {
            co_await turns();
            reader.feed_data(piece);
        }
        co_await turns();
        EXPECT_FALSE(reading.done());
        reader.feed_data("a rest");
        EXPECT_EQ(co_await reading, "some data ab aaa");
        EXPECT_EQ(co_await reader.read(10), " rest");
    });
}

TEST(StreamReaderUntil, EndOfFile) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        reader.feed_data("some dataAA");
        reader.feed_eof();
        try {
            co_await reader.readuntil("AAA");
            ADD_FAILURE() << "there was no separator";
        } catch (const IncompleteReadError& error) {
            EXPECT_EQ(error.partial(), "some dataAA");
            EXPECT_EQ(error.expected(), std::nullopt);
        }
        EXPECT_TRUE(reader.at_eof());
    });
}

// semantics.md 103
TEST(StreamReaderUntil, LimitLeavesTheData) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader(3);
        reader.feed_data("some dataA");
        try {
            co_await reader.readuntil("A");
            ADD_FAILURE() << "it was too long";
        } catch (const LimitOverrunError& error) {
            EXPECT_EQ(error.consumed(), 9U);
            EXPECT_STREQ(error.what(), "Separator is found, but chunk is longer than limit");
        }
        EXPECT_EQ(co_await reader.readexactly(10), "some dataA");
        reader.feed_data("no separator");
        try {
            co_await reader.readuntil("AA");
            ADD_FAILURE() << "it was too long";
        } catch (const LimitOverrunError& error) {
            EXPECT_EQ(error.consumed(), 11U);
        }
        EXPECT_EQ(co_await reader.read(100), "no separator");
    });
}

// semantics.md 105; test_readuntil_multi_separator
TEST(StreamReaderUntil, TheFirstOfSeveralSeparatorsToEnd) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        const std::vector<std::string> separators{"A", "long sep"};
        reader.feed_data("some dataA and with long sep rest");
        EXPECT_EQ(co_await reader.readuntil(separators), "some dataA");
        EXPECT_EQ(co_await reader.readuntil(separators), " and with long sep");
        auto reading = create_task(reader.readuntil({"ABCDE", "ABC"}));
        co_await turns();
        reader.feed_data("AB");
        co_await turns();
        reader.feed_data("C");
        EXPECT_EQ(co_await reading, " restABC");
    });
}

// ---- readexactly() ------------------------------------------------------------------------

// semantics.md 106
TEST(StreamReaderExactly, WhateverTheLimit) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader(3);
        EXPECT_EQ(co_await reader.readexactly(0), "");
        auto reading = create_task(reader.readexactly(9));
        for (const char* piece : {"abc", "def", "ghi j"}) {
            co_await turns();
            EXPECT_FALSE(reading.done());
            reader.feed_data(piece);
        }
        EXPECT_EQ(co_await reading, "abcdefghi");
        EXPECT_EQ(co_await reader.read(5), " j");
    });
}

TEST(StreamReaderExactly, EndOfFile) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        auto reading = create_task(try_(reader.readexactly(10)));
        co_await turns();
        reader.feed_data("abc");
        reader.feed_eof();
        auto outcome = co_await reading;
        try {
            std::rethrow_exception(outcome.exception());
        } catch (const IncompleteReadError& error) {
            EXPECT_EQ(error.partial(), "abc");
            EXPECT_EQ(error.expected(), 10U);
        }
        EXPECT_EQ(co_await reader.read(), "");
    });
}

// ---- errors, and several who read ---------------------------------------------------------

// semantics.md 110
TEST(StreamReaderError, EndsThePendingReadAndPoisonsTheRest) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        reader.feed_data("data");
        auto reading = create_task(thrown(reader.readexactly(10)));
        co_await turns();
        reader.set_exception(ValueError("broken"));
        EXPECT_EQ(co_await reading, "ValueError: broken");
        EXPECT_EQ(co_await thrown(reader.read(1)), "ValueError: broken");
        EXPECT_EQ(co_await thrown(reader.readline()), "ValueError: broken");
        EXPECT_EQ(co_await thrown(reader.readuntil("x")), "ValueError: broken");
        EXPECT_EQ(error_of(reader.exception()), "ValueError: broken");
    });
}

TEST(StreamReaderError, HarmlessToACancelledRead) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        auto reading = create_task(reader.readline());
        co_await turns();
        reading.cancel();
        reader.set_exception(ValueError("broken"));
        co_await turns(2);
        EXPECT_TRUE(reading.cancelled());
    });
}

// semantics.md 109
TEST(StreamReader, OneTaskReadsAtATime) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        auto first = create_task(reader.readline());
        co_await turns();
        EXPECT_EQ(co_await thrown(reader.read(1)),
                  "RuntimeError: read() called while another coroutine is already waiting for "
                  "incoming data");
        reader.feed_data("line\nx");
        // The first has its line by now, and does not wait any more.
        EXPECT_EQ(co_await reader.read(1), "x");
        EXPECT_EQ(co_await first, "line\n");
    });
}

TEST(StreamReader, AnotherLoopsReaderIsRefused) {
    SimLoop other;
    simulate([&]() -> Coroutine<void> {
        const StreamReader reader(other.loop());
        EXPECT_THAT(co_await thrown(reader.read(1)), ::testing::HasSubstr("of another event loop"));
    });
}

TEST(StreamReader, TheHandleMayGoWhileItsReadWaits) {
    simulate([]() -> Coroutine<void> {
        std::optional<StreamReader> reader(std::in_place);
        auto reading = create_task(reader->readline());
        co_await turns();
        const StreamReader copy = *reader;
        reader.reset();
        copy.feed_data("line\n");
        EXPECT_EQ(co_await reading, "line\n");
    });
}

// ---- cancelling ---------------------------------------------------------------------------

// Reads with `read` while the text is fed in pieces; wherever it is cancelled, what it did not
// give is still there.
template <class Make>
void loses_nothing(const std::vector<std::string>& pieces, Make read) {
    std::string all;
    for (const std::string& piece : pieces) all += piece;
    std::optional<StreamReader> reader;
    std::string given;
    cancel_everywhere(
        [&]() -> Coroutine<void> {
            given.clear();
            for (;;) {
                const std::string some = co_await read(*reader);
                if (some.empty()) break;
                given += some;
            }
        },
        [&] {
            const std::string rest(reader->state()->buffered());
            EXPECT_EQ(given + rest, all);
        },
        [&](SimLoop& sim) {
            reader.emplace(sim.loop());
            sim.create_task([&]() -> Coroutine<void> {
                for (const std::string& piece : pieces) {
                    co_await turns();
                    reader->feed_data(piece);
                }
                reader->feed_eof();
            });
        });
}

TEST(StreamReaderCancelled, LosesNothing) {
    const std::vector<std::string> pieces{"one\ntw", "o\n", "three", " and more\nfour\n", "five"};
    loses_nothing(pieces, [](StreamReader reader) { return reader.read(4); });
    loses_nothing(pieces, [](StreamReader reader) { return reader.read(); });
    loses_nothing(pieces, [](StreamReader reader) { return reader.readline(); });
    loses_nothing(pieces, [](StreamReader reader) -> Coroutine<std::string> {
        char memory[3];
        const std::size_t count = co_await reader.read_into(memory);
        co_return std::string(memory, count);
    });
    loses_nothing(pieces, [](StreamReader reader) -> Coroutine<std::string> {
        co_return std::string(co_await reader.read_view(6));
    });
    const std::vector<std::string> even{"ab", "c", "defgh", "ijkl"};
    loses_nothing(even, [](StreamReader reader) -> Coroutine<std::string> {
        if (reader.at_eof()) co_return std::string();
        co_return co_await reader.readexactly(3);
    });
    loses_nothing({"a;", "b", ";c;d", ";"}, [](StreamReader reader) -> Coroutine<std::string> {
        if (reader.at_eof()) co_return std::string();
        co_return co_await reader.readuntil(";");
    });
}

TEST(StreamReaderCancelled, WithItsDataAlready) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        auto reading = create_task(reader.readline());
        co_await turns();
        reader.feed_data("line\nrest");
        reading.cancel("too late for it");
        co_await turns(2);
        EXPECT_TRUE(reading.cancelled());
        EXPECT_EQ(co_await reader.readline(), "line\n");
        EXPECT_EQ(co_await reader.read(10), "rest");
        auto view = create_task(reader.read_view());
        co_await turns();
        reader.feed_data("seen");
        view.cancel();
        co_await turns(2);
        EXPECT_TRUE(view.cancelled());
        EXPECT_EQ(co_await reader.read_view(), "seen");
    });
}

// A read takes what there is when its task runs.
TEST(StreamReader, WhatComesBeforeTheReadersTurnIsPartOfTheRead) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        auto some = create_task(reader.read(6));
        co_await turns();
        for (const char* piece : {"ab", "cd", "efgh", "ij"}) reader.feed_data(piece);
        EXPECT_EQ(co_await some, "abcdef");
        EXPECT_EQ(co_await reader.read(10), "ghij");

        char memory[5];
        auto into = create_task(reader.read_into(std::span(memory)));
        co_await turns();
        for (const char* piece : {"1", "23", "4567"}) reader.feed_data(piece);
        EXPECT_EQ(co_await into, 5U);
        EXPECT_EQ(std::string_view(memory, 5), "12345");
        EXPECT_EQ(co_await reader.read(10), "67");
    });
}

TEST(StreamReaderCancelled, AfterMoreHasCome) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader;
        char memory[3];
        auto some = create_task(reader.read(100));
        co_await turns();
        reader.feed_data("ab");
        reader.feed_data("cd");
        some.cancel();
        co_await turns(2);
        EXPECT_TRUE(some.cancelled());
        auto into = create_task(reader.read_into(std::span(memory)));
        co_await turns(2);
        EXPECT_EQ(co_await into, 3U);
        auto again = create_task(reader.read_into(std::span(memory)));
        co_await turns(2);
        EXPECT_EQ(co_await again, 1U);
        auto last = create_task(reader.read_into(std::span(memory)));
        co_await turns();
        for (const char* piece : {"x", "y", "z!"}) reader.feed_data(piece);
        last.cancel();
        co_await turns(2);
        EXPECT_TRUE(last.cancelled());
        EXPECT_EQ(co_await reader.read(10), "xyz!");
    });
}

// Whoever cancels a read that has just failed gets no error, so what came stays.
TEST(StreamReaderCancelled, AsItFails) {
    simulate([]() -> Coroutine<void> {
        const auto cancelled = [](auto read, const auto& happens) -> Coroutine<void> {
            auto task = create_task(std::move(read));
            co_await turns();
            happens();
            task.cancel();
            co_await turns(2);
            EXPECT_TRUE(task.cancelled());
        };
        const StreamReader reader(4);
        co_await cancelled(reader.readline(), [&] { reader.feed_data("too long\n"); });
        EXPECT_EQ(co_await reader.readexactly(9), "too long\n");
        reader.feed_data("the rest");
        co_await cancelled(reader.readexactly(20), [&] { reader.feed_eof(); });
        EXPECT_EQ(co_await reader.read(), "the rest");

        const StreamReader other;
        other.feed_data("no separator");
        co_await cancelled(other.readuntil("--"), [&] { other.feed_eof(); });
        EXPECT_EQ(co_await other.read(), "no separator");
    });
}

// ---- pausing the transport ----------------------------------------------------------------

class PausedTransport : public ReadTransport {
  public:
    void close() override {}
    [[nodiscard]] bool is_closing() const noexcept override { return false; }
    void set_protocol(std::shared_ptr<BaseProtocol>) override {}
    [[nodiscard]] std::shared_ptr<BaseProtocol> get_protocol() const override { return nullptr; }
    [[nodiscard]] bool is_reading() const noexcept override { return reading; }
    void pause_reading() override {
        if (!pauses) throw NotImplementedError("cannot pause");
        reading = false;
    }
    void resume_reading() override { reading = true; }
    bool reading = true;
    bool pauses = true;
};

// semantics.md 108
TEST(StreamReaderFlow, PausesAboveTwiceTheLimitAndGoesOnBelowIt) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader(10);
        const auto transport = std::make_shared<PausedTransport>();
        reader.set_transport(transport);
        EXPECT_THROW(reader.set_transport(transport), RuntimeError);
        reader.feed_data(std::string(20, 'x'));
        EXPECT_TRUE(transport->reading);
        reader.feed_data("y");
        EXPECT_FALSE(transport->reading);
        co_await reader.read(10);
        EXPECT_FALSE(transport->reading);
        co_await reader.read(1);
        EXPECT_TRUE(transport->reading);
    });
}

TEST(StreamReaderFlow, AReadThatNeedsMoreGoesOnRatherThanHang) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader(10);
        const auto transport = std::make_shared<PausedTransport>();
        reader.set_transport(transport);
        reader.feed_data(std::string(30, 'x'));
        EXPECT_FALSE(transport->reading);
        auto reading = create_task(reader.readexactly(50));
        co_await turns();
        EXPECT_TRUE(transport->reading);
        reader.feed_data(std::string(60, 'x'));
        EXPECT_FALSE(transport->reading) << "40 are left over";
        EXPECT_EQ((co_await reading).size(), 50U);
    });
}

TEST(StreamReaderFlow, ATransportThatCannotPause) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader(10);
        const auto transport = std::make_shared<PausedTransport>();
        transport->pauses = false;
        reader.set_transport(transport);
        reader.feed_data(std::string(30, 'x'));
        EXPECT_EQ((co_await reader.read(100)).size(), 30U);
    });
}

TEST(StreamReader, Repr) {
    simulate([]() -> Coroutine<void> {
        const StreamReader reader(123);
        EXPECT_EQ(reader.repr(), "<StreamReader limit=123>");
        reader.feed_data("data");
        reader.feed_eof();
        EXPECT_EQ(reader.repr(), "<StreamReader 4 bytes eof limit=123>");
        co_return;
    });
}

}  // namespace
