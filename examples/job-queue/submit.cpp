// Puts one job a line of standard input into the queue.
#include "queue.h"
#include <cstring>
#include <iostream>
#include <string>

// Length of a text, for the check below.
static size_t length(const std::string &text) {
    size_t n = 0;
    for (unsigned char c : text)
        n += (c & 0xc0) != 0x80;
    return n;
}

static void set_title(Job &job, const std::string &title) {
    std::memcpy(job.title, title.data(), title.size());
}

static bool submit(Queue &queue, const std::string &title) {
    uint32_t n = queue.submitted;
    if (n == JOBS || length(title) > sizeof(Job::title))
        return false;
    Job &job = queue.jobs[n];
    set_title(job, title);
    job.state = READY;
    queue.submitted = n + 1;
    return true;
}

int main() {
    Queue &queue = open_queue(false);
    std::string title;
    while (std::getline(std::cin, title))
        if (!submit(queue, title))
            std::cerr << "submit: cannot take “" << title << "”\n";
    queue.closed = 1;
}
