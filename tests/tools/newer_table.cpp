// A process with a table of tasks of a version that is yet to come.
#include <cstdint>
#include <cstdio>

extern "C" {
[[gnu::visibility("hidden")]] extern const struct Start {
    char magic[16];
    std::uint32_t version, size;
} future_table;
[[gnu::used]] const Start future_table = {"asyncio.cpp tab", 99, 4000};
}

asm(R"(
    .pushsection .note.asyncio.cpp, "a", %note
    .balign 4
    .long 12
    .long 8
    .long 1
    .asciz "asyncio.cpp"
    .quad future_table - .
    .popsection
)");

int main() {
    std::puts("ready");
    std::fflush(stdout);
    return std::getchar() == EOF ? 0 : 1;
}
