// Two tasks that hand futures to each other: one iteration for each hand-over.
#include "scenario.hpp"

using Futures = std::vector<Future<int>>;

Coroutine<void> player(std::string name, Futures own, Futures other, int rounds) {
    for (int round = 0; round < rounds; ++round) {
        int value = co_await own[round];
        trace(name, "has", value);
        other[round].set_result(value + 1);
        trace(name, "passed it on");
    }
    trace(name, "done");
}

Coroutine<void> program() {
    trace("begins");
    Futures left(4);
    Futures right(4);

    // The right player's n-th future lets the left player's n+1-st come.
    auto a = asyncio::create_task(player("left", left, right, 3));
    auto b = asyncio::create_task(player("right", right, Futures(left.begin() + 1, left.end()), 3));
    left[0].set_result(0);
    co_await asyncio::gather(a, b);
    trace("end with", co_await left[3]);
}

int main() {
    asyncio::run(program());
}
