// A function in a library that the program loads while it runs.
extern "C" int quadruple(int x) { return 4 * x; }
