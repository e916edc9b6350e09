// Linked into every program that uses the library, with -Wl,--wrap=main: the C
// runtime calls __wrap_main where it would call main.
//
// This object is always part of the program itself. A shared library could not
// refer to the program's main.

extern "C" {

int __real_main(int argc, char** argv, char** envp);

// In the library. Weak, so that a program without process pools does not link them.
[[gnu::weak]] void asyncio_cpp_before_main();

// Tells the library that this object is here, also while main() has not begun.
extern const char asyncio_cpp_process_entry;
const char asyncio_cpp_process_entry = 1;

int __wrap_main(int argc, char** argv, char** envp) {
    // Does not return in a process that was started for a pool.
    if (asyncio_cpp_before_main != nullptr) asyncio_cpp_before_main();
    return __real_main(argc, argv, envp);
}

}  // extern "C"
