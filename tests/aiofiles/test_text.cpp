// Line ends and encodings, against files that hold every awkward case.
#include "files_fixture.hpp"

using aiofiles::File;
using aiofiles::OpenOptions;
using asyncio::Coroutine;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::string_literals;

class Text : public FilesTest {
  protected:
    Coroutine<std::vector<std::string>> lines_of(std::optional<std::string> newline) {
        File file = co_await aiofiles::open(dir / "a", "r", {.newline = newline});
        auto lines = co_await file.readlines();
        newlines = file.newlines();
        co_await file.close();
        co_return lines;
    }
    Coroutine<std::string> read_as(OpenOptions options) {
        File file = co_await aiofiles::open(dir / "a", "r", options);
        std::string text = co_await file.read();
        co_await file.close();
        co_return text;
    }

    std::vector<std::string> newlines;
};

TEST_F(Text, EachNewlineEndsItsOwnLines) {
    put(dir / "a", "a\rb\nc\r\nd");
    run([this]() -> Coroutine<void> {
        EXPECT_THAT(co_await lines_of(std::nullopt), ElementsAre("a\n", "b\n", "c\n", "d"));
        EXPECT_THAT(newlines, ElementsAre("\r", "\n", "\r\n"));
        EXPECT_THAT(co_await lines_of(""), ElementsAre("a\r", "b\n", "c\r\n", "d"));
        EXPECT_THAT(newlines, ElementsAre("\r", "\n", "\r\n"));
        EXPECT_THAT(co_await lines_of("\n"), ElementsAre("a\rb\n", "c\r\n", "d"));
        EXPECT_THAT(newlines, ElementsAre());
        EXPECT_THAT(co_await lines_of("\r"), ElementsAre("a\r", "b\nc\r", "\nd"));
        EXPECT_THAT(co_await lines_of("\r\n"), ElementsAre("a\rb\nc\r\n", "d"));
    });
}

TEST_F(Text, ACarriageReturnAtTheEdgeOfAReadIsOneLineEndWithWhatFollows) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    run([&]() -> Coroutine<void> {
        File in = co_await aiofiles::open(ends[0]);
        auto line = asyncio::create_task([&] { return in.readline(); });
        EXPECT_EQ(::write(ends[1], "ab\r", 3), 3);
        for (int i = 0; i < 20; ++i) co_await asyncio::sleep(0);
        EXPECT_FALSE(line.done()) << "a line feed may follow";
        EXPECT_EQ(::write(ends[1], "\nc\r", 3), 3);
        EXPECT_EQ(co_await line, "ab\n");
        ::close(ends[1]);
        EXPECT_EQ(co_await in.readline(), "c\n");
        EXPECT_EQ(co_await in.readline(), "");
        co_await in.close();
    });
}

TEST_F(Text, ACharacterAtTheEdgeOfAReadIsWaitedFor) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    run([&]() -> Coroutine<void> {
        File in = co_await aiofiles::open(ends[0]);
        auto two = asyncio::create_task([&] { return in.read(2); });
        EXPECT_EQ(::write(ends[1], "x\xE2\x82", 3), 3);
        for (int i = 0; i < 20; ++i) co_await asyncio::sleep(0);
        EXPECT_FALSE(two.done());
        EXPECT_EQ(::write(ends[1], "\xACy", 2), 2);
        EXPECT_EQ(co_await two, "x€");
        EXPECT_EQ(co_await in.read(1), "y");
        ::close(ends[1]);
        co_await in.close();
    });
}

TEST_F(Text, SizesCountCharacters) {
    put(dir / "a", "äöü\r\n€uro\n𝄞 clef\n");
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a");
        EXPECT_EQ(co_await file.read(2), "äö");
        EXPECT_EQ(co_await file.tell(), 4);
        EXPECT_EQ(co_await file.read(3), "ü\n€");
        EXPECT_EQ(co_await file.readline(2), "ur");
        EXPECT_EQ(co_await file.readline(9), "o\n");
        const std::int64_t here = co_await file.tell();
        EXPECT_EQ(co_await file.read(1), "𝄞");
        co_await file.seek(here);
        EXPECT_EQ(co_await file.read(), "𝄞 clef\n");
        EXPECT_EQ(co_await file.seek(0, SEEK_END), 25);
        co_await file.close();
    });
}

TEST_F(Text, WhatIsNoUtf8IsRefusedAndStaysThere) {
    put(dir / "a", "good\nb\xFF\x80 d\n\xE2\x82\xAC\n");
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a");
        EXPECT_EQ(co_await file.readline(), "good\n");
        try {
            co_await file.readline();
            ADD_FAILURE();
        } catch (const asyncio::UnicodeDecodeError& error) {
            EXPECT_STREQ(error.what(),
                         "'utf-8' codec can't decode byte 0xff in position 1: invalid start byte");
            EXPECT_EQ(error.encoding(), "utf-8");
            EXPECT_EQ(error.start(), 1U);
            EXPECT_EQ(error.end(), 2U);
            EXPECT_EQ(error.reason(), "invalid start byte");
        }
        EXPECT_EQ(co_await file.tell(), 5);
        EXPECT_EQ(co_await file.buffer().readline(), "b\xFF\x80 d\n");
        EXPECT_EQ(co_await file.readline(), "€\n") << "as text again";
        co_await file.close();
    });
}

