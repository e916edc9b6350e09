// A function in a shared library.
int triple(int x) { return 3 * x; }
