// Four threads compute, and take one mutex each 200 operations: the cost of
// running the threads of a process in turns.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t sum;
static long rounds = 200000;

static void *work(void *arg) {
    uint64_t x = (uintptr_t)arg;
    for (long i = 0; i < rounds; i++) {
        for (int j = 0; j < 200; j++) x = x * 6364136223846793005u + 1442695040888963407u;
        pthread_mutex_lock(&lock);
        sum += x >> 60;
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t t[4];
    if (argc > 1) rounds = atol(argv[1]);
    for (uintptr_t i = 0; i < 4; i++)
        if (pthread_create(&t[i], NULL, work, (void *)(i + 1))) return 1;
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    printf("%lu\n", (unsigned long)sum);
    return 0;
}
