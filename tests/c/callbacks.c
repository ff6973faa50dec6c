/*
 * What code_service.h promises of callbacks, and of the end of a service, asked of the library itself.
 *
 *     callbacks URI
 *
 * Ends with 1 at the first promise that is not kept.
 */
#define _DEFAULT_SOURCE
#include "promises.h"

/* Waits for a call of its own, where other callbacks wait for it. */
static void on_reserved_calls_back(void *data, CodeServiceStatus status, CodeServiceReservation *reservation,
                                   CodeServiceError *error) {
    struct answers *answers = data;
    CodeServiceCounts counts = counted(answers->service, answers->campaign);
    EXPECT(counts.reserved >= 1);
    on_reserved(data, status, reservation, error);
}

static bool on_code_frees(void *data, const CodeServiceCode *code) {
    struct answers *answers = data;
    EXPECT(code_service_code_text(code).size > 0);
    if (answers->codes++ == 0) {
        code_service_free(answers->own);
    }
    return true;
}

static void on_closed(void *data, CodeServiceStatus status, CodeServiceError *error) {
    EXPECT(status == CODE_SERVICE_STATUS_CLOSED);
    answered(data, status, 0, error);
}

static void on_counted_closes(void *data, CodeServiceStatus status, CodeServiceCounts counts, CodeServiceError *error) {
    struct answers *answers = data;
    EXPECT(code_service_close(answers->own, NULL) == CODE_SERVICE_STATUS_OK);
    on_counted(data, status, counts, error);
}

static void answers_later(const CodeService *service) {
    CodeServiceText campaign = fresh_campaign(), tm = code_service_text("tm"), code = code_service_text("CODE1");
    stock(service, campaign, 1000);
    struct answers answers;
    answers_init(&answers, service, campaign);
    for (int call = 0; call < 100; ++call) {
        OK(code_service_reserve_async(service, campaign, tm, 1, false, NONE, NULL, on_reserved, &answers, &error));
    }
    OK(code_service_reserve_async(service, campaign, tm, 1, false, NONE, NULL, on_reserved_calls_back, &answers, &error));
    wait_for(&answers, 101);
    EXPECT(answers.ok == 101 && answers.codes == 101);
    EXPECT(counted(service, campaign).reserved == 101);

    CodeServiceCancel *cancel = code_service_cancel_new();
    answers_init(&answers, service, campaign);
    OK(code_service_assign_async(service, campaign, &code, 1, NONE, cancel, on_settled, &answers, &error));
    wait_for(&answers, 1);
    OK(code_service_release_async(service, campaign, &code, 1, NONE, NULL, on_settled, &answers, &error));
    OK(code_service_recover_async(service, code_service_text("nobody's"), NULL, on_held, &answers, &error));
    OK(code_service_reservation_async(service, code_service_text("nobody's"), NULL, on_held, &answers, &error));
    OK(code_service_find_async(service, campaign, code, NULL, on_found, &answers, &error));
    OK(code_service_save_async(service, campaign, tm, &code, 1, NULL, on_saved, &answers, &error));
    OK(code_service_count_async(service, campaign, tm, NULL, on_counted, &answers, &error));
    OK(code_service_ensure_indexes_async(service, NULL, on_done, &answers, &error));
    wait_for(&answers, 8);
    EXPECT(answers.ok == 8 && answers.codes == 1 + 1 + 1 + 1000);

    answers_init(&answers, service, campaign);
    OK(code_service_export_async(service, campaign, NONE, CODE_SERVICE_CODE_STATUS_ANY, NONE, NULL, on_code, on_done,
                                 &answers, &error));
    wait_for(&answers, 1);
    EXPECT(answers.ok == 1 && answers.codes == 700);

    /* What is cancelled is answered so, and holds nothing. */
    uint64_t reserved = counted(service, campaign).reserved;
    struct answers late;
    answers_init(&late, service, campaign);
    answers_init(&answers, service, campaign);
    for (int call = 0; call < 20; ++call) {
        OK(code_service_reserve_async(service, campaign, tm, 10, false, NONE, cancel, on_reserved, &answers, &error));
    }
    code_service_cancel(cancel);
    code_service_cancel(cancel);
    OK(code_service_count_async(service, campaign, tm, cancel, on_counted, &late, &error));
    code_service_cancel_free(cancel);
    wait_for(&late, 1);
    EXPECT(late.cancelled == 1);
    wait_for(&answers, 20);
    EXPECT(answers.ok + answers.cancelled == 20 && answers.cancelled >= 1);
    for (int look = 0; counted(service, campaign).reserved != reserved + answers.codes; ++look) {
        EXPECT(look < 1000);
        usleep(10000);
    }
}

