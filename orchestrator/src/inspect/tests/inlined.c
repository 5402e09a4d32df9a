/* Stops in a function that is inlined in one that is inlined in `work`.
   What is on the stack: inner (inlined), outer (inlined), work, main. */
#include "stop.h"

volatile int go;

__attribute__((always_inline)) static inline int inner(int n) {
    STOP;
    return n * 3;
}

__attribute__((always_inline)) static inline int outer(int n) {
    return inner(n + 1) + go;
}

NOINLINE int work(int n) {
    return outer(n) + 1;
}

int main(int argc, char **argv) {
    (void)argv;
    return work(argc) == 12345;
}
