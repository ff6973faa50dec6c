/*
 * What the programs share that ask code_service.h for what it promises: expectations, codes, and callbacks that count.
 */
#ifndef PROMISES_H
#define PROMISES_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <code_service.h>

#define EXPECT(fact)                                                                                             \
    do {                                                                                                         \
        if (!(fact)) {                                                                                           \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact);                                   \
            exit(1);                                                                                             \
        }                                                                                                        \
    } while (0)

/* The call is answered with this status. The error is freed. */
#define ANSWERS(expected, call)                                                                                  \
    do {                                                                                                         \
        CodeServiceError *error = NULL;                                                                          \
        CodeServiceStatus got = (call);                                                                          \
        if (got != (expected)) {                                                                                 \
            CodeServiceText message = code_service_error_message(error);                                         \
            fprintf(stderr, "%s:%d: %s answers %d: %.*s\n", __FILE__, __LINE__, #call, (int)got,                 \
                    (int)message.size, message.data == NULL ? "" : message.data);                                \
            exit(1);                                                                                             \
        }                                                                                                        \
        EXPECT((error == NULL) == (got == CODE_SERVICE_STATUS_OK));                                              \
        EXPECT(code_service_error_status(error) == got);                                                         \
        code_service_error_free(error);                                                                          \
    } while (0)

#define OK(call) ANSWERS(CODE_SERVICE_STATUS_OK, call)
#define INVALID(call) ANSWERS(CODE_SERVICE_STATUS_INVALID_ARGUMENT, call)
#define CLOSED(call) ANSWERS(CODE_SERVICE_STATUS_CLOSED, call)

static const CodeServiceText NONE = {NULL, 0};

static inline bool is(CodeServiceText text, const char *expected) {
    return text.size == strlen(expected) && (text.size == 0 || memcmp(text.data, expected, text.size) == 0);
}

/* A campaign that nobody else has. */
static inline CodeServiceText fresh_campaign(void) {
    static char names[64][32];
    static int used = 0;
    EXPECT(used < 64);
    snprintf(names[used], sizeof names[used], "campaign-%ld-%d", (long)getpid(), used);
    return code_service_text(names[used++]);
}

/* Saves this many codes: CODE0 and so on. */
static inline void stock(const CodeService *service, CodeServiceText campaign, size_t count) {
    CodeServiceText *codes = calloc(count, sizeof *codes);
    char *names = calloc(count, 32);
    for (size_t place = 0; place < count; ++place) {
        snprintf(names + 32 * place, 32, "CODE%zu", place);
        codes[place] = code_service_text(names + 32 * place);
    }
    CodeServiceSaveReport *report = NULL;
    OK(code_service_save(service, campaign, code_service_text("tm"), codes, count, &report, &error));
    EXPECT(code_service_save_report_in(report) == count);
    EXPECT(code_service_save_report_inserted(report) == count);
    code_service_save_report_free(report);
    free(names);
    free(codes);
}

static inline CodeServiceCounts counted(const CodeService *service, CodeServiceText campaign) {
    CodeServiceCounts counts = {0, 0, 0};
    OK(code_service_count(service, campaign, code_service_text("tm"), &counts, &error));
    return counts;
}

static inline CodeService *connected(const char *uri) {
    CodeServiceOptions options;
    memset(&options, 0x5a, sizeof options);
    code_service_options_init(&options, sizeof options);
    options.uri = code_service_text(uri);
    options.threads = 2;
    CodeService *service = NULL;
    OK(code_service_connect(&options, &service, &error));
    return service;
}

struct file {
    const char *text;
    size_t place;
    size_t piece;
    size_t fails_at;
};

static inline int64_t read_file(void *user_data, char *buffer, size_t size) {
    struct file *file = user_data;
    size_t left = strlen(file->text) - file->place;
    size_t piece = file->piece < left ? file->piece : left;
    EXPECT(piece <= size);
    if (file->place >= file->fails_at) {
        return -1;
    }
    memcpy(buffer, file->text + file->place, piece);
    file->place += piece;
    return (int64_t)piece;
}

/* What callbacks tell the thread that waits for them. */
struct answers {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const CodeService *service;
    /* To be freed by a callback. */
    CodeService *own;
    CodeServiceText campaign;
    int done;
    int ok;
    int cancelled;
    size_t codes;
};

static inline void answers_init(struct answers *answers, const CodeService *service, CodeServiceText campaign) {
    memset(answers, 0, sizeof *answers);
    pthread_mutex_init(&answers->lock, NULL);
    pthread_cond_init(&answers->changed, NULL);
    answers->service = service;
    answers->campaign = campaign;
}

static inline void answered(struct answers *answers, CodeServiceStatus status, size_t codes, CodeServiceError *error) {
    pthread_mutex_lock(&answers->lock);
    EXPECT((error == NULL) == (status == CODE_SERVICE_STATUS_OK));
    answers->done += 1;
    answers->ok += status == CODE_SERVICE_STATUS_OK;
    answers->cancelled += status == CODE_SERVICE_STATUS_CANCELLED;
    answers->codes += codes;
    pthread_cond_signal(&answers->changed);
    pthread_mutex_unlock(&answers->lock);
    code_service_error_free(error);
}

static inline void wait_for(struct answers *answers, int done) {
    pthread_mutex_lock(&answers->lock);
    while (answers->done < done) {
        pthread_cond_wait(&answers->changed, &answers->lock);
    }
    EXPECT(answers->done == done);
    pthread_mutex_unlock(&answers->lock);
}

static inline void on_reserved(void *data, CodeServiceStatus status, CodeServiceReservation *reservation,
                        CodeServiceError *error) {
    answered(data, status, code_service_reservation_count(reservation), error);
    code_service_reservation_free(reservation);
}

static inline void on_settled(void *data, CodeServiceStatus status, CodeServiceSettleReport *report, CodeServiceError *error) {
    answered(data, status, (size_t)code_service_settle_report_updated(report), error);
    code_service_settle_report_free(report);
}

static inline void on_held(void *data, CodeServiceStatus status, CodeServiceReservationState *state, CodeServiceError *error) {
    answered(data, status, code_service_reservation_state_count(state), error);
    code_service_reservation_state_free(state);
}

static inline void on_saved(void *data, CodeServiceStatus status, CodeServiceSaveReport *report, CodeServiceError *error) {
    answered(data, status, (size_t)code_service_save_report_in(report), error);
    code_service_save_report_free(report);
}

static inline void on_counted(void *data, CodeServiceStatus status, CodeServiceCounts counts, CodeServiceError *error) {
    answered(data, status, (size_t)(counts.available + counts.reserved + counts.assigned), error);
}

static inline void on_found(void *data, CodeServiceStatus status, CodeServiceCode *found, CodeServiceError *error) {
    answered(data, status, found != NULL, error);
    code_service_code_free(found);
}

static inline void on_done(void *data, CodeServiceStatus status, CodeServiceError *error) {
    answered(data, status, 0, error);
}

static inline bool on_code(void *data, const CodeServiceCode *code) {
    struct answers *answers = data;
    EXPECT(code_service_code_text(code).size > 0);
    answers->codes += 1;
    return answers->codes < 700;
}

static inline void on_verified(void *data, CodeServiceStatus status, CodeServiceIndexProblems *problems, CodeServiceError *error) {
    answered(data, status, code_service_index_problems_count(problems), error);
    code_service_index_problems_free(problems);
}

#endif
