// A program whose end the tests watch. The first argument says what it does.
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <thread>

#include <concurrent/futures/process.hpp>

using concurrent::futures::ProcessPoolExecutor;
using namespace std::chrono_literals;

namespace {

void wait_forever() { ::pause(); }
pid_t parent_of_worker() { return getppid(); }

// Prints without a newline and without a flush.
void print_both_ways() {
    std::printf("printf ");
    std::cout << "cout ";
}

void print_late(const std::string& text) {
    std::this_thread::sleep_for(50ms);
    std::printf("%s", text.c_str());
}

bool sees_variable() { return std::getenv("ASYNCIO_CPP_CHILD") != nullptr; }
// Before main(), while initialisers run.
const bool seen_by_initializer = sees_variable();
bool initializer_saw_variable() { return seen_by_initializer; }

int reads_stdin() { return std::getchar(); }

// Says who is there, then ends without a word to anybody.
int die_with_running_workers(int how) {
    static auto& pool = *new ProcessPoolExecutor(2);  // never destroyed, never lost
    const pid_t server = pool.submit(parent_of_worker).result();
    pool.submit(wait_forever);
    pool.submit(wait_forever);
    while (pool.worker_pids().size() < 2) std::this_thread::sleep_for(1ms);
    std::printf("%d", server);
    for (const pid_t pid : pool.worker_pids()) std::printf(" %d", pid);
    std::printf("\n");
    std::fflush(stdout);
    if (how == SIGKILL) raise(SIGKILL);
    _exit(0);
}

int leave_main_with_running_calls() {
    static auto& pool = *new ProcessPoolExecutor(2);  // never destroyed, never lost
    for (const char* text : {"apple ", "pear ", "plum "}) pool.submit(print_late, text);
    pool.shutdown({.wait = false});
    std::printf("main ");
    return 0;
}

ProcessPoolExecutor* last_pool = nullptr;
int submit_at_exit() {
    std::atexit([] {
        try {
            last_pool->submit(getpid);
        } catch (const asyncio::RuntimeError& error) {
            std::printf("%s\n", error.what());
        }
    });
    last_pool = new ProcessPoolExecutor(1);
    last_pool->submit(getpid).result();
    return 0;
}

int print_from_worker() {
    ProcessPoolExecutor pool(1);
    pool.submit(print_both_ways).result();
    std::printf("parent ");
    std::fflush(stdout);
    pool.submit(print_both_ways).result();
    return 0;
}

int look_at_environment() {
    ProcessPoolExecutor pool(1);
    std::printf("%d %d %d\n", pool.submit(sees_variable).result(),
                pool.submit(initializer_saw_variable).result(), pool.submit(reads_stdin).result());
    return 0;
}

// A pool in a global variable; used from main() on.
ProcessPoolExecutor global_pool(1);
int use_global_pool() {
    std::printf("%d\n", global_pool.submit([](int x) { return -x; }, -4).result());
    return 0;
}

int square(int x) { return x * x; }
int pool_in_worker(int x) {
    ProcessPoolExecutor pool(1);
    return pool.submit(square, x).result();
}
int nest() {
    ProcessPoolExecutor pool(1);
    std::printf("%d\n", pool.submit(pool_in_worker, 5).result());
    return 0;
}

// As after `ulimit -f`: no large file may be made, so no memory is shared.
int without_shared_memory() {
    const rlimit limit{1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    ProcessPoolExecutor pool(2);
    const auto twice = [](const std::string& text) { return text + text; };
    const std::string text(3'000'000, 'x');
    auto first = pool.submit(twice, text);
    auto second = pool.submit(twice, text);
    auto third = pool.submit(twice, text);
    std::printf("%d\n", first.result() == text + text && second.result().size() == 6'000'000 &&
                            third.result().size() == 6'000'000);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::map<std::string, int (*)()> modes = {
        {"exit", [] { return die_with_running_workers(0); }},
        {"kill", [] { return die_with_running_workers(SIGKILL); }},
        {"leave", leave_main_with_running_calls},
        {"submit_at_exit", submit_at_exit},
        {"print", print_from_worker},
        {"environment", look_at_environment},
        {"global", use_global_pool},
        {"nest", nest},
        {"no_shared_memory", without_shared_memory},
    };
    const auto mode = modes.find(argc > 1 ? argv[1] : "");
    return mode == modes.end() ? 2 : mode->second();
}
