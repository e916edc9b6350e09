// expect: not an async iterator: it needs a member anext\(\)
#include <asyncio/async_iteration.hpp>
#include <vector>

auto all = asyncio::to_vector(std::vector<int>{1, 2, 3});
