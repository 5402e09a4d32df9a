// A ring in shared memory: one process puts in 64-byte messages, another
// takes them out, both spin. The reader checks every message.
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 1024 };
struct ring {
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) uint64_t slot[SLOTS][8];
};

int main(int argc, char **argv) {
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 5000000;
    struct ring *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED) return 1;
    if (fork() == 0) {
        for (uint64_t i = 0; i < n; i++) {
            while (i - atomic_load_explicit(&r->tail, memory_order_acquire) >= SLOTS) __builtin_ia32_pause();
            for (int j = 0; j < 8; j++) r->slot[i % SLOTS][j] = i + j;
            atomic_store_explicit(&r->head, i + 1, memory_order_release);
        }
        _exit(0);
    }
    for (uint64_t i = 0; i < n; i++) {
        while (atomic_load_explicit(&r->head, memory_order_acquire) <= i) __builtin_ia32_pause();
        for (int j = 0; j < 8; j++)
            if (r->slot[i % SLOTS][j] != i + j) return 2;
        atomic_store_explicit(&r->tail, i + 1, memory_order_release);
    }
    wait(NULL);
    return 0;
}
