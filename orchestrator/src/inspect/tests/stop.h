/* STOP: tells who started the program that it is there (a byte on standard
   output), and waits until `go` is set: all in the function that it is used in. */
#include <unistd.h>

extern volatile int go;

#define STOP                                                                        \
    do {                                                                            \
        long told = 1; /* SYS_write */                                              \
        __asm__ volatile("syscall"                                                  \
                         : "+a"(told)                                               \
                         : "D"(1), "S"("!"), "d"(1)                                 \
                         : "rcx", "r11", "memory");                                 \
        while (!go)                                                                 \
            __builtin_ia32_pause();                                                 \
    } while (0)

#define NOINLINE __attribute__((noinline, noclone))
