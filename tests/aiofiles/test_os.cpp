// aiofiles::os and aiofiles::os::path.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <thread>

#include "files_fixture.hpp"

namespace os = aiofiles::os;
using asyncio::Coroutine;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

class Os : public FilesTest {};

TEST_F(Os, StatIsStructStat) {
    put(dir / "a", "12345");
    ::symlink("a", (dir / "link").c_str());
    run([this]() -> Coroutine<void> {
        const os::stat_result status = co_await os::stat(dir / "a");
        EXPECT_EQ(status.st_size, 5);
        EXPECT_TRUE(S_ISREG(status.st_mode));
        EXPECT_EQ(status.mtime().time_since_epoch().count() / 1'000'000'000, status.st_mtime);
        EXPECT_EQ((co_await os::stat(dir / "link")).st_size, 5);
        EXPECT_TRUE(S_ISLNK((co_await os::stat(dir / "link", {.follow_symlinks = false})).st_mode));
        const int fd = ::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        EXPECT_EQ((co_await os::stat("a", {.dir_fd = fd})).st_ino, status.st_ino);
        EXPECT_TRUE(S_ISDIR((co_await os::stat(fd)).st_mode));
        ::close(fd);
        EXPECT_EQ(co_await thrown_in([this] { return os::stat(dir / "no"); }),
                  "FileNotFoundError: [Errno 2] No such file or directory: '" + dir / "no" + "'");
        EXPECT_THAT(co_await thrown_in([] { return os::stat(1 << 20); }),
                    StartsWith("OSError: [Errno 9] Bad file descriptor"));
        EXPECT_GT((co_await os::statvfs(dir.path())).f_bsize, 0U);
        EXPECT_THAT(co_await thrown_in([this] { return os::statvfs(dir / "no"); }),
                    StartsWith("FileNotFoundError"));
    });
}

TEST_F(Os, FilesAreRenamedLinkedAndRemoved) {
    put(dir / "a", "a");
    put(dir / "b", "b");
    run([this]() -> Coroutine<void> {
        co_await os::rename(dir / "a", dir / "c");
        co_await os::replace(dir / "c", dir / "b");
        EXPECT_EQ(contents_of(dir / "b"), "a");
        co_await os::link(dir / "b", dir / "hard");
        EXPECT_TRUE(co_await os::path::samefile(dir / "b", dir / "hard"));
        co_await os::symlink("b", dir / "soft");
        EXPECT_EQ(co_await os::readlink(dir / "soft"), "b");
        const std::string far(1'000, 'x');
        co_await os::symlink(far, dir / "far");
        EXPECT_EQ(co_await os::readlink(dir / "far"), far);
        co_await os::remove(dir / "hard");
        co_await os::unlink(dir / "soft");
        co_await os::unlink(dir / "far");
        EXPECT_THAT(co_await os::listdir(dir.path()), UnorderedElementsAre("b"));
        EXPECT_EQ(co_await thrown_in([this] { return os::rename(dir / "x", dir / "y"); }),
                  "FileNotFoundError: [Errno 2] No such file or directory: '" + dir / "x" +
                      "' -> '" + dir / "y" + "'");
        EXPECT_THAT(co_await thrown_in([this] { return os::link(dir / "b", dir / "b"); }),
                    StartsWith("FileExistsError"));
        EXPECT_THAT(co_await thrown_in([this] { return os::readlink(dir / "b"); }),
                    StartsWith("OSError: [Errno 22]"));
        EXPECT_THAT(co_await thrown_in([this] { return os::remove(dir.path()); }),
                    StartsWith("IsADirectoryError"));
    });
}

TEST_F(Os, DirectoriesAreMadeAndRemoved) {
    run([this]() -> Coroutine<void> {
        co_await os::mkdir(dir / "a");
        EXPECT_THAT(co_await thrown_in([this] { return os::mkdir(dir / "a"); }),
                    StartsWith("FileExistsError"));
        co_await os::makedirs(dir / "a/b/c/");
        EXPECT_THAT(co_await thrown_in([this] { return os::makedirs(dir / "a/b/c"); }),
                    StartsWith("FileExistsError"));
        co_await os::makedirs(dir / "a/b/c", {.exist_ok = true});
        put(dir / "a/file", "");
        EXPECT_THAT(
            co_await thrown_in([this] { return os::makedirs(dir / "a/file", {.exist_ok = true}); }),
            StartsWith("FileExistsError"));
        EXPECT_THAT(co_await thrown_in([this] { return os::rmdir(dir / "a"); }),
                    StartsWith("OSError: [Errno 39] Directory not empty"));
        co_await os::removedirs(dir / "a/b/c");
        EXPECT_THAT(co_await os::listdir(dir / "a"), UnorderedElementsAre("file"));
        co_await os::renames(dir / "a/file", dir / "x/y/moved");
        EXPECT_FALSE(co_await os::path::exists(dir / "a")) << "left empty";
        EXPECT_TRUE(co_await os::path::isfile(dir / "x/y/moved"));
    });
}

TEST_F(Os, ScandirKnowsWhatThingsAre) {
    put(dir / "file", "12");
    ::mkdir((dir / "sub").c_str(), 0700);
    ::symlink("sub", (dir / "to_sub").c_str());
    ::symlink("nowhere", (dir / "broken").c_str());
    run([this]() -> Coroutine<void> {
        std::map<std::string, os::DirEntry> entries;
        for (auto& entry : co_await os::scandir(dir.path())) entries.emplace(entry.name(), entry);
        EXPECT_EQ(entries.size(), 4U);
        EXPECT_TRUE(entries.at("file").is_file());
        EXPECT_EQ(entries.at("file").path(), dir / "file");
        EXPECT_EQ((co_await entries.at("file").stat()).st_size, 2);
        EXPECT_EQ((co_await entries.at("file").stat()).st_ino, entries.at("file").inode());
        EXPECT_TRUE(entries.at("sub").is_dir());
        EXPECT_TRUE(entries.at("to_sub").is_dir());
        EXPECT_FALSE(entries.at("to_sub").is_dir(false));
        EXPECT_TRUE(entries.at("to_sub").is_symlink());
        EXPECT_TRUE(entries.at("broken").is_symlink());
        EXPECT_FALSE(entries.at("broken").is_file());
        EXPECT_THAT(co_await thrown_in([&] { return entries.at("broken").stat(); }),
                    StartsWith("FileNotFoundError"));
        EXPECT_THAT(co_await thrown_in([this] { return os::scandir(dir / "file"); }),
                    StartsWith("NotADirectoryError"));
        EXPECT_THAT(co_await thrown_in([this] { return os::listdir(dir / "no"); }),
                    StartsWith("FileNotFoundError"));
    });
}

TEST_F(Os, AccessAndTheCurrentDirectory) {
    put(dir / "a", "");
    run([this]() -> Coroutine<void> {
        EXPECT_TRUE(co_await os::access(dir / "a", F_OK));
        EXPECT_TRUE(co_await os::access(dir / "a", R_OK | W_OK));
        EXPECT_FALSE(co_await os::access(dir / "a", X_OK));
        EXPECT_FALSE(co_await os::access(dir / "no", F_OK));
        EXPECT_EQ(co_await os::getcwd(), std::filesystem::current_path().string());
    });
}

TEST_F(Os, APathWithANulIsRefused) {
    const std::string bad("a\0b", 3);
    run([&]() -> Coroutine<void> {
        const std::string text = "ValueError: embedded null byte";
        EXPECT_EQ(co_await thrown_in([&] { return os::stat(bad); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return os::remove(bad); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return os::rename("a", bad); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return os::makedirs(bad); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return os::listdir(bad); }), text);
        EXPECT_EQ(co_await thrown_in([&] { return os::access(bad, F_OK); }), text);
        EXPECT_FALSE(co_await os::path::exists(bad)) << "as in Python";
    });
}

TEST_F(Os, SendfileCopiesInTheKernel) {
    put(dir / "a", "0123456789");
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const int in = ::open((dir / "a").c_str(), O_RDONLY | O_CLOEXEC);
    run([&]() -> Coroutine<void> {
        EXPECT_EQ(co_await os::sendfile(ends[1], in, 3, 4), 4U);
        EXPECT_EQ(co_await os::sendfile(ends[1], in, std::nullopt, 2), 2U);
        EXPECT_EQ(co_await os::sendfile(ends[1], in, std::nullopt, 100), 8U);
        char got[32];
        EXPECT_EQ(std::string(got, static_cast<std::size_t>(::read(ends[0], got, sizeof got))),
                  "34560123456789");
        ::close(ends[0]);
        EXPECT_THAT(co_await thrown_in([&] { return os::sendfile(ends[1], in, 0, 1); }),
                    StartsWith("BrokenPipeError"));
        ::close(ends[1]);
        ::close(in);
    });
}

TEST_F(Os, PreadReadsManyPlacesAtOnce) {
    std::string bytes;
    for (int i = 0; i < 100'000; ++i) bytes += static_cast<char>(i * 31);
    put(dir / "a", bytes);
    run([&]() -> Coroutine<void> {
        const int fd = ::open((dir / "a").c_str(), O_RDONLY | O_CLOEXEC);
        for (const bool cold : {false, true}) {
            if (cold) {
                ::fdatasync(fd);
                ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
            }
            std::vector<asyncio::Task<std::string>> reads;
            for (std::int64_t at = 0; at < 100'000; at += 1'000) {
                reads.push_back(
                    asyncio::create_task([fd, at] { return os::pread(fd, 1'000, at); }));
            }
            std::string all;
            for (const auto& part : co_await asyncio::gather(reads)) all += part;
            EXPECT_TRUE(all == bytes);
        }
        EXPECT_EQ(co_await os::pread(fd, 100, 99'990), bytes.substr(99'990));
        EXPECT_EQ(co_await os::pread(fd, 100, 200'000), "");
        std::array<std::byte, 10> target{};
        EXPECT_EQ(co_await os::pread(fd, target, 5), 10U);
        EXPECT_EQ(static_cast<char>(target[9]), bytes[14]);
        EXPECT_THAT(co_await thrown_in([&] { return os::pread(fd, 5, -1); }),
                    StartsWith("OSError: [Errno 22]"));
        ::close(fd);
        EXPECT_THAT(co_await thrown_in([&] { return os::pread(fd, 5, 0); }),
                    StartsWith("OSError: [Errno 9]"));
    });
}

TEST_F(Os, WrapMakesAnyFunctionOneToAwait) {
    run([]() -> Coroutine<void> {
        const auto here = std::this_thread::get_id();
        const auto where = os::wrap([](int a, const std::string& b) {
            return std::make_pair(std::this_thread::get_id(), b + std::to_string(a));
        });
        const auto [thread, text] = co_await where(7, "seven ");
        EXPECT_NE(thread, here);
        EXPECT_EQ(text, "seven 7");
        const auto fails = os::wrap([] { throw asyncio::LookupError("mine"); });
        EXPECT_EQ(co_await thrown_in(fails), "LookupError: mine");
        auto pool = std::make_shared<concurrent::futures::ThreadPoolExecutor>(1);
        const auto counted =
            os::wrap([](std::unique_ptr<int> n) { return *n; }, {.executor = pool});
        EXPECT_EQ(co_await counted(std::make_unique<int>(5)), 5);
        pool->shutdown();
        EXPECT_THAT(co_await thrown_in([&] { return counted(std::make_unique<int>(5)); }),
                    HasSubstr("after shutdown"));
    });
}

TEST_F(Os, QuestionsAboutPaths) {
    put(dir / "a", "123");
    ::symlink("nowhere", (dir / "broken").c_str());
    run([this]() -> Coroutine<void> {
        namespace path = os::path;
        EXPECT_TRUE(co_await path::exists(dir / "a"));
        EXPECT_FALSE(co_await path::exists(dir / "broken"));
        EXPECT_TRUE(co_await path::islink(dir / "broken"));
        EXPECT_TRUE(co_await path::isdir(dir.path()));
        EXPECT_FALSE(co_await path::isdir(dir / "a"));
        EXPECT_FALSE(co_await path::isfile(dir / "no"));
        EXPECT_TRUE(co_await path::ismount("/"));
        EXPECT_TRUE(co_await path::ismount("/proc"));
        EXPECT_FALSE(co_await path::ismount(dir.path()));
        EXPECT_FALSE(co_await path::ismount(dir / "no"));
        EXPECT_EQ(co_await path::getsize(dir / "a"), 3);
        EXPECT_EQ(co_await path::getmtime(dir / "a"), (co_await os::stat(dir / "a")).mtime());
        EXPECT_EQ(co_await path::getatime(dir / "a"), (co_await os::stat(dir / "a")).atime());
        EXPECT_EQ(co_await path::getctime(dir / "a"), (co_await os::stat(dir / "a")).ctime());
        EXPECT_TRUE(co_await path::samefile(dir / "a", dir.path() + "/./a"));
        const int one = ::open((dir / "a").c_str(), O_RDONLY | O_CLOEXEC);
        const int two = ::dup(one);
        EXPECT_TRUE(co_await path::sameopenfile(one, two));
        EXPECT_FALSE(co_await path::sameopenfile(one, 0));
        ::close(one);
        ::close(two);
        EXPECT_THAT(co_await thrown_in([this] { return path::getsize(dir / "no"); }),
                    StartsWith("FileNotFoundError"));
    });
}

TEST_F(Os, AbspathIsPythons) {
    run([]() -> Coroutine<void> {
        const std::string here = std::filesystem::current_path().string();
        const std::vector<std::pair<std::string, std::string>> cases{
            {"/a/b/../c/./d//e/", "/a/c/d/e"},
            {"//a/..", "//"},
            {"///a", "/a"},
            {"/../../x", "/x"},
            {"x/y/../..", here},
            {"", here},
            {".", here},
            {"/", "/"}};
        for (const auto& [path, expected] : cases) {
            EXPECT_EQ(co_await os::path::abspath(path), expected) << path;
        }
    });
}

TEST_F(Os, PathsAreOfAnyKind) {
    run([this]() -> Coroutine<void> {
        const std::filesystem::path path = std::filesystem::path(dir.path()) / "from path";
        co_await asyncio::with(
            aiofiles::open(path, "w"),
            [](aiofiles::File& file) -> Coroutine<void> { co_await file.write("x"); });
        EXPECT_TRUE(co_await os::path::exists(path));
        co_await os::remove(path);
    });
}
