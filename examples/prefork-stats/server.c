// A server that forks its workers beforehand: all accept from one socket, and
// each keeps its statistics in a row of a page that they share.
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 3

struct row {
    long active;    // requests that are being answered
    long served;    // requests that have been answered
    long status[5]; // of these: with 1xx, 2xx, 3xx, 4xx, 5xx
};

static struct row *rows;

static int status_of(const char *path) {
    usleep(500);
    if (strcmp(path, "/") == 0)
        return 200;
    if (strcmp(path, "/old") == 0)
        return 301;
    return strcmp(path, "/broken") == 0 ? 503 : 404;
}

static void count(struct row *row, int status) {
    row->served++;
    row->status[status / 100]++;
}

static void answer(struct row *row, int connection) {
    char path[64];
    row->active++;
    ssize_t size = read(connection, path, sizeof path - 1);
    path[size > 0 ? size : 0] = 0;
    int status = status_of(path);
    dprintf(connection, "%d\n", status);
    count(row, status);
    row->active--;
    close(connection);
}

static void work(struct row *row, int listener) {
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection >= 0)
            answer(row, connection);
    }
}

static int report(const pid_t *workers) {
    int bad = 0;
    printf("worker     pid served active\n");
    for (int i = 0; i < WORKERS; i++)
        printf("%6d %7d %6ld %6ld\n", i, workers[i], rows[i].served, rows[i].active);
    for (int i = 0; i < WORKERS; i++)
        if (rows[i].active != 0) {
            bad = 1;
            printf("server: worker %d has ended with %ld requests unanswered\n", i, rows[i].active);
        }
    return bad;
}

static int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 64) < 0) {
        perror(path);
        exit(2);
    }
    return listener;
}

int main(int argc, char **argv) {
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, NULL);
    rows = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int listener = listen_at(argv[1]);
    pid_t workers[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        if ((workers[i] = fork()) == 0) {
            sigprocmask(SIG_UNBLOCK, &end, NULL);
            work(&rows[i], listener);
        }
    int signal;
    sigwait(&end, &signal);
    for (int i = 0; i < WORKERS; i++)
        kill(workers[i], SIGTERM);
    while (wait(NULL) > 0) {
    }
    return report(workers);
}
