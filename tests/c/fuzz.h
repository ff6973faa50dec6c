/*
 * What fuzz.c makes arguments of, and how it looks at answers.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <code_service.h>

#define EXPECT(fact)                                                           \
    do {                                                                       \
        if (!(fact)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact); \
            abort();                                                           \
        }                                                                      \
    } while (0)

/* A page, and one behind it that nobody may read. */
#define PAGES 16
static unsigned char *pages[PAGES];
static size_t page_size;
static size_t pages_used;

static CodeService *live;
static CodeService *closed;

/* What is left of the input. */
static const unsigned char *input;
static size_t input_left;

static inline unsigned take(void) {
    if (input_left == 0) {
        return 0;
    }
    --input_left;
    return *input++;
}

/* Room of so many bytes that ends where the forbidden page begins. */
static inline void *room(size_t size) {
    EXPECT(pages_used < PAGES && size <= page_size);
    return pages[pages_used++] + page_size - size;
}

static inline CodeServiceText word(void) {
    static const char *const words[] = {"summer", "tm",  "external", "A1", "B2", "C3", "order-1", "order-2",
                                        "\xc3\x84", " A ", "a,b",      "",   "x"};
    return code_service_text(words[take() % (sizeof words / sizeof *words)]);
}

static inline CodeServiceText text(void) {
    CodeServiceText text = {NULL, 0};
    switch (take() % 8) {
    case 0:
        break;
    case 1:
        text.size = take();
        break;
    case 2:
        text.data = "x";
        text.size = SIZE_MAX - take();
        break;
    case 3: {
        size_t size = take() % 48;
        size = size < input_left ? size : input_left;
        char *bytes = room(size);
        memcpy(bytes, input, size);
        input += size;
        input_left -= size;
        text.data = bytes;
        text.size = size;
        break;
    }
    default: {
        CodeServiceText known = word();
        char *bytes = room(known.size);
        memcpy(bytes, known.data, known.size);
        text.data = bytes;
        text.size = known.size;
    }
    }
    return text;
}

/* Mostly what the call needs to get further. */
static inline CodeServiceText campaign(void) {
    return take() % 4 == 0 ? text() : code_service_text("summer");
}

static inline CodeServiceText type(void) {
    return take() % 4 == 0 ? text() : code_service_text("tm");
}

static inline const CodeServiceText *codes(size_t *count) {
    *count = take() % 5;
    if (take() % 16 == 0) {
        *count = SIZE_MAX / 2 - take();
        return take() % 2 == 0 ? NULL : room(0);
    }
    if (take() % 16 == 0) {
        return NULL;
    }
    CodeServiceText *list = room(*count * sizeof *list);
    for (size_t place = 0; place < *count; ++place) {
        list[place] = text();
    }
    return list;
}

/* Whether the call is made on the service that is closed. */
static bool is_closed;

static inline const CodeService *service(void) {
    is_closed = false;
    switch (take() % 16) {
    case 0:
        return NULL;
    case 1:
        is_closed = true;
        return closed;
    default:
        return live;
    }
}

static inline bool now_and_then(void) {
    return take() % 16 == 0;
}

static inline void check_text(CodeServiceText text) {
    EXPECT(text.data != NULL || text.size == 0);
    unsigned sum = 0;
    for (size_t place = 0; place < text.size; ++place) {
        sum += (unsigned char)text.data[place];
    }
    EXPECT(text.size == 0 || sum < 256 * text.size);
}

static inline void check_error(CodeServiceStatus status, CodeServiceError *error) {
    EXPECT((error == NULL) == (status == CODE_SERVICE_STATUS_OK));
    EXPECT(code_service_error_status(error) == status);
    EXPECT(status != CODE_SERVICE_STATUS_INTERNAL && status != CODE_SERVICE_STATUS_CORRUPT_DATA);
    EXPECT(!is_closed || status != CODE_SERVICE_STATUS_UNAVAILABLE);
    if (error != NULL) {
        EXPECT(code_service_error_code(error).size > 0 && code_service_error_message(error).size > 0);
        EXPECT((code_service_error_argument(error).size > 0) == (status == CODE_SERVICE_STATUS_INVALID_ARGUMENT));
    }
    check_text(code_service_error_message(error));
    check_text(code_service_error_cause(error));
    check_text(code_service_error_reserve_id(error));
    code_service_error_free(error);
}

