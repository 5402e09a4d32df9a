// Waits until all jobs are done, and counts the failures.
#include "queue.h"
#include <cassert>
#include <cstdio>
#include <thread>

int main() {
    Queue &queue = open_queue(false);
    while (!queue.closed || queue.done < queue.submitted)
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    for (const Job &job : queue.jobs) {
        if (job.failures != 0)
            std::fprintf(stderr, "report: job %ld “%.32s” failed %d times\n",
                         &job - queue.jobs, job.title, job.failures);
        assert(job.failures >= 0 && job.failures <= 3);
    }
    std::puts("report: all is well");
}
