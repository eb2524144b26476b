// A bootstrap of AWS Lambda's Runtime API on plain sockets. What it does with an event is told by words in it.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define API "/2018-06-01/runtime/"

static char reply[12 << 20];
static size_t head;
static int calls;

static int open_api(void) {
    char host[64];
    snprintf(host, sizeof host, "%s", getenv("AWS_LAMBDA_RUNTIME_API"));
    char *colon = strchr(host, ':');
    *colon = 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(colon + 1))};
    inet_pton(AF_INET, host, &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) exit(10);
    return fd;
}

static void put(int fd, const char *bytes, size_t len) {
    while (len) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0) exit(11);
        bytes += sent, len -= sent;
    }
}

// Reads a response into `reply`; its status. `head` is where the body begins.
static int status(int fd) {
    size_t have = 0, need = sizeof reply;
    head = 0;
    while (!head || have < head + need) {
        ssize_t got = recv(fd, reply + have, sizeof reply - 1 - have, 0);
        if (got <= 0) exit(12);
        reply[have += got] = 0;
        char *end = strstr(reply, "\r\n\r\n");
        if (!head && end) {
            head = end + 4 - reply;
            need = atol(strcasestr(reply, "content-length:") + 15);
        }
    }
    return atoi(reply + 9);
}

static int call(int fd, const char *method, const char *path, const char *fields, const char *body, size_t len) {
    char text[1024];
    int n = snprintf(text, sizeof text, "%s %s%s HTTP/1.1\r\nHost: api\r\n%sContent-Length: %zu\r\n\r\n", method, API,
                     path, fields, len);
    put(fd, text, n);
    put(fd, body, len);
    return status(fd);
}

// Gives what was written time to go out, even if the machine stands still for a moment.
static void rest(const char *event) {
    if (strstr(event, "slow")) usleep(200000);
}

// 40,000,000 bytes, in chunks.
static void put_large(int fd) {
    static char chunk[7 + 1000000 + 2];
    int n = sprintf(chunk, "%x\r\n", 1000000);
    memset(chunk + n, 'l', 1000000);
    memcpy(chunk + n + 1000000, "\r\n", 2);
    for (int i = 0; i < 40; i++) put(fd, chunk, n + 1000002);
}

int main(int argc, char **argv) {
    int fd = open_api();
    if (argc > 1 && !strcmp(argv[1], "fails")) {
        const char *type = "Lambda-Runtime-Function-Error-Type: Runtime.NoDatabase\r\n";
        const char *text = "{\"errorMessage\":\"there is no database\",\"errorType\":\"Runtime.NoDatabase\"}";
        if (call(fd, "POST", "init/error", type, text, strlen(text)) != 202) return 20;
        if (call(fd, "GET", "invocation/next", "", "", 0) != 403) return 21;
        return 3;
    }
    if (argc > 1 && !strcmp(argv[1], "restores") && call(fd, "GET", "restore/next", "", "", 0) != 200) return 22;
    for (;;) {
        if (call(fd, "GET", "invocation/next", "", "", 0) != 200) return 30;
        calls++;
        char id[128] = "", path[256], error[256], trace[16] = "no";
        sscanf(strcasestr(reply, "lambda-runtime-aws-request-id:") + 30, " %127[^\r]", id);
        if (strcasestr(reply, "\r\nlambda-runtime-trace-id:")) strcpy(trace, "traced");
        if (!strcasestr(reply, "\r\nlambda-runtime-deadline-ms:")) return 31;
        char *event = strdup(reply + head);
        snprintf(path, sizeof path, "invocation/%s/response", id);
        snprintf(error, sizeof error, "invocation/%s/error", id);
        fprintf(stderr, "call %d\n", calls);
        if (strstr(event, "skip")) continue;
        if (strstr(event, "leave")) return 5;
        if (strstr(event, "raise")) {
            const char *text = "{\"errorMessage\":\"as asked\",\"errorType\":\"AskedError\",\"stackTrace\":[]}";
            call(fd, "POST", error, "Lambda-Runtime-Function-Error-Type: unhandled\r\n", text, strlen(text));
        } else if (strstr(event, "wrong")) {
            if (call(fd, "POST", "invocation/other/response", "", "1", 1) != 400) return 32;
            if (call(fd, "GET", "invocation/other", "", "", 0) != 404) return 33;
            if (call(fd, "POST", "init/error", "", "{}", 2) != 403) return 34;
            call(fd, "POST", path, "", "\"put right\"", 11);
        } else if (strstr(event, "huge")) {
            size_t len = 17 << 20;
            char *much = malloc(len);
            memset(much, ' ', len);
            if (call(fd, "POST", path, "", much, len) != 413) return 35;
            if (strstr(event, "explain")) call(fd, "POST", error, "", "{\"errorType\":\"TooMuch\"}", 23);
        } else if (strstr(event, "big")) {
            size_t len = 8 << 20;
            char *much = malloc(len);
            memset(much, 'b', len);
            much[0] = much[len - 1] = '"';
            call(open_api(), "POST", path, "", much, len);
        } else if (strstr(event, "binary")) {
            const char *text = "{\"statusCode\":201,\"headers\":{\"content-type\":\"image/x\"},\"cookies\":[\"a=1\",\"b=2\"],"
                               "\"multiValueHeaders\":{\"x-many\":[\"1\",\"2\"]},\"isBase64Encoded\":true,\"body\":\"AAEC/w==\"}";
            call(fd, "POST", path, "", text, strlen(text));
        } else if (strstr(event, "flow")) {
            char text[1024];
            int n = snprintf(text, sizeof text, "POST %s%s HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n"
                             "Lambda-Runtime-Function-Response-Mode: streaming\r\nTrailer: Lambda-Runtime-Function-Error-Type\r\n"
                             "Content-Type: application/vnd.awslambda.http-integration-response\r\n\r\n", API, path);
            put(fd, text, n);
            rest(event);
            put(fd, "2e\r\n{\"statusCode\":418,\"headers\":{\"x-tea\":\"green\"}}\r\n8\r\n\0\0\0\0\0\0\0\0\r\n", 65);
            rest(event);
            put(fd, "6\r\nfirst \r\n", 11);
            rest(event);
            if (strstr(event, "die")) return 7;
            if (strstr(event, "drop")) {
                close(fd);
                rest("slow");
                return 8;
            }
            while (strstr(event, "endless")) put(fd, "6\r\nfirst \r\n", 11), rest("slow");
            if (strstr(event, "large")) put_large(fd);
            put(fd, "6\r\nsecond\r\n", 11);
            if (strstr(event, "break")) {
                put(fd, "0\r\nLambda-Runtime-Function-Error-Type: Broke\r\n", 46);
                put(fd, "Lambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiJoYWxmIHdheSJ9\r\n\r\n", 76);
            } else {
                put(fd, "0\r\n\r\n", 5);
            }
            status(fd);
        } else if (strstr(event, "bytes")) {
            call(fd, "POST", path, "", event, strlen(event));
        } else {
            char text[256];
            unsigned long random;
            getrandom(&random, sizeof random, 0);
            int n = snprintf(text, sizeof text, "{\"calls\":%d,\"random\":\"%lx\",\"id\":\"%s\",\"trace\":\"%s\"}", calls, random,
                             id, trace);
            call(fd, "POST", path, "", text, n);
        }
    }
}
