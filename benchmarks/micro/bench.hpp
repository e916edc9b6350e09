// What every C++ peer shares: the command line, the clocks, and the one line of JSON.
//
//   int main(int argc, char** argv) {
//       return bench::run("name", argc, argv, {{"yield_2", yield_2}, ...});
//   }
//
// A workload is a function `void f(bench::Run& run)`: it does `run.n` operations between
// run.start() and run.stop(), and may add figures of its own with run.figure().
#pragma once

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

// In programs that count what they run, for benchmarks/train.
extern "C" [[gnu::weak]] int __llvm_profile_write_file();

namespace bench {

inline std::int64_t nanoseconds(clockid_t clock = CLOCK_MONOTONIC) {
    timespec t;
    clock_gettime(clock, &t);
    return std::int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

// Resident memory of this process now, in bytes.
inline std::int64_t resident() {
    long total = 0, pages = 0;
    if (std::FILE* f = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(f, "%ld %ld", &total, &pages) != 2) pages = 0;
        std::fclose(f);
    }
    return std::int64_t(pages) * sysconf(_SC_PAGESIZE);
}

class Run {
  public:
    explicit Run(std::uint64_t operations) : n(operations) {}

    const std::uint64_t n;

    void start() {
        cpu_ = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
        wall_ = nanoseconds();
    }

    void stop(std::uint64_t operations) {
        wall_ = nanoseconds() - wall_;
        cpu_ = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_;
        operations_ = operations;
    }

    void stop() { stop(n); }

    void figure(const char* name, double value) {
        char text[96];
        std::snprintf(text, sizeof text, ", \"%s\": %.6g", name, value);
        figures_ += text;
    }

    // One-way latencies in ns: reports the median and the 99th percentile.
    void latencies(std::vector<std::int64_t> each) {
        if (each.empty()) return;
        std::sort(each.begin(), each.end());
        figure("median_ns", double(each[each.size() / 2]));
        figure("p99_ns", double(each[each.size() * 99 / 100]));
    }

    void print(const char* peer, const char* workload) const {
        const double ops = operations_ ? double(operations_) : 1;
        std::printf(
            "{\"peer\": \"%s\", \"workload\": \"%s\", \"ops\": %llu, \"ns_per_op\": %.2f, "
            "\"cpu_ns_per_op\": %.2f%s}\n",
            peer, workload, (unsigned long long)operations_, double(wall_) / ops,
            double(cpu_) / ops, figures_.c_str());
        std::fflush(stdout);
    }

  private:
    std::int64_t wall_ = 0, cpu_ = 0;
    std::uint64_t operations_ = 0;
    std::string figures_;
};

// Pseudo-random delays of 0..1000 ms in microseconds; the same sequence in every peer.
class Delays {
  public:
    std::int64_t next() {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return std::int64_t((state_ >> 33) % 1'000'001);
    }

  private:
    std::uint64_t state_ = 42;
};

// Keeps the compiler from computing a result away.
template <class T>
inline void keep(const T& value) {
    asm volatile("" : : "g"(value) : "memory");
}

struct Workload {
    const char* name;
    void (*body)(Run&);
};

// argv: WORKLOAD [N]; `--list` prints the names.
inline int run(const char* peer, int argc, char** argv, std::initializer_list<Workload> workloads) {
    if (argc < 2 || !std::strcmp(argv[1], "--list")) {
        for (auto& w : workloads) std::puts(w.name);
        return argc < 2 ? 2 : 0;
    }
    for (auto& w : workloads) {
        if (std::strcmp(w.name, argv[1])) continue;
        Run r(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000);
        w.body(r);
        r.print(peer, w.name);
        std::fflush(stdout);
        if (__llvm_profile_write_file) __llvm_profile_write_file();
        _exit(0);  // tearing a million tasks down is not part of any workload
    }
    std::fprintf(stderr, "%s has no workload %s\n", peer, argv[1]);
    return 3;
}

}  // namespace bench
