// A program that knows nothing of asyncio.cpp and loads a library that does: argv[1], whose
// main() it calls with the rest.
#include <dlfcn.h>

#include <cstdio>

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    void* library = dlopen(argv[1], RTLD_NOW);
    void* entry = library != nullptr ? dlsym(library, "inspected_main") : nullptr;
    if (entry == nullptr) {
        std::fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    return reinterpret_cast<int (*)(int, char**)>(entry)(argc - 1, argv + 1);
}
