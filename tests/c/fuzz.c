/*
 * Throws arguments at every function: null, texts that are none, sizes that cannot be, and true ones between them. For
 * libFuzzer; the database is the one that CODE_SERVICE_TEST_URI names.
 *
 * Whatever is given has memory behind its end that must not be touched, so that one byte too far ends the program.
 */
#define _DEFAULT_SOURCE
#include "fuzz.h"

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