static void is_closed(const char *uri) {
    CodeServiceText campaign = fresh_campaign(), tm = code_service_text("tm"), code = code_service_text("CODE1");
    CodeService *service = connected(uri);
    stock(service, campaign, 1200);
    struct answers answers;
    answers_init(&answers, service, campaign);
    for (int call = 0; call < 10; ++call) {
        OK(code_service_reserve_async(service, campaign, tm, 1, false, NONE, NULL, on_reserved, &answers, &error));
    }
    wait_for(&answers, 10);
    CodeServiceExport *cursor = NULL;
    const CodeServiceCode *next = NULL;
    OK(code_service_export(service, campaign, NONE, CODE_SERVICE_CODE_STATUS_ANY, NONE, &cursor, &error));
    OK(code_service_export_next(cursor, &next, &error));
    OK(code_service_close(service, &error));
    OK(code_service_close(service, &error));
    /* What it has it hands out, and it does not say that this was all if it was not. */
    CodeServiceStatus status = CODE_SERVICE_STATUS_OK;
    int seen = 1;
    while ((status = code_service_export_next(cursor, &next, NULL)) == CODE_SERVICE_STATUS_OK && next != NULL) {
        ++seen;
    }
    EXPECT(status == CODE_SERVICE_STATUS_OK ? seen == 1200 : status == CODE_SERVICE_STATUS_CLOSED);
    code_service_export_free(cursor);
    OK(code_service_export(service, campaign, NONE, CODE_SERVICE_CODE_STATUS_ANY, NONE, &cursor, &error));
    CLOSED(code_service_export_next(cursor, &next, &error));
    CLOSED(code_service_export_next(cursor, &next, &error));
    code_service_export_free(cursor);

    CodeServiceReservation *reservation = NULL;
    CodeServiceReservationState *state = NULL;
    CodeServiceSettleReport *settled = NULL;
    CodeServiceSaveReport *saved = NULL;
    CodeServiceCounts counts;
    CodeServiceCode *found = NULL;
    CodeServiceIndexProblems *problems = NULL;
    struct file file = {"A\nB\n", 0, 2, 100};
    CLOSED(code_service_reserve(service, campaign, tm, 1, false, NONE, &reservation, &error));
    CLOSED(code_service_reserve(service, campaign, tm, 1, false, code, &reservation, &error));
    CLOSED(code_service_recover(service, code, &state, &error));
    CLOSED(code_service_reservation(service, code, &state, &error));
    CLOSED(code_service_assign(service, campaign, &code, 1, NONE, &settled, &error));
    CLOSED(code_service_release(service, campaign, &code, 1, NONE, &settled, &error));
    CLOSED(code_service_count(service, campaign, tm, &counts, &error));
    CLOSED(code_service_find(service, campaign, code, &found, &error));
    CLOSED(code_service_save(service, campaign, tm, &code, 1, &saved, &error));
    CLOSED(code_service_save_csv(service, campaign, tm, read_file, &file, &saved, &error));
    CLOSED(code_service_ensure_indexes(service, &error));
    CLOSED(code_service_verify_indexes(service, &problems, &error));
    answers_init(&answers, service, campaign);
    OK(code_service_reserve_async(service, campaign, tm, 1, false, NONE, NULL, on_reserved, &answers, &error));
    OK(code_service_find_async(service, campaign, code, NULL, on_found, &answers, &error));
    wait_for(&answers, 2);
    EXPECT(answers.ok == 0 && answers.cancelled == 0);
    code_service_free(service);
}

/* A file that is cancelled while it is read. */
struct long_file {
    CodeServiceCancel *cancel;
    const CodeService *service;
    CodeServiceText campaign;
    int reads;
    bool answered;
};

static int64_t read_long_file(void *user_data, char *buffer, size_t size) {
    struct long_file *file = user_data;
    EXPECT(!file->answered && size >= 3);
    /* It may call the library. */
    EXPECT(counted(file->service, file->campaign).available < 100000);
    if (++file->reads == 5) {
        code_service_cancel(file->cancel);
    }
    memcpy(buffer, "Z1\n", 3);
    return 3;
}

static void on_long_file(void *user_data, CodeServiceStatus status, CodeServiceSaveReport *report,
                         CodeServiceError *error) {
    struct long_file *file = user_data;
    EXPECT(status == CODE_SERVICE_STATUS_CANCELLED && report == NULL);
    code_service_error_free(error);
    file->answered = true;
}

static void reads_no_file_that_was_cancelled(const char *uri) {
    CodeServiceText campaign = fresh_campaign(), tm = code_service_text("tm");
    CodeService *service = connected(uri);
    struct long_file file = {code_service_cancel_new(), service, campaign, 0, false};
    OK(code_service_save_csv_async(service, campaign, tm, read_long_file, file.cancel, on_long_file, &file, &error));
    code_service_free(service);
    EXPECT(file.answered && file.reads == 5);
    code_service_cancel_free(file.cancel);
}

