// Makes an empty queue.
#include "queue.h"

int main() {
    Queue &queue = open_queue(true);
    for (Job &job : queue.jobs)
        job.failures = 0;
}
