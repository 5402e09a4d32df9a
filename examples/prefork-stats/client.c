// Asks the server for each path that is given, twenty times over.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    while (connect(server, (struct sockaddr *)&address, sizeof address) < 0) {
        if (errno != ENOENT && errno != ECONNREFUSED) {
            perror(path);
            _exit(2);
        }
        usleep(2000); // The server is not there yet.
    }
    return server;
}

int main(int argc, char **argv) {
    for (int round = 0; round < 20; round++)
        for (int i = 2; i < argc; i++) {
            char reply[64];
            int server = connect_to(argv[1]);
            write(server, argv[i], strlen(argv[i]));
            while (read(server, reply, sizeof reply) > 0) {
            }
            close(server);
        }
}
