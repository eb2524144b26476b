// A plain HTTP server: one blocking accept loop.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
    int calls = 0, on = 1, server = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080)};
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 16)) return 3;
    for (;;) {
        int client = accept(server, 0, 0);
        if (client < 0) return 4;
        char request[4096], body[4200], reply[5000];
        ssize_t n = read(client, request, sizeof request - 1);
        if (n < 0) return 5;
        request[n] = 0;
        int length = sprintf(body, "%d %.*s", ++calls, (int)strcspn(request, "\r"), request);
        int total = sprintf(reply, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", length, body);
        write(client, reply, total);
        close(client);
    }
}
