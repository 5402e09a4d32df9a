// Four threads that "measure": they wake up by the clock, take random values,
// and print a line each under a lock.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int serial;

static void *sensor(void *name) {
    for (int i = 0; i < 10; i++) {
        unsigned short value;
        getrandom(&value, sizeof value, 0);
        usleep(1000 + value % 4000);
        pthread_mutex_lock(&lock);
        printf("%d %s %u\n", ++serial, (char *)name, value);
        fflush(stdout);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

int main(void) {
    char *names[] = {"north", "east", "south", "west"};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, sensor, names[i]);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}
