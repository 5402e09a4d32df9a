/* Waits in a call of the C library.
   What is on the stack: (functions of libc), wait_for_it, main. */
#include <poll.h>
#include "stop.h"

volatile int go = 1;

NOINLINE int wait_for_it(void) {
    STOP;
    return poll(0, 0, 60000) + 1;
}

int main(void) {
    return wait_for_it() + 1;
}