/* A call that answers with an object: it is there on success only. May be optional: NULL is an answer. */
#define CALL(Type, name, optional, check, ...)                                              \
    do {                                                                                    \
        Type *object = NULL;                                                                \
        CodeServiceError *error = NULL;                                                     \
        bool no_place = now_and_then(), no_error = now_and_then();                          \
        CodeServiceStatus status = name(__VA_ARGS__, no_place ? NULL : &object,             \
                                        no_error ? NULL : &error);                          \
        EXPECT(!no_place || status != CODE_SERVICE_STATUS_OK);                              \
        EXPECT(status == CODE_SERVICE_STATUS_OK ? optional || object != NULL : object == NULL); \
        if (no_error) {                                                                     \
            EXPECT(error == NULL);                                                          \
        } else {                                                                            \
            check_error(status, error);                                                     \
        }                                                                                   \
        check(object);                                                                      \
    } while (0)

static inline void check_code(const CodeServiceCode *code) {
    int64_t time = 0;
    check_text(code_service_code_text(code));
    check_text(code_service_code_type(code));
    check_text(code_service_code_reserve_id(code));
    code_service_code_saved_ms(code, take() % 2 == 0 ? &time : NULL);
    code_service_code_reserved_ms(code, &time);
    code_service_code_assigned_ms(code, &time);
    EXPECT((code_service_code_status(code) == CODE_SERVICE_CODE_STATUS_ANY) == (code == NULL));
}

static inline void check_reservation(CodeServiceReservation *reservation) {
    size_t count = code_service_reservation_count(reservation);
    for (size_t place = 0; place < count; ++place) {
        EXPECT(code_service_reservation_code(reservation, place).size > 0);
    }
    EXPECT(code_service_reservation_code(reservation, count + take()).size == 0);
    check_text(code_service_reservation_reserve_id(reservation));
    code_service_reservation_free(reservation);
}

static inline void check_state(CodeServiceReservationState *state) {
    size_t count = code_service_reservation_state_count(state);
    for (size_t place = 0; place < count; ++place) {
        check_code(code_service_reservation_state_code(state, place));
    }
    EXPECT(code_service_reservation_state_code(state, count + take()) == NULL);
    check_text(code_service_reservation_state_campaign_id(state));
    check_text(code_service_reservation_state_type(state));
    code_service_reservation_state_free(state);
}

static inline void check_settled(CodeServiceSettleReport *report) {
    size_t count = code_service_settle_report_lost_count(report);
    for (size_t place = 0; place < count; ++place) {
        EXPECT(code_service_settle_report_lost(report, place).size > 0);
    }
    EXPECT(code_service_settle_report_lost(report, count + take()).size == 0);
    EXPECT(code_service_settle_report_updated(report) <= code_service_settle_report_in(report));
    code_service_settle_report_free(report);
}

static inline void check_saved(CodeServiceSaveReport *report) {
    size_t count = code_service_save_report_rejections(report);
    EXPECT(count == code_service_save_report_rejected(report));
    for (size_t place = 0; place < count; ++place) {
        EXPECT(code_service_save_report_rejection_row(report, place) > 0);
        EXPECT(code_service_save_report_rejection_reason(report, place).size > 0);
    }
    EXPECT(code_service_save_report_rejection_row(report, count + take()) == 0);
    code_service_save_report_free(report);
}

static inline void check_found(CodeServiceCode *code) {
    check_code(code);
    code_service_code_free(code);
}

static inline void check_problems(CodeServiceIndexProblems *problems) {
    EXPECT(code_service_index_problems_message(problems, code_service_index_problems_count(problems)).size == 0);
    code_service_index_problems_free(problems);
}

static inline void check_cursor(CodeServiceExport *cursor) {
    for (unsigned moves = take() % 8; moves > 0; --moves) {
        const CodeServiceCode *code = NULL;
        CodeServiceError *error = NULL;
        CodeServiceStatus status = code_service_export_next(cursor, now_and_then() ? NULL : &code, &error);
        EXPECT(cursor != NULL || status == CODE_SERVICE_STATUS_INVALID_ARGUMENT);
        check_error(status, error);
        if (code != NULL) {
            check_code(code);
        }
    }
    code_service_export_free(cursor);
}

/* The file that is left of the input, with a lie about its size now and then. */
static inline int64_t read_input(void *user_data, char *buffer, size_t size) {
    EXPECT(user_data == &input);
    unsigned how = take();
    if (how < 4) {
        /* Then that is what is wrong. */
        is_closed = false;
        static const int64_t lies[] = {-1, INT64_MIN, INT64_MAX, 64 * 1024 + 1};
        return lies[how];
    }
    size_t piece = how % 24;
    piece = piece < input_left ? piece : input_left;
    EXPECT(piece <= size);
    memcpy(buffer, input, piece);
    input += piece;
    input_left -= piece;
    return (int64_t)piece;
}

#endif
