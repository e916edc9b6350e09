#include <asyncio/exceptions.hpp>
#include <cstdio>

int main() {
    try {
        asyncio::throw_os_error(2, "hello");
    } catch (const asyncio::FileNotFoundError& error) {
        std::puts(error.what());
    }
}
