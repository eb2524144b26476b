/* A single-threaded HTTP server for the end-to-end tests that reads bodies as they come, and speaks other protocols. The path
   chooses. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "digests.h"

static int connection, waits_with_poll, never_waits;
static unsigned char in[1 << 16];
static size_t have, used;
static int is_chunked, in_chunk, receptions;
static uint64_t left;
static char head[1 << 16];

/* --- the connection --- */

static void send_all(const void *bytes, size_t len) {
    while (len) {
        ssize_t sent = write(connection, bytes, len);
        if (sent < 0 && errno == EAGAIN) continue;
        if (sent <= 0) exit(9);
        bytes = (const char *)bytes + sent;
        len -= sent;
    }
}

static void send_text(const char *text) { send_all(text, strlen(text)); }

static void answer(const char *text) {
    char whole[512];
    sprintf(whole, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(text), text);
    send_text(whole);
}

static void send_chunk(const void *data, size_t len) {
    char size[32];
    sprintf(size, "%zx\r\n", len);
    send_text(size);
    send_all(data, len);
    send_text("\r\n");
}

/* Receives what comes next: as read(2). */
static ssize_t fill(void) {
    for (;;) {
        struct pollfd entry = {.fd = connection, .events = POLLIN};
        if (waits_with_poll) poll(&entry, 1, never_waits ? 0 : -1);
        ssize_t len = read(connection, in, sizeof in);
        if (len < 0 && errno == EAGAIN) continue;
        receptions++;
        have = len > 0 ? len : 0;
        used = 0;
        return len;
    }
}

static int next_byte(void) {
    if (used == have && fill() <= 0) return -1;
    return in[used++];
}

/* The size of the next chunk. */
static int next_chunk(void) {
    int byte;
    if (in_chunk && (next_byte() != '\r' || next_byte() != '\n')) return -1;
    in_chunk = 1;
    for (left = 0; (byte = next_byte()) != '\r';) {
        if (byte < 0) return -1;
        left = left * 16 + (byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10);
    }
    if (next_byte() != '\n') return -1;
    if (left == 0 && (next_byte() != '\r' || next_byte() != '\n')) return -1;
    return 0;
}

/* The next bytes of the body where they lie: 0 at its end, -1 if it breaks off. */
static ssize_t body(unsigned char **bytes) {
    if (is_chunked && left == 0 && next_chunk()) return -1;
    if (left == 0) return 0;
    if (used == have && fill() <= 0) return -1;
    size_t len = have - used < left ? have - used : left;
    *bytes = in + used;
    used += len;
    left -= len;
    return len;
}

static void read_head(void) {
    size_t len = 0;
    int byte;
    while (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4)) {
        if ((byte = next_byte()) < 0) exit(2);
        head[len++] = byte;
    }
    head[len] = 0;
    char *length = strcasestr(head, "\ncontent-length:");
    left = length ? strtoull(length + 16, 0, 10) : 0;
    is_chunked = strcasestr(head, "\ntransfer-encoding: chunked") != 0;
}

/* --- what it does --- */

static void sum(void) {
    unsigned char *bytes;
    uint64_t all = 0;
    ssize_t len;
    char digest[65], text[128];
    sha256_start();
    while ((len = body(&bytes)) > 0) {
        sha256_add(bytes, len);
        all += len;
    }
    if (len < 0) {
        printf("the body broke off after %lu bytes: %s\n", all, strerror(errno));
        fflush(stdout);
        answer("nobody reads this");
        return;
    }
    sha256_end(digest);
    sprintf(text, "%lu %s", all, digest);
    answer(text);
}

static void count(void) {
    unsigned char *bytes;
    uint64_t all = 0;
    ssize_t len;
    char text[64];
    while ((len = body(&bytes)) > 0) all += len;
    sprintf(text, "%lu", all);
    answer(text);
}

static void echo(void) {
    unsigned char *bytes;
    ssize_t len;
    send_text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while ((len = body(&bytes)) > 0) send_chunk(bytes, len);
    if (len == 0) send_text("0\r\n\r\n");
}