static void on_connected(void *data, CodeServiceStatus status, CodeService *service, CodeServiceError *error) {
    struct answers *answers = data;
    answers->own = service;
    answered(data, status, 0, error);
}

static void connects_later(const char *uri) {
    CodeServiceOptions options;
    code_service_options_init(&options, sizeof options);
    options.size = 1;
    INVALID(code_service_connect_async(&options, NULL, on_connected, NULL, &error));
    options.size = sizeof options;
    INVALID(code_service_connect_async(NULL, NULL, on_connected, NULL, &error));
    options.uri = code_service_text(uri);
    INVALID(code_service_connect_async(&options, NULL, NULL, NULL, &error));
    struct answers answers;
    answers_init(&answers, NULL, NONE);
    OK(code_service_connect_async(&options, NULL, on_connected, &answers, &error));
    wait_for(&answers, 1);
    EXPECT(answers.ok == 1 && answers.own != NULL);
    CodeService *service = answers.own;
    OK(code_service_verify_indexes_async(service, NULL, on_verified, &answers, &error));
    wait_for(&answers, 2);
    OK(code_service_close_async(service, NULL, on_done, &answers, &error));
    wait_for(&answers, 3);
    EXPECT(answers.ok == 3 && answers.codes == 0);
    CodeServiceCounts counts;
    CLOSED(code_service_count(service, code_service_text("summer"), code_service_text("tm"), &counts, &error));
    code_service_free(service);

    options.uri = code_service_text("mongodb://127.0.0.1:9/x?replicaSet=rs0");
    options.server_selection_timeout_ms = 100;
    answers_init(&answers, NULL, NONE);
    OK(code_service_connect_async(&options, NULL, on_connected, &answers, &error));
    wait_for(&answers, 1);
    EXPECT(answers.ok == 0 && answers.own == NULL);
}

/* Assigns what it has got, and does not wait for it. */
static void on_reserved_assigns(void *data, CodeServiceStatus status, CodeServiceReservation *reservation,
                                CodeServiceError *error) {
    struct answers *answers = data;
    EXPECT(status == CODE_SERVICE_STATUS_OK && error == NULL);
    CodeServiceText code = code_service_reservation_code(reservation, 0);
    EXPECT(code_service_assign_async(answers->service, answers->campaign, &code, 1, NONE, NULL, on_settled, data, NULL) ==
           CODE_SERVICE_STATUS_OK);
    code_service_reservation_free(reservation);
}

static void lets_callbacks_run_before_it_is_free(const char *uri) {
    CodeServiceText campaign = fresh_campaign(), tm = code_service_text("tm");
    CodeService *service = connected(uri);
    stock(service, campaign, 50);
    struct answers answers;
    answers_init(&answers, service, campaign);
    for (int call = 0; call < 50; ++call) {
        OK(code_service_reserve_async(service, campaign, tm, 1, false, NONE, NULL, on_reserved, &answers, &error));
    }
    code_service_free(service);
    EXPECT(answers.done == 50);

    /* They may call until then, and are answered, be it that it is closed. */
    service = connected(uri);
    answers_init(&answers, service, campaign);
    campaign = fresh_campaign();
    stock(service, campaign, 50);
    answers.campaign = campaign;
    for (int call = 0; call < 50; ++call) {
        OK(code_service_reserve_async(service, campaign, tm, 1, false, NONE, NULL, on_reserved_assigns, &answers, &error));
    }
    code_service_free(service);
    EXPECT(answers.done == 50);
}

static void may_be_closed_and_freed_by_callbacks(const char *uri) {
    CodeServiceText campaign = fresh_campaign(), tm = code_service_text("tm");
    struct answers answers;
    CodeService *service = connected(uri);
    stock(service, campaign, 1200);
    answers_init(&answers, service, campaign);
    answers.own = service;
    OK(code_service_count_async(service, campaign, tm, NULL, on_counted_closes, &answers, &error));
    wait_for(&answers, 1);
    EXPECT(answers.ok == 1 && answers.codes == 1200);
    code_service_free(service);

    service = connected(uri);
    answers_init(&answers, service, campaign);
    answers.own = service;
    OK(code_service_export_async(service, campaign, NONE, CODE_SERVICE_CODE_STATUS_ANY, NONE, NULL, on_code_frees,
                                 on_closed, &answers, &error));
    wait_for(&answers, 1);
    EXPECT(answers.codes >= 1);
}

int main(int argc, char **argv) {
    EXPECT(argc == 2);
    CodeService *service = connected(argv[1]);
    answers_later(service);
    code_service_free(service);
    is_closed(argv[1]);
    reads_no_file_that_was_cancelled(argv[1]);
    connects_later(argv[1]);
    lets_callbacks_run_before_it_is_free(argv[1]);
    may_be_closed_and_freed_by_callbacks(argv[1]);
    puts("every promise is kept");
    return 0;
}