TEST_F(Text, ErrorPolicies) {
    put(dir / "a", "a\xFF\xE2\x82z\xED\xA0\x80");
    run([this]() -> Coroutine<void> {
        EXPECT_EQ(co_await read_as({.errors = "ignore"}), "az");
        EXPECT_EQ(co_await read_as({.errors = "replace"}), "a��z���");
        EXPECT_EQ(co_await read_as({.errors = "backslashreplace"}),
                  "a\\xff\\xe2\\x82z\\xed\\xa0\\x80");
        EXPECT_EQ(co_await read_as({.errors = "surrogateescape"}), contents_of(dir / "a"));
    });
}

TEST_F(Text, WhatEndsTooSoon) {
    run([this]() -> Coroutine<void> {
        for (const auto& bytes : {"\xE2\x82"s, "\xF0\x9F\x98"s, "\xC3"s}) {
            put(dir / "a", "x" + bytes);
            EXPECT_THAT(co_await thrown_in([this] { return read_as({}); }),
                        HasSubstr("unexpected end of data"));
        }
    });
}

TEST_F(Text, OtherEncodings) {
    put(dir / "a", "caf\xE9");
    run([this]() -> Coroutine<void> {
        EXPECT_EQ(co_await read_as({.encoding = "latin-1"}), "café");
        EXPECT_THAT(co_await thrown_in([this] { return read_as({.encoding = "ascii"}); }),
                    HasSubstr("'ascii' codec can't decode byte 0xe9 in position 3"));
        File file = co_await aiofiles::open(dir / "a", "w", {.encoding = "ISO-8859-1"});
        EXPECT_EQ(file.encoding(), "latin-1");
        EXPECT_EQ(co_await file.write("naïve"), 5U);
        EXPECT_THAT(co_await thrown_in([&] { return file.write("5 €"); }),
                    HasSubstr("'latin-1' codec can't encode bytes in position 2-4"));
        co_await file.close();
        EXPECT_EQ(contents_of(dir / "a"), "na\xEFve");
    });
}

TEST_F(Text, WritingChecksBeforeItWrites) {
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a", "w");
        EXPECT_THAT(co_await thrown_in([&] { return file.write("ok \xFF"); }),
                    HasSubstr("UnicodeEncodeError: 'utf-8' codec can't encode byte 0xff in "
                              "position 3: invalid start byte"));
        co_await file.close();
        EXPECT_EQ(contents_of(dir / "a"), "");
        file = co_await aiofiles::open(dir / "a", "w", {.errors = "replace"});
        co_await file.write("a\xFFz");
        co_await file.close();
        EXPECT_EQ(contents_of(dir / "a"), "a?z");
        file = co_await aiofiles::open(dir / "a", "w", {.errors = "surrogateescape"});
        co_await file.write("a\xFFz");
        co_await file.close();
        EXPECT_EQ(contents_of(dir / "a"), "a\xFFz");
    });
}

TEST_F(Text, WritingTranslatesLineFeeds) {
    run([this]() -> Coroutine<void> {
        const std::vector<std::pair<std::optional<std::string>, std::string>> cases{
            {std::nullopt, "a\nb\r\nc\r"},
            {"", "a\nb\r\nc\r"},
            {"\n", "a\nb\r\nc\r"},
            {"\r", "a\rb\r\rc\r"},
            {"\r\n", "a\r\nb\r\r\nc\r"}};
        for (const auto& [newline, expected] : cases) {
            File file = co_await aiofiles::open(dir / "a", "w", {.newline = newline});
            EXPECT_EQ(co_await file.write("a\nb\r\nc\r"), 7U);
            co_await file.close();
            EXPECT_EQ(contents_of(dir / "a"), expected);
        }
    });
}

TEST_F(Text, AVeryLongLine) {
    put(dir / "a", std::string(5'000'000, 'x') + "\ny");
    run([this]() -> Coroutine<void> {
        File file = co_await aiofiles::open(dir / "a");
        EXPECT_EQ((co_await file.readline()).size(), 5'000'001U);
        EXPECT_EQ(co_await file.readline(), "y");
        co_await file.seek(0);
        EXPECT_EQ((co_await file.readline(4'999'999)).size(), 4'999'999U);
        EXPECT_EQ(co_await file.readline(), "x\n");
        co_await file.close();
    });
}
