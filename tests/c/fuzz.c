/*
 * Throws arguments at every function: null, texts that are none, sizes that cannot be, and true ones between them. For
 * libFuzzer; the database is the one that CODE_SERVICE_TEST_URI names.
 *
 * Whatever is given has memory behind its end that must not be touched, so that one byte too far ends the program.
 */
#define _DEFAULT_SOURCE
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

static unsigned take(void) {
    if (input_left == 0) {
        return 0;
    }
    --input_left;
    return *input++;
}

/* Room of so many bytes that ends where the forbidden page begins. */
static void *room(size_t size) {
    EXPECT(pages_used < PAGES && size <= page_size);
    return pages[pages_used++] + page_size - size;
}

static CodeServiceText word(void) {
    static const char *const words[] = {"summer", "tm",  "external", "A1", "B2", "C3", "order-1", "order-2",
                                        "\xc3\x84", " A ", "a,b",      "",   "x"};
    return code_service_text(words[take() % (sizeof words / sizeof *words)]);
}

static CodeServiceText text(void) {
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
static CodeServiceText campaign(void) {
    return take() % 4 == 0 ? text() : code_service_text("summer");
}

static CodeServiceText type(void) {
    return take() % 4 == 0 ? text() : code_service_text("tm");
}

static const CodeServiceText *codes(size_t *count) {
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

static const CodeService *service(void) {
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

static bool now_and_then(void) {
    return take() % 16 == 0;
}

static void check_text(CodeServiceText text) {
    EXPECT(text.data != NULL || text.size == 0);
    unsigned sum = 0;
    for (size_t place = 0; place < text.size; ++place) {
        sum += (unsigned char)text.data[place];
    }
    EXPECT(text.size == 0 || sum < 256 * text.size);
}

static void check_error(CodeServiceStatus status, CodeServiceError *error) {
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

static void check_code(const CodeServiceCode *code) {
    int64_t time = 0;
    check_text(code_service_code_text(code));
    check_text(code_service_code_type(code));
    check_text(code_service_code_reserve_id(code));
    code_service_code_saved_ms(code, take() % 2 == 0 ? &time : NULL);
    code_service_code_reserved_ms(code, &time);
    code_service_code_assigned_ms(code, &time);
    EXPECT((code_service_code_status(code) == CODE_SERVICE_CODE_STATUS_ANY) == (code == NULL));
}

static void check_reservation(CodeServiceReservation *reservation) {
    size_t count = code_service_reservation_count(reservation);
    for (size_t place = 0; place < count; ++place) {
        EXPECT(code_service_reservation_code(reservation, place).size > 0);
    }
    EXPECT(code_service_reservation_code(reservation, count + take()).size == 0);
    check_text(code_service_reservation_reserve_id(reservation));
    code_service_reservation_free(reservation);
}

static void check_state(CodeServiceReservationState *state) {
    size_t count = code_service_reservation_state_count(state);
    for (size_t place = 0; place < count; ++place) {
        check_code(code_service_reservation_state_code(state, place));
    }
    EXPECT(code_service_reservation_state_code(state, count + take()) == NULL);
    check_text(code_service_reservation_state_campaign_id(state));
    check_text(code_service_reservation_state_type(state));
    code_service_reservation_state_free(state);
}

static void check_settled(CodeServiceSettleReport *report) {
    size_t count = code_service_settle_report_lost_count(report);
    for (size_t place = 0; place < count; ++place) {
        EXPECT(code_service_settle_report_lost(report, place).size > 0);
    }
    EXPECT(code_service_settle_report_lost(report, count + take()).size == 0);
    EXPECT(code_service_settle_report_updated(report) <= code_service_settle_report_in(report));
    code_service_settle_report_free(report);
}

static void check_saved(CodeServiceSaveReport *report) {
    size_t count = code_service_save_report_rejections(report);
    EXPECT(count == code_service_save_report_rejected(report));
    for (size_t place = 0; place < count; ++place) {
        EXPECT(code_service_save_report_rejection_row(report, place) > 0);
        EXPECT(code_service_save_report_rejection_reason(report, place).size > 0);
    }
    EXPECT(code_service_save_report_rejection_row(report, count + take()) == 0);
    code_service_save_report_free(report);
}

static void check_found(CodeServiceCode *code) {
    check_code(code);
    code_service_code_free(code);
}

static void check_problems(CodeServiceIndexProblems *problems) {
    EXPECT(code_service_index_problems_message(problems, code_service_index_problems_count(problems)).size == 0);
    code_service_index_problems_free(problems);
}

static void check_cursor(CodeServiceExport *cursor) {
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
static int64_t read_input(void *user_data, char *buffer, size_t size) {
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

/* Calls that are answered later. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned answered;

static void on_answer(void *user_data) {
    EXPECT(user_data == &answered);
    pthread_mutex_lock(&lock);
    ++answered;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_reserved(void *user_data, CodeServiceStatus status, CodeServiceReservation *reservation,
                        CodeServiceError *error) {
    EXPECT((reservation == NULL) == (status != CODE_SERVICE_STATUS_OK));
    code_service_reservation_free(reservation);
    code_service_error_free(error);
    on_answer(user_data);
}

static void on_held(void *user_data, CodeServiceStatus status, CodeServiceReservationState *state,
                    CodeServiceError *error) {
    EXPECT(state == NULL || status == CODE_SERVICE_STATUS_OK);
    code_service_reservation_state_free(state);
    code_service_error_free(error);
    on_answer(user_data);
}

static void on_settled(void *user_data, CodeServiceStatus status, CodeServiceSettleReport *report,
                       CodeServiceError *error) {
    EXPECT((report == NULL) == (status != CODE_SERVICE_STATUS_OK));
    code_service_settle_report_free(report);
    code_service_error_free(error);
    on_answer(user_data);
}

static void on_saved(void *user_data, CodeServiceStatus status, CodeServiceSaveReport *report,
                     CodeServiceError *error) {
    EXPECT((report == NULL) == (status != CODE_SERVICE_STATUS_OK));
    code_service_save_report_free(report);
    code_service_error_free(error);
    on_answer(user_data);
}

static void on_found(void *user_data, CodeServiceStatus status, CodeServiceCode *found, CodeServiceError *error) {
    EXPECT(found == NULL || status == CODE_SERVICE_STATUS_OK);
    code_service_code_free(found);
    code_service_error_free(error);
    on_answer(user_data);
}

/* Nobody else reads the input meanwhile. */
static int64_t read_input_later(void *user_data, char *buffer, size_t size) {
    EXPECT(user_data == &answered);
    return read_input(&input, buffer, size);
}

static void on_counted(void *user_data, CodeServiceStatus status, CodeServiceCounts counts, CodeServiceError *error) {
    EXPECT(status == CODE_SERVICE_STATUS_OK || counts.available + counts.reserved + counts.assigned == 0);
    code_service_error_free(error);
    on_answer(user_data);
}

static bool on_code(void *user_data, const CodeServiceCode *code) {
    EXPECT(user_data == &answered && code_service_code_text(code).size > 0);
    return true;
}

static void on_done(void *user_data, CodeServiceStatus status, CodeServiceError *error) {
    EXPECT((error == NULL) == (status == CODE_SERVICE_STATUS_OK));
    code_service_error_free(error);
    on_answer(user_data);
}

static void later(void) {
    CodeServiceCancel *cancel = take() % 2 == 0 ? NULL : code_service_cancel_new();
    CodeServiceError *error = NULL;
    CodeServiceStatus status = CODE_SERVICE_STATUS_OK;
    void *data = &answered;
    bool nobody = now_and_then();
    size_t count = 0;
    if (take() % 2 == 0) {
        code_service_cancel(cancel);
    }
    answered = 0;
    switch (take() % 11) {
    case 0:
        status = code_service_reserve_async(service(), campaign(), type(), take() % 4, take() % 2 == 0, text(), cancel,
                                            nobody ? NULL : on_reserved, data, &error);
        break;
    case 1:
        status = code_service_recover_async(service(), text(), cancel, nobody ? NULL : on_held, data, &error);
        break;
    case 2: {
        const CodeServiceText *list = codes(&count);
        status = code_service_assign_async(service(), campaign(), list, count, text(), cancel, nobody ? NULL : on_settled,
                                           data, &error);
        break;
    }
    case 3:
        status = code_service_count_async(service(), campaign(), type(), cancel, nobody ? NULL : on_counted, data, &error);
        break;
    case 4: {
        const CodeServiceText *list = codes(&count);
        status = code_service_release_async(service(), campaign(), list, count, text(), cancel,
                                            nobody ? NULL : on_settled, data, &error);
        break;
    }
    case 5: {
        const CodeServiceText *list = codes(&count);
        status = code_service_save_async(service(), campaign(), type(), list, count, cancel, nobody ? NULL : on_saved,
                                         data, &error);
        break;
    }
    case 6: {
        bool no_file = now_and_then();
        const CodeService *used = service();
        CodeServiceText of = campaign(), kind = type();
        status = code_service_save_csv_async(used, of, kind, no_file ? NULL : read_input_later, cancel,
                                             nobody ? NULL : on_saved, data, &error);
        break;
    }
    case 7:
        status = code_service_reservation_async(service(), text(), cancel, nobody ? NULL : on_held, data, &error);
        break;
    case 8:
        status = code_service_find_async(service(), campaign(), text(), cancel, nobody ? NULL : on_found, data, &error);
        break;
    case 9:
        status = code_service_ensure_indexes_async(service(), cancel, nobody ? NULL : on_done, data, &error);
        break;
    default:
        status = code_service_export_async(service(), campaign(), text(), (int32_t)take() % 40, text(), cancel,
                                           now_and_then() ? NULL : on_code, nobody ? NULL : on_done, data, &error);
    }
    EXPECT(!nobody || status != CODE_SERVICE_STATUS_OK);
    /* Who reads the input on another thread has it alone. */
    if (status != CODE_SERVICE_STATUS_OK) {
        check_error(status, error);
    }
    code_service_cancel(cancel);
    code_service_cancel_free(cancel);
    pthread_mutex_lock(&lock);
    while (status == CODE_SERVICE_STATUS_OK && answered == 0) {
        pthread_cond_wait(&changed, &lock);
    }
    EXPECT(answered == (status == CODE_SERVICE_STATUS_OK));
    pthread_mutex_unlock(&lock);
}

/* Options that lie about everything but how long they are. They reach nothing: connecting takes too long. */
static void connect_to_nothing(void) {
    size_t size = take() % (2 * sizeof(CodeServiceOptions));
    /* A struct is where its fields can be. */
    size_t given = size == 0 ? sizeof size : (size + sizeof size - 1) / sizeof size * sizeof size;
    unsigned char *bytes = room(given);
    code_service_options_init((CodeServiceOptions *)(void *)bytes, size);
    CodeServiceOptions filled;
    memset(&filled, 0, sizeof filled);
    filled.uri = text();
    filled.database = text();
    filled.collection = text();
    filled.reservation_ttl_ms = take();
    filled.threads = 2000;
    filled.size = size;
    memcpy(bytes, &filled, given < sizeof filled ? given : sizeof filled);
    if (size > sizeof filled && take() % 2 == 0) {
        bytes[size - 1] = (unsigned char)take();
    }
    CodeService *made = NULL;
    CodeServiceError *error = NULL;
    is_closed = false;
    CodeServiceStatus status = code_service_connect(take() % 8 == 0 ? NULL : (const CodeServiceOptions *)(void *)bytes,
                                                    now_and_then() ? NULL : &made, &error);
    EXPECT(status == CODE_SERVICE_STATUS_INVALID_ARGUMENT && made == NULL);
    check_error(status, error);
}

static void count_codes(void) {
    CodeServiceCounts counts = {7, 7, 7};
    CodeServiceError *error = NULL;
    bool no_place = now_and_then();
    CodeServiceStatus status = code_service_count(service(), campaign(), type(), no_place ? NULL : &counts, &error);
    EXPECT(status == CODE_SERVICE_STATUS_OK || counts.available + counts.reserved + counts.assigned == 21);
    check_error(status, error);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static CodeService *connected(void) {
    const char *uri = getenv("CODE_SERVICE_TEST_URI");
    EXPECT(uri != NULL);
    CodeServiceOptions options;
    code_service_options_init(&options, sizeof options);
    options.uri = code_service_text(uri);
    CodeService *service = NULL;
    EXPECT(code_service_connect(&options, &service, NULL) == CODE_SERVICE_STATUS_OK);
    return service;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t number = 0; number < PAGES; ++number) {
        void *both = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        EXPECT(both != MAP_FAILED);
        pages[number] = both;
        EXPECT(mprotect(pages[number] + page_size, page_size, PROT_NONE) == 0);
    }
    live = connected();
    closed = connected();
    EXPECT(code_service_close(closed, NULL) == CODE_SERVICE_STATUS_OK);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input = data;
    input_left = size;
    pages_used = 0;
    size_t count = 0;
    unsigned which = take();
    switch (which % 13) {
    case 0:
        CALL(CodeServiceReservation, code_service_reserve, false, check_reservation, service(), campaign(), type(),
             now_and_then() ? UINT32_MAX - take() : take() % 4, take() % 2 == 0, text());
        break;
    case 1:
        CALL(CodeServiceReservationState, code_service_recover, true, check_state, service(), text());
        break;
    case 2:
        CALL(CodeServiceReservationState, code_service_reservation, true, check_state, service(), text());
        break;
    case 3:
    case 4: {
        const CodeServiceText *list = codes(&count);
        if (which % 13 == 3) {
            CALL(CodeServiceSettleReport, code_service_assign, false, check_settled, service(), campaign(), list, count,
                 text());
        } else {
            CALL(CodeServiceSettleReport, code_service_release, false, check_settled, service(), campaign(), list, count,
                 text());
        }
        break;
    }
    case 5:
        count_codes();
        break;
    case 6:
        CALL(CodeServiceCode, code_service_find, true, check_found, service(), campaign(), text());
        break;
    case 7: {
        const CodeServiceText *list = codes(&count);
        CALL(CodeServiceSaveReport, code_service_save, false, check_saved, service(), campaign(), type(), list, count);
        break;
    }
    case 8:
        CALL(CodeServiceSaveReport, code_service_save_csv, false, check_saved, service(), campaign(), type(),
             now_and_then() ? NULL : read_input, &input);
        break;
    case 9:
        CALL(CodeServiceExport, code_service_export, false, check_cursor, service(), campaign(), text(),
             (int32_t)take() % 40, text());
        break;
    case 10:
        later();
        break;
    case 11:
        CALL(CodeServiceIndexProblems, code_service_verify_indexes, false, check_problems, service());
        break;
    default:
        connect_to_nothing();
    }
    return 0;
}
