/*
 * Makes the mistakes that the tools which watch the other programs must find.
 *
 *     broken leak|overflow|race
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <code_service.h>

static int shared;

static void *count(void *data) {
    for (int turn = 0; turn < 100000; ++turn) {
        ++shared;
    }
    return data;
}

/* Its frame is gone before the program ends, and with it what pointed to the object. */
static void leak(void) {
    CodeServiceCancel *volatile lost = code_service_cancel_new();
    lost = NULL;
    (void)lost;
}

static void overflow(void) {
    CodeServiceText version = code_service_version();
    char *copy = malloc(version.size);
    if (copy != NULL) {
        memcpy(copy, version.data, version.size);
        volatile size_t end = version.size;
        printf("%c\n", copy[end]);
        free(copy);
    }
}

static void race(void) {
    pthread_t threads[2];
    for (int number = 0; number < 2; ++number) {
        pthread_create(&threads[number], NULL, count, NULL);
    }
    for (int number = 0; number < 2; ++number) {
        pthread_join(threads[number], NULL);
    }
    printf("%d\n", shared);
}

int main(int argc, char **argv) {
    const char *mistake = argc == 2 ? argv[1] : "";
    if (strcmp(mistake, "leak") == 0) {
        leak();
    } else if (strcmp(mistake, "overflow") == 0) {
        overflow();
    } else if (strcmp(mistake, "race") == 0) {
        race();
    }
    return 0;
}
