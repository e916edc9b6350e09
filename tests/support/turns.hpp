// Gives up the turn: what is ready now has run once for each of `count` iterations.
#pragma once

#include <asyncio/tasks.hpp>

inline asyncio::Coroutine<void> turns(int count = 1) {
    for (int i = 0; i < count; ++i) co_await asyncio::sleep(0);
}