static void accept_websocket(void) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *key = strcasestr(head, "\nsec-websocket-key:"), text[128], accept[29] = {0}, whole[256];
    unsigned char digest[21] = {0};
    if (!key || !strcasestr(head, "\nupgrade: websocket") || !strcasestr(head, "\nconnection: upgrade")) exit(3);
    sscanf(key + 19, " %60s", text);
    strcat(text, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    sha1(text, digest);
    for (int i = 0; i < 28; i++) {
        int bit = i * 6, at = bit / 8;
        unsigned pair = digest[at] << 8 | (at < 20 ? digest[at + 1] : 0);
        accept[i] = i == 27 ? '=' : digits[pair >> (10 - bit % 8) & 63];
    }
    sprintf(whole, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
    send_text(whole);
}

static void send_frame(int kind, const void *bytes, size_t len) {
    unsigned char prefix[10] = {0x80 | kind, len < 126 ? len : len < 65536 ? 126 : 127};
    int size = len < 126 ? 2 : len < 65536 ? 4 : 10;
    for (int i = 2; i < size; i++) prefix[i] = (uint64_t)len >> 8 * (size - 1 - i);
    send_all(prefix, size);
    send_all(bytes, len);
}

static void websocket(void) {
    static unsigned char message[2 << 20];
    size_t len = 0;
    accept_websocket();
    for (;;) {
        int first = next_byte(), second = next_byte();
        if (second < 0) break;
        uint64_t size = second & 127;
        int more = size == 126 ? 2 : size == 127 ? 8 : 0;
        if (more) size = 0;
        while (more--) size = size << 8 | next_byte();
        unsigned char mask[4];
        for (int i = 0; i < 4; i++) mask[i] = next_byte();
        int kind = first & 15, is_control = kind >= 8;
        if (!is_control && kind) len = 0;
        unsigned char control[125], *to = is_control ? control : message + len;
        if (is_control ? size > 125 : len + size > sizeof message) exit(4);
        for (uint64_t i = 0; i < size; i++) to[i] = next_byte() ^ mask[i % 4];
        if (kind == 8) {
            send_frame(8, control, size);
            break;
        }
        if (kind == 9) send_frame(10, control, size);
        if (is_control) continue;
        len += size;
        if (first & 0x80) send_frame(2, message, len);
    }
    close(connection);
}

static void push(void) {
    accept_websocket();
    for (int i = 1; i <= 3; i++) {
        char text[16];
        sprintf(text, "news %d", i);
        send_frame(1, text, strlen(text));
        usleep(20000);
    }
    send_frame(8, "\x03\xe9", 2);
    shutdown(connection, SHUT_WR);
    while (fill() > 0) {}
    close(connection);
}

/* Both ends close one direction each. */
static void raw(void) {
    char text[64];
    size_t all = 0;
    send_text("HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\nwelcome\n");
    all = have - used;
    send_all(in + used, all);
    for (ssize_t len; (len = fill()) > 0; all += len) send_all(in, len);
    sprintf(text, "that was %zu\n", all);
    send_text(text);
    close(connection);
}

static void half(void) {
    size_t all = 0;
    send_text("HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\nall of it\n");
    shutdown(connection, SHUT_WR);
    for (ssize_t len; (len = fill()) > 0;) all += len;
    printf("the client said %zu bytes\n", all);
    fflush(stdout);
    close(connection);
}

static void flood(void) {
    static char bytes[1 << 20];
    send_text("HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n");
    for (;;) send_all(bytes, sizeof bytes);
}

/* Says how the body came. */
static void tell(void) {
    unsigned char *bytes;
    uint64_t all = 0;
    char text[64];
    if (strcasestr(head, "\nexpect:")) exit(5);
    receptions = 0;
    for (ssize_t len; (len = body(&bytes)) > 0; all += len) {}
    sprintf(text, "%s %lu %d", is_chunked ? "chunks" : "length", all, receptions);
    answer(text);
}

/* Looks until more has come than one piece, and reads it then. */
static void look(void) {
    static char all[300000];
    if (used < have) exit(6);
    while (recv(connection, all, sizeof all, MSG_PEEK) < (ssize_t)sizeof all) {}
    sum();
}

/* Waits without reading. */
static void stall(void) {
    printf("it stalls\n");
    fflush(stdout);
    for (;;) pause();
}

static void act(const char *path) {
    if (!strncmp(path, "/poll", 5)) {
        waits_with_poll = 1;
        never_waits = !strcmp(path, "/poll/spin");
        fcntl(connection, F_SETFL, O_NONBLOCK);
        sum();
    } else if (!strcmp(path, "/sum")) sum();
    else if (!strcmp(path, "/count")) count();
    else if (!strcmp(path, "/tell")) tell();
    else if (!strcmp(path, "/stall")) stall();
    else if (!strcmp(path, "/look")) look();
    else if (!strcmp(path, "/echo")) echo();
    else if (!strcmp(path, "/websocket")) websocket();
    else if (!strcmp(path, "/push")) push();
    else if (!strcmp(path, "/raw")) raw();
    else if (!strcmp(path, "/half")) half();
    else if (!strcmp(path, "/flood")) flood();
    else if (!strcmp(path, "/early")) {
        answer("I know enough");
        close(connection);
    } else answer("hello");
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT")))};
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 16)) {
        perror("listen");
        return 1;
    }
    for (;;) {
        char path[256];
        connection = accept(listener, 0, 0);
        have = used = in_chunk = waits_with_poll = never_waits = 0;
        read_head();
        sscanf(head, "%*s %255s", path);
        act(path);
        close(connection);
    }
}
