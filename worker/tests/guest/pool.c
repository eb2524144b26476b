// An HTTP server whose requests are answered by threads that were there before the first one came.
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static int jobs[8], queued, finished;
static long sum;
static __thread int served;

static void *worker(void *arg) {
    for (;;) {
        pthread_mutex_lock(&mutex);
        while (!queued) pthread_cond_wait(&work, &mutex);
        int job = jobs[--queued];
        pthread_mutex_unlock(&mutex);
        served++;
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, 0);
        pthread_mutex_lock(&mutex);
        sum += job;
        finished++;
        pthread_cond_signal(&done);
        pthread_mutex_unlock(&mutex);
    }
}

// A thread that is never idle for long, as runtimes have.
static void *watcher(void *arg) {
    struct timespec pause = {3, 0};
    for (;;) nanosleep(&pause, 0);
}

int main(void) {
    pthread_t thread;
    for (int i = 0; i < 4; i++) pthread_create(&thread, 0, worker, 0);
    pthread_create(&thread, 0, watcher, 0);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080)};
    bind(listener, (struct sockaddr *)&address, sizeof address);
    listen(listener, 8);
    for (;;) {
        int connection = accept(listener, 0, 0);
        char text[1000], body[100];
        read(connection, text, sizeof text);
        pthread_mutex_lock(&mutex);
        for (int i = 1; i <= 8; i++) jobs[queued++] = i;
        pthread_cond_broadcast(&work);
        while (finished < 8) pthread_cond_wait(&done, &mutex);
        int len = sprintf(body, "%ld of %d", sum, finished);
        pthread_mutex_unlock(&mutex);
        len = sprintf(text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len, body);
        write(connection, text, len);
        close(connection);
    }
}
