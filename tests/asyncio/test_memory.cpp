// The recycling allocator of frames and handles, through the frames that use it and by itself.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include <asyncio/memory_detail.hpp>

#include "support/simulate.hpp"

using namespace asyncio;
using asyncio::detail::allocate;
using asyncio::detail::RefCount;
using asyncio::detail::release;

namespace {

struct Block {
    unsigned char* bytes;
    std::size_t size;
    unsigned char mark;

    static Block make(std::size_t size, unsigned char mark) {
        auto* bytes = static_cast<unsigned char*>(allocate(size));
        std::memset(bytes, mark, size);
        return {bytes, size, mark};
    }
    [[nodiscard]] bool intact() const {
        return std::all_of(bytes, bytes + size, [this](unsigned char b) { return b == mark; });
    }
    void give_back() const { release(bytes, size); }
};

}  // namespace

TEST(Allocator, BlocksDoNotOverlapAndAreAligned) {
    std::mt19937 random(1);
    std::vector<Block> blocks;
    for (int i = 0; i < 20'000; ++i) {
        if (blocks.size() < 100 || random() % 2 == 0) {
            blocks.push_back(Block::make(1 + random() % 1500, static_cast<unsigned char>(i)));
            EXPECT_EQ(reinterpret_cast<std::uintptr_t>(blocks.back().bytes) %
                          __STDCPP_DEFAULT_NEW_ALIGNMENT__,
                      0u);
        } else {
            std::swap(blocks[random() % blocks.size()], blocks.back());
            ASSERT_TRUE(blocks.back().intact());
            blocks.back().give_back();
            blocks.pop_back();
        }
    }
    for (const Block& block : blocks) {
        ASSERT_TRUE(block.intact());
        block.give_back();
    }
}

TEST(Allocator, ABlockGivenBackIsTheNextOneOfItsSize) {
    if (!asyncio::detail::recycle_blocks) GTEST_SKIP() << "sanitizers see every allocation";
    void* first = allocate(200);
    release(first, 200);
    void* second = allocate(193);  // the same class of sizes
    EXPECT_EQ(first, second);
    release(second, 193);
}

// In bytes.
long resident() {
    long total = 0, pages = 0;
    std::ifstream("/proc/self/statm") >> total >> pages;
    return pages * sysconf(_SC_PAGESIZE);
}

TEST(Allocator, MemoryOfAPeakGoesBackToTheSystem) {
    if (!asyncio::detail::recycle_blocks) GTEST_SKIP() << "sanitizers see every allocation";
    constexpr std::size_t size = 208, count = 900'000;
    std::vector<void*> blocks(count);
    const long before = resident();
    for (void*& block : blocks) std::memset(block = allocate(size), 1, size);
    const long peak = resident() - before;
    EXPECT_GE(peak, static_cast<long>(size * count));
    for (void* block : blocks) release(block, size);
    // Less than half of it is kept, for the next peak.
    EXPECT_LT(resident() - before, peak / 2);
    for (void*& block : blocks) std::memset(block = allocate(size), 2, size);
    for (void* block : blocks) {
        EXPECT_EQ(static_cast<unsigned char*>(block)[size - 1], 2);
        release(block, size);
    }
}

// Forked while other threads are about to get, or to give back, what all threads share.
TEST(Allocator, AForkedChildGoesOnAllocating) {
    if (!asyncio::detail::recycle_blocks) GTEST_SKIP() << "sanitizers see every allocation";
    std::atomic<bool> stop = false;
    std::thread busy([&stop] {
        std::vector<Block> blocks;
        while (!stop) {
            for (int i = 0; i < 3000; ++i) blocks.push_back(Block::make(1000, 1));
            for (const Block& block : blocks) block.give_back();
            blocks.clear();
        }
    });
    for (int i = 0; i < 50; ++i) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(20);
            for (std::size_t n = 0; n < 3000; ++n) static_cast<void>(Block::make(400, 2));
            _exit(0);
        }
        int status = -1;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ASSERT_EQ(status, 0) << "attempt " << i;
    }
    stop = true;
    busy.join();
}

// What one thread allocates another may free, for ever, in both directions.
TEST(Allocator, ProducerAndConsumerThreadsKeepEachOtherSupplied) {
    constexpr int rounds = 200, count = 2000;
    std::vector<Block> handed;
    for (int round = 0; round < rounds; ++round) {
        std::thread producer([&handed, round] {
            for (int i = 0; i < count; ++i) {
                handed.push_back(Block::make(static_cast<std::size_t>(16 + i % 900),
                                             static_cast<unsigned char>(round + i)));
            }
        });
        producer.join();
        for (const Block& block : handed) {
            ASSERT_TRUE(block.intact());
            block.give_back();
        }
        handed.clear();
    }
}

TEST(Allocator, FramesOutliveTheThreadThatMadeThem) {
    std::vector<Coroutine<int>> made;
    std::thread([&made] {
        for (int i = 0; i < 1000; ++i) {
            made.push_back([](int x) -> Coroutine<int> { co_return x; }(i));
        }
    }).join();
    int sum = 0;
    asyncio::run([&]() -> Coroutine<void> {
        for (auto& coroutine : made) sum += co_await std::move(coroutine);
    });
    EXPECT_EQ(sum, 999 * 1000 / 2);
}

TEST(RefCount, CountsAcrossThreadsAndEndsAtZero) {
    RefCount count(1);
    std::atomic<int> last = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < 10'000; ++n) {
                count.add();
                if (count.drop()) ++last;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(last, 0);
    EXPECT_EQ(count.value(), 1u);
    EXPECT_TRUE(count.drop());
    EXPECT_EQ(count.value(), 0u);  // so that the object may live on
}
