// staggered_race: a failure starts the next at once, the winner cancels the rest, without a
// winner everybody's error is told. The order only: the turns it takes differ between Pythons.
#include <functional>

#include "scenario.hpp"

using Way = std::function<Coroutine<std::string>()>;

Way way(std::string label, int turns, std::string error = "") {
    return [=]() -> Coroutine<std::string> {
        note(label, "starts");
        for (int i = 0; i < turns; ++i) co_await asyncio::sleep(0);
        if (!error.empty()) {
            note(label, "fails");
            throw asyncio::ValueError(error);
        }
        note(label, "wins");
        co_return label;
    };
}

Coroutine<void> race(std::vector<Way> ways) {
    const auto [winner, index, exceptions] = co_await asyncio::staggered_race(ways);
    note("winner", winner, index);
    note("exceptions", exceptions);
}

Coroutine<void> program() {
    note("begins");
    co_await race({way("a", 1)});
    co_await race({way("a", 1, "no"), way("b", 0)});
    co_await race({way("a", 0, "one"), way("b", 1, "two")});
    co_await race({});
}

int main() {
    asyncio::run(program());
}
