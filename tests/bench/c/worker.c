/*
 * The C library's side of a line: speaks as `bench worker` does.
 *
 *     worker URI WORK
 *
 * Connects, says `ready`, waits for the end of its input, reserves with a thread for every caller, and prints what it
 * measured, as JSON.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <code_service.h>

static CodeService *service;
static double seconds;
static unsigned codes_a_call;
static struct timespec start;

struct caller {
    pthread_t thread;
    uint64_t done;
    /* Microseconds that each call took. */
    uint32_t *took;
    size_t calls;
    size_t room;
};

static void fail(const char *what, CodeServiceError *error) {
    CodeServiceText message = code_service_error_message(error);
    fprintf(stderr, "worker: %s %.*s\n", what, (int)message.size, message.size == 0 ? "" : message.data);
    exit(1);
}

static double elapsed(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9;
}

static void *reserve(void *data) {
    struct caller *caller = data;
    CodeServiceText campaign_id = code_service_text("bench"), type = code_service_text("tm"), none = {NULL, 0};
    for (double before = elapsed(); before < seconds;) {
        CodeServiceReservation *reservation = NULL;
        CodeServiceError *error = NULL;
        if (code_service_reserve(service, campaign_id, type, codes_a_call, false, none, &reservation, &error) !=
            CODE_SERVICE_STATUS_OK) {
            fail("a reserve failed:", error);
        }
        caller->done += code_service_reservation_count(reservation);
        code_service_reservation_free(reservation);
        double after = elapsed();
        if (caller->calls == caller->room) {
            caller->room = 2 * caller->room + 256;
            caller->took = realloc(caller->took, caller->room * sizeof *caller->took);
            if (caller->took == NULL) {
                fail("no memory is left", NULL);
            }
        }
        caller->took[caller->calls++] = (uint32_t)((after - before) * 1e6);
        before = after;
    }
    return NULL;
}

static int compare(const void *one, const void *other) {
    uint32_t left = *(const uint32_t *)one, right = *(const uint32_t *)other;
    return (left > right) - (left < right);
}

/* Opens connections, as a service that runs has them open. */
static void *warm(void *data) {
    CodeServiceCounts counts;
    code_service_count(service, code_service_text("warm"), code_service_text("tm"), &counts, NULL);
    return data;
}

int main(int argc, char **argv) {
    unsigned count = 0;
    if (argc != 3 || sscanf(argv[2], "{\"Reserve\":{\"callers\":%u,\"count\":%u,\"until\":{\"Seconds\":%lf}}}", &count,
                            &codes_a_call, &seconds) != 3) {
        fail("this is not work for it", NULL);
    }
    CodeServiceOptions options;
    code_service_options_init(&options, sizeof options);
    options.uri = code_service_text(argv[1]);
    CodeServiceError *error = NULL;
    if (code_service_connect(&options, &service, &error) != CODE_SERVICE_STATUS_OK) {
        fail("cannot connect:", error);
    }
    struct caller *callers = calloc(count, sizeof *callers);
    if (callers == NULL) {
        fail("no memory is left", NULL);
    }
    for (unsigned number = 0; number < 16 && number < count; ++number) {
        pthread_create(&callers[number].thread, NULL, warm, NULL);
    }
    for (unsigned number = 0; number < 16 && number < count; ++number) {
        pthread_join(callers[number].thread, NULL);
    }
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {
    }

    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned number = 0; number < count; ++number) {
        if (pthread_create(&callers[number].thread, NULL, reserve, &callers[number]) != 0) {
            fail("no thread can be started", NULL);
        }
    }
    uint64_t done = 0;
    size_t calls = 0;
    for (unsigned number = 0; number < count; ++number) {
        pthread_join(callers[number].thread, NULL);
        done += callers[number].done;
        calls += callers[number].calls;
    }
    double took = elapsed();
    uint32_t *all = calloc(calls + 1, sizeof *all);
    if (all == NULL) {
        fail("no memory is left", NULL);
    }
    size_t place = 0;
    for (unsigned number = 0; number < count; ++number) {
        for (size_t call = 0; call < callers[number].calls; ++call) {
            all[place++] = callers[number].took[call];
        }
        free(callers[number].took);
    }
    qsort(all, calls, sizeof *all, compare);
    printf("{\"done\":%" PRIu64 ",\"seconds\":%f,\"p50\":%" PRIu32 ",\"p99\":%" PRIu32 ",\"memory\":0}\n", done, took,
           all[calls / 2], all[calls * 99 / 100]);
    free(all);
    free(callers);
    code_service_free(service);
    return 0;
}
