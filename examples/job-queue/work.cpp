// Takes jobs from the queue and does them.
#include "queue.h"
#include <cstdio>
#include <thread>

static void perform(Job &job) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    std::printf("worker %d: %.32s\n", getpid(), job.title);
    std::fflush(stdout);
}

int main() {
    Queue &queue = open_queue(false);
    for (;;) {
        bool closed = queue.closed;
        uint32_t submitted = queue.submitted;
        // The last first: new jobs are the most urgent.
        for (uint32_t n = submitted; n-- > 0;) {
            Job &job = queue.jobs[n];
            uint32_t ready = READY;
            if (!job.state.compare_exchange_strong(ready, RUNNING))
                continue;
            perform(job);
            job.state = DONE;
            queue.done++;
        }
        if (closed && queue.done >= submitted)
            return 0;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}
