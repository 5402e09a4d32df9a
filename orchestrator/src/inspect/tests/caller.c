/* Stops in a function that a shared library and qsort_r of the C library call.
   What is on the stack: back, (functions of libc), sorted, through, library_call, main. */
#define _GNU_SOURCE
#include <stdlib.h>
#include "stop.h"

volatile int go;

int library_call(int (*back)(int), int n);

int back(const void *a, const void *b, void *n) {
    (void)n;
    STOP;
    return *(const int *)a - *(const int *)b;
}

NOINLINE int sorted(int n) {
    int values[2] = {n, 1};
    qsort_r(values, 2, sizeof *values, back, 0);
    return values[0];
}

int main(int argc, char **argv) {
    (void)argv;
    return library_call(sorted, argc) == 12345;
}
