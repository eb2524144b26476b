// A directory in which names are made while it is read.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES = 20, CUT_OFF = 200 };

static int is_dots(const struct dirent *e) { return !strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."); }

static void fill(void) {
    for (int i = 0; i < FILES; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        close(open(name, O_CREAT | O_WRONLY, 0600));
    }
}

// Renames what it reads until there is nothing more to read, and returns how often.
static int rename_all(DIR *d, const char *more) {
    int renamed = 0;
    for (struct dirent *e; renamed < CUT_OFF && (e = readdir(d));) {
        if (is_dots(e)) continue;
        char name[sizeof e->d_name + 16];
        snprintf(name, sizeof name, "%s%s", e->d_name, more);
        if (rename(e->d_name, name)) perror("rename");
        renamed++;
    }
    return renamed;
}

static int count(DIR *d) {
    int n = 0;
    for (struct dirent *e; (e = readdir(d));) n += !is_dots(e);
    return n;
}

static void directory(void) {
    char path[] = "/tmp/growthXXXXXX";
    if (!mkdtemp(path) || chdir(path)) return perror(path);
    fill();
    DIR *d = opendir(".");
    printf("renamed %d\n", rename_all(d, "-new"));
    rewinddir(d);
    printf("then there are %d\n", count(d));
    rewinddir(d);
    printf("renamed again %d\n", rename_all(d, "er"));
    rewinddir(d);
    for (struct dirent *e; (e = readdir(d));)
        if (!is_dots(e)) unlink(e->d_name);
    rewinddir(d);
    printf("in the end %d\n", count(d));
    closedir(d);
    printf("removed %d\n", rmdir(path));
}

int main(void) {
    directory();
    return 0;
}
