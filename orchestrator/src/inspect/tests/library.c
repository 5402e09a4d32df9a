/* A shared library: calls back who calls it. */
__attribute__((noinline)) static int through(int (*back)(int), int n) {
    return back(n) + 1;
}

int library_call(int (*back)(int), int n) {
    return through(back, n) * 2;
}
