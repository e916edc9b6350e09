// A loop of the proactor under test, a directory for each test, and a look at what is open.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <aiofiles.hpp>
#include <asyncio.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "support/loop_fixture.hpp"

// The numbers of this process's open descriptors.
inline std::set<int> open_descriptors() {
    std::set<int> all;
    DIR* const directory = ::opendir("/proc/self/fd");
    while (const dirent* const entry = ::readdir(directory)) {
        const int number = std::atoi(entry->d_name);
        if (entry->d_name[0] != '.' && number != ::dirfd(directory)) all.insert(number);
    }
    ::closedir(directory);
    return all;
}

// How many are open on files in `directory`.
inline int open_in(const std::string& directory) {
    int count = 0;
    for (const int fd : open_descriptors()) {
        std::error_code error;
        const auto target =
            std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), error);
        if (!error && target.string().starts_with(directory + "/")) ++count;
    }
    return count;
}

inline std::string contents_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

inline void put(const std::string& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary).write(bytes.data(), std::ssize(bytes));
}

class TestDirectory {
  public:
    TestDirectory() {
        std::string name = (std::filesystem::temp_directory_path() / "aiofiles-XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    TestDirectory(const TestDirectory&) = delete;
    ~TestDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::string operator/(const std::string& name) const {
        return path_ + "/" + name;
    }

  private:
    std::string path_;
};

class FilesTest : public LoopTest {
  protected:
    // Runs the body, ends the executor, and looks for what it left open.
    template <class Body>
    void run(Body body) {
        loop.run_until_complete(loop.create_task(body));
        for (int patience = 0; open_in(dir.path()) > 0 && patience < 1000; ++patience) {
            iterate();  // what was dropped unclosed is closed by a thread
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        EXPECT_EQ(open_in(dir.path()), 0) << "a descriptor leaked";
    }

    TestDirectory dir;
};

// The text of what awaiting `f()` throws, with its type; empty when it throws nothing.
template <class F>
asyncio::Coroutine<std::string> thrown_in(F f) {
    auto outcome = co_await asyncio::try_(f());
    co_return asyncio::describe_exception(outcome.exception());
}
