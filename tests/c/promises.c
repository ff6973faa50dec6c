/*
 * What code_service.h promises of its functions, asked of the library itself.
 *
 *     promises URI
 *
 * Ends with 1 at the first promise that is not kept.
 */
#define _DEFAULT_SOURCE
#include "promises.h"

static void says_its_version(void) {
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", CODE_SERVICE_VERSION_MAJOR, CODE_SERVICE_VERSION_MINOR,
             CODE_SERVICE_VERSION_PATCH);
    EXPECT(is(code_service_version(), version));
}

static void refuses_wrong_options(const char *uri) {
    CodeService *service = NULL;
    CodeServiceOptions options;
    code_service_options_init(&options, sizeof options);
    INVALID(code_service_connect(NULL, &service, &error));
    INVALID(code_service_connect(&options, &service, &error));
    options.uri = code_service_text(uri);
    INVALID(code_service_connect(&options, NULL, &error));
    options.size = sizeof options - 1;
    INVALID(code_service_connect(&options, &service, &error));
    size_t wrong[] = {0, 1, 4097, SIZE_MAX / 2, SIZE_MAX};
    for (size_t place = 0; place < sizeof wrong / sizeof *wrong; ++place) {
        options.size = wrong[place];
        INVALID(code_service_connect(&options, &service, &error));
    }
    options.size = sizeof options;
    options.reserved = 1;
    INVALID(code_service_connect(&options, &service, &error));
    options.reserved = 0;
    options.threads = 100000;
    INVALID(code_service_connect(&options, &service, &error));
    options.threads = 0;
    options.reservation_ttl_ms = 1;
    CodeServiceError *error = NULL;
    EXPECT(code_service_connect(&options, &service, &error) == CODE_SERVICE_STATUS_INVALID_ARGUMENT);
    EXPECT(is(code_service_error_argument(error), "reservation_ttl_ms"));
    EXPECT(is(code_service_error_code(error), "invalid_argument"));
    EXPECT(!code_service_error_retryable(error));
    code_service_error_free(error);
    EXPECT(service == NULL);

    /* Options of a later version, which has something behind ours. */
    struct {
        CodeServiceOptions options;
        uint64_t later;
    } newer;
    code_service_options_init(&newer.options, sizeof newer);
    EXPECT(newer.options.size == sizeof newer && newer.later == 0);
    newer.options.uri = code_service_text(uri);
    newer.later = 1;
    INVALID(code_service_connect(&newer.options, &service, &error));
    newer.later = 0;
    OK(code_service_connect(&newer.options, &service, &error));
    code_service_free(service);
    code_service_options_init(NULL, 8);

    code_service_options_init(&options, sizeof options);
    options.uri = code_service_text("mongodb://127.0.0.1:9/x?replicaSet=rs0");
    options.server_selection_timeout_ms = 100;
    ANSWERS(CODE_SERVICE_STATUS_UNAVAILABLE, code_service_connect(&options, &service, &error));
}

static void reserves_assigns_and_releases(const CodeService *service) {
    CodeServiceText campaign = fresh_campaign(), tm = code_service_text("tm");
    stock(service, campaign, 5);
    CodeServiceReservation *reservation = NULL;
    CodeServiceText id = code_service_text("reserves-and-so-on");
    char own[64];
    snprintf(own, sizeof own, "own-%ld-%.*s", (long)getpid(), (int)campaign.size, campaign.data);
    id = code_service_text(own);
    OK(code_service_reserve(service, campaign, tm, 3, false, id, &reservation, &error));
    EXPECT(code_service_reservation_count(reservation) == 3);
    EXPECT(is(code_service_reservation_reserve_id(reservation), own));
    EXPECT(!code_service_reservation_replayed(reservation));
    EXPECT(code_service_reservation_code(reservation, 3).size == 0);
    EXPECT(code_service_reservation_expires_ms(reservation) - code_service_reservation_reserved_ms(reservation) ==
           24 * 3600 * 1000);
    CodeServiceText codes[3];
    for (size_t place = 0; place < 3; ++place) {
        codes[place] = code_service_reservation_code(reservation, place);
    }

    CodeServiceReservation *again = NULL;
    OK(code_service_reserve(service, campaign, tm, 3, false, id, &again, &error));
    EXPECT(code_service_reservation_replayed(again));
    code_service_reservation_free(again);
    ANSWERS(CODE_SERVICE_STATUS_RESERVATION_MISMATCH,
            code_service_reserve(service, campaign, tm, 2, false, id, &again, &error));

    CodeServiceSettleReport *report = NULL;
    OK(code_service_assign(service, campaign, codes, 1, id, &report, &error));
    EXPECT(code_service_settle_report_in(report) == 1 && code_service_settle_report_updated(report) == 1);
    EXPECT(code_service_settle_report_lost_count(report) == 0);
    code_service_settle_report_free(report);
    OK(code_service_release(service, campaign, codes + 1, 2, code_service_text("another"), &report, &error));
    EXPECT(code_service_settle_report_updated(report) == 0 && code_service_settle_report_lost_count(report) == 2);
    EXPECT(code_service_settle_report_lost(report, 0).size > 0 && code_service_settle_report_lost(report, 2).size == 0);
    code_service_settle_report_free(report);
    OK(code_service_release(service, campaign, codes + 1, 1, NONE, &report, &error));
    EXPECT(code_service_settle_report_updated(report) == 1);
    code_service_settle_report_free(report);

    CodeServiceCounts counts = counted(service, campaign);
    EXPECT(counts.available == 3 && counts.reserved == 1 && counts.assigned == 1);

    CodeServiceReservationState *state = NULL;
    OK(code_service_reservation(service, id, &state, &error));
    EXPECT(code_service_reservation_state_count(state) == 2 && is(code_service_reservation_state_reserve_id(state), own));
    EXPECT(is(code_service_reservation_state_type(state), "tm"));
    const CodeServiceCode *first = code_service_reservation_state_code(state, 0);
    EXPECT(code_service_code_text(first).size > 0 && code_service_reservation_state_code(state, 2) == NULL);
    code_service_reservation_state_free(state);
    OK(code_service_recover(service, id, &state, &error));
    EXPECT(code_service_reservation_state_count(state) == 2);
    code_service_reservation_state_free(state);
    OK(code_service_recover(service, code_service_text("nobody's"), &state, &error));
    EXPECT(state == NULL);

    CodeServiceCode *found = NULL;
    int64_t time = -1;
    OK(code_service_find(service, campaign, codes[0], &found, &error));
    EXPECT(code_service_code_status(found) == CODE_SERVICE_CODE_STATUS_ASSIGNED);
    EXPECT(code_service_code_assigned_ms(found, &time) && time > 0);
    EXPECT(is(code_service_code_type(found), "tm") && is(code_service_code_reserve_id(found), own));
    code_service_code_free(found);
    OK(code_service_find(service, campaign, codes[1], &found, &error));
    EXPECT(code_service_code_status(found) == CODE_SERVICE_CODE_STATUS_AVAILABLE);
    EXPECT(!code_service_code_assigned_ms(found, &time) && code_service_code_saved_ms(found, NULL));
    code_service_code_free(found);
    OK(code_service_find(service, campaign, code_service_text("not there"), &found, &error));
    EXPECT(found == NULL);
    code_service_reservation_free(reservation);

    CodeServiceError *error = NULL;
    EXPECT(code_service_reserve(service, campaign, tm, 4, false, NONE, &reservation, &error) ==
           CODE_SERVICE_STATUS_NOT_ENOUGH_CODES);
    EXPECT(code_service_error_wanted(error) == 4 && code_service_error_available(error) == 3);
    code_service_error_free(error);
    OK(code_service_reserve(service, campaign, tm, 4, true, NONE, &reservation, &error));
    EXPECT(code_service_reservation_count(reservation) == 3);
    code_service_reservation_free(reservation);
}

static void refuses_null_and_nonsense(const CodeService *service) {
    CodeServiceText campaign = fresh_campaign(), tm = code_service_text("tm"), code = code_service_text("A");
    CodeServiceText bad = {"\xff\xfe", 2}, no_data = {NULL, 7}, huge = {"A", SIZE_MAX};
    CodeServiceReservation *reservation = NULL;
    CodeServiceReservationState *state = NULL;
    CodeServiceSettleReport *settled = NULL;
    CodeServiceSaveReport *saved = NULL;
    CodeServiceCounts counts = {7, 7, 7};
    CodeServiceCode *found = NULL;
    CodeServiceExport *cursor = NULL;
    const CodeServiceCode *next = NULL;
    CodeServiceIndexProblems *problems = NULL;

    INVALID(code_service_reserve(NULL, campaign, tm, 1, false, NONE, &reservation, &error));
    INVALID(code_service_reserve(service, NONE, tm, 1, false, NONE, &reservation, &error));
    INVALID(code_service_reserve(service, bad, tm, 1, false, NONE, &reservation, &error));
    INVALID(code_service_reserve(service, no_data, tm, 1, false, NONE, &reservation, &error));
    INVALID(code_service_reserve(service, huge, tm, 1, false, NONE, &reservation, &error));
    INVALID(code_service_reserve(service, campaign, bad, 1, false, NONE, &reservation, &error));
    INVALID(code_service_reserve(service, campaign, tm, 0, false, NONE, &reservation, &error));
    INVALID(code_service_reserve(service, campaign, tm, UINT32_MAX, false, NONE, &reservation, &error));
    INVALID(code_service_reserve(service, campaign, tm, 1, false, bad, &reservation, &error));
    INVALID(code_service_reserve(service, campaign, tm, 1, false, code_service_text(""), &reservation, &error));
    INVALID(code_service_reserve(service, campaign, tm, 1, false, NONE, NULL, &error));
    INVALID(code_service_recover(NULL, code, &state, &error));
    INVALID(code_service_recover(service, NONE, &state, &error));
    INVALID(code_service_recover(service, code, NULL, &error));
    INVALID(code_service_reservation(NULL, code, &state, &error));
    INVALID(code_service_reservation(service, code, NULL, &error));
    INVALID(code_service_assign(NULL, campaign, &code, 1, NONE, &settled, &error));
    INVALID(code_service_assign(service, campaign, NULL, 1, NONE, &settled, &error));
    INVALID(code_service_assign(service, campaign, &code, 0, NONE, &settled, &error));
    INVALID(code_service_assign(service, campaign, &code, SIZE_MAX, NONE, &settled, &error));
    INVALID(code_service_assign(service, campaign, &bad, 1, NONE, &settled, &error));
    INVALID(code_service_assign(service, campaign, &code, 1, NONE, NULL, &error));
    INVALID(code_service_release(NULL, campaign, &code, 1, NONE, &settled, &error));
    INVALID(code_service_release(service, campaign, &no_data, 1, NONE, &settled, &error));
    INVALID(code_service_release(service, campaign, &code, 1, NONE, NULL, &error));
    INVALID(code_service_count(NULL, campaign, tm, &counts, &error));
    INVALID(code_service_count(service, campaign, NONE, &counts, &error));
    INVALID(code_service_count(service, campaign, tm, NULL, &error));
    INVALID(code_service_find(NULL, campaign, code, &found, &error));
    INVALID(code_service_find(service, campaign, NONE, &found, &error));
    INVALID(code_service_find(service, campaign, code, NULL, &error));
    INVALID(code_service_save(NULL, campaign, tm, &code, 1, &saved, &error));
    INVALID(code_service_save(service, campaign, tm, NULL, 1, &saved, &error));
    INVALID(code_service_save(service, campaign, tm, &code, 1, NULL, &error));
    INVALID(code_service_save_csv(service, campaign, tm, NULL, NULL, &saved, &error));
    INVALID(code_service_export(NULL, campaign, NONE, 0, NONE, &cursor, &error));
    INVALID(code_service_export(service, campaign, NONE, 7, NONE, &cursor, &error));
    INVALID(code_service_export(service, campaign, NONE, 0, NONE, NULL, &error));
    INVALID(code_service_export(service, campaign, NONE, 0, bad, &cursor, &error));
    INVALID(code_service_export_next(NULL, &next, &error));
    INVALID(code_service_ensure_indexes(NULL, &error));
    INVALID(code_service_verify_indexes(NULL, &problems, &error));
    INVALID(code_service_verify_indexes(service, NULL, &error));
    INVALID(code_service_close(NULL, &error));
    INVALID(code_service_save_csv(NULL, campaign, tm, read_file, NULL, &saved, &error));
    INVALID(code_service_save_csv(service, campaign, tm, read_file, NULL, NULL, &error));
    INVALID(code_service_release(service, campaign, NULL, 1, NONE, &settled, &error));
    INVALID(code_service_reservation(service, NONE, &state, &error));
    OK(code_service_export(service, campaign, NONE, 0, NONE, &cursor, &error));
    INVALID(code_service_export_next(cursor, NULL, &error));
    code_service_export_free(cursor);
    cursor = NULL;

    INVALID(code_service_reserve_async(NULL, campaign, tm, 1, false, NONE, NULL, on_reserved, NULL, &error));
    INVALID(code_service_reserve_async(service, campaign, tm, 1, false, NONE, NULL, NULL, NULL, &error));
    INVALID(code_service_recover_async(NULL, code, NULL, on_held, NULL, &error));
    INVALID(code_service_recover_async(service, code, NULL, NULL, NULL, &error));
    INVALID(code_service_reservation_async(NULL, code, NULL, on_held, NULL, &error));
    INVALID(code_service_reservation_async(service, code, NULL, NULL, NULL, &error));
    INVALID(code_service_assign_async(NULL, campaign, &code, 1, NONE, NULL, on_settled, NULL, &error));
    INVALID(code_service_assign_async(service, campaign, NULL, 1, NONE, NULL, on_settled, NULL, &error));
    INVALID(code_service_assign_async(service, campaign, &code, 1, NONE, NULL, NULL, NULL, &error));
    INVALID(code_service_release_async(NULL, campaign, &code, 1, NONE, NULL, on_settled, NULL, &error));
    INVALID(code_service_release_async(service, campaign, &code, 1, NONE, NULL, NULL, NULL, &error));
    INVALID(code_service_count_async(NULL, campaign, tm, NULL, on_counted, NULL, &error));
    INVALID(code_service_count_async(service, campaign, tm, NULL, NULL, NULL, &error));
    INVALID(code_service_find_async(NULL, campaign, code, NULL, on_found, NULL, &error));
    INVALID(code_service_find_async(service, campaign, code, NULL, NULL, NULL, &error));
    INVALID(code_service_save_async(NULL, campaign, tm, &code, 1, NULL, on_saved, NULL, &error));
    INVALID(code_service_save_async(service, campaign, tm, &code, 1, NULL, NULL, NULL, &error));
    INVALID(code_service_save_csv_async(NULL, campaign, tm, read_file, NULL, on_saved, NULL, &error));
    INVALID(code_service_save_csv_async(service, campaign, tm, NULL, NULL, on_saved, NULL, &error));
    INVALID(code_service_save_csv_async(service, campaign, tm, read_file, NULL, NULL, NULL, &error));
    INVALID(code_service_export_async(NULL, campaign, NONE, 0, NONE, NULL, on_code, on_done, NULL, &error));
    INVALID(code_service_export_async(service, campaign, NONE, 0, NONE, NULL, NULL, on_done, NULL, &error));
    INVALID(code_service_export_async(service, campaign, NONE, 0, NONE, NULL, on_code, NULL, NULL, &error));
    INVALID(code_service_ensure_indexes_async(NULL, NULL, on_done, NULL, &error));
    INVALID(code_service_ensure_indexes_async(service, NULL, NULL, NULL, &error));
    INVALID(code_service_verify_indexes_async(NULL, NULL, on_verified, NULL, &error));
    INVALID(code_service_close_async(NULL, NULL, on_done, NULL, &error));
    INVALID(code_service_close_async(service, NULL, NULL, NULL, &error));

    /* Nothing was written, and who does not want to know why need not. */
    EXPECT(reservation == NULL && state == NULL && settled == NULL && saved == NULL && found == NULL && cursor == NULL);
    EXPECT(counts.available == 7 && counts.reserved == 7 && counts.assigned == 7);
    EXPECT(code_service_count(NULL, campaign, tm, NULL, NULL) == CODE_SERVICE_STATUS_INVALID_ARGUMENT);

    CodeServiceError *error = NULL;
    CodeServiceText two[2] = {code, bad};
    EXPECT(code_service_assign(service, campaign, two, 2, NONE, &settled, &error) ==
           CODE_SERVICE_STATUS_INVALID_ARGUMENT);
    EXPECT(is(code_service_error_argument(error), "codes[1]"));
    EXPECT(is(code_service_error_message(error), "codes[1]: is not UTF-8"));
    code_service_error_free(error);

    /* Readers and those who free take NULL. */
    EXPECT(code_service_reservation_count(NULL) == 0 && code_service_reservation_code(NULL, 0).data == NULL);
    EXPECT(code_service_error_message(NULL).size == 0 && code_service_save_report_in(NULL) == 0);
    EXPECT(code_service_code_status(NULL) == CODE_SERVICE_CODE_STATUS_ANY);
    code_service_free(NULL);
    code_service_error_free(NULL);
    code_service_reservation_free(NULL);
    code_service_reservation_state_free(NULL);
    code_service_code_free(NULL);
    code_service_settle_report_free(NULL);
    code_service_save_report_free(NULL);
    code_service_index_problems_free(NULL);
    code_service_export_free(NULL);
    code_service_cancel(NULL);
    code_service_cancel_free(NULL);
}

static void saves_files(const CodeService *service) {
    CodeServiceText campaign = fresh_campaign(), tm = code_service_text("tm");
    struct file file = {"code\nA1,x\n\nB2\nA1\n\"C,3\"\n", 0, 3, 1000};
    CodeServiceSaveReport *report = NULL;
    OK(code_service_save_csv(service, campaign, tm, read_file, &file, &report, &error));
    EXPECT(code_service_save_report_in(report) == 4 && code_service_save_report_inserted(report) == 3);
    EXPECT(code_service_save_report_updated(report) == 1 && code_service_save_report_rejected(report) == 0);
    code_service_save_report_free(report);
    struct file broken = {"D4\nE5\nF6\n", 0, 4, 4};
    ANSWERS(CODE_SERVICE_STATUS_UNAVAILABLE,
            code_service_save_csv(service, campaign, tm, read_file, &broken, &report, &error));

    CodeServiceText list[3] = {code_service_text("G7"), code_service_text(""), NONE};
    OK(code_service_save(service, campaign, tm, list, 3, &report, &error));
    EXPECT(code_service_save_report_rejected(report) == 2 && code_service_save_report_rejections(report) == 2);
    EXPECT(code_service_save_report_rejection_row(report, 0) == 2);
    EXPECT(code_service_save_report_rejection_reason(report, 0).size > 0);
    EXPECT(code_service_save_report_rejection_row(report, 2) == 0);
    code_service_save_report_free(report);
    OK(code_service_save(service, campaign, tm, NULL, 0, &report, &error));
    code_service_save_report_free(report);
}

static size_t exported(const CodeService *service, CodeServiceText campaign, int status, CodeServiceText after) {
    CodeServiceExport *cursor = NULL;
    OK(code_service_export(service, campaign, code_service_text("tm"), status, after, &cursor, &error));
    size_t seen = 0;
    char last[16] = "";
    for (;;) {
        const CodeServiceCode *code = NULL;
        OK(code_service_export_next(cursor, &code, &error));
        if (code == NULL) {
            break;
        }
        CodeServiceText text = code_service_code_text(code);
        char now[16] = "";
        memcpy(now, text.data, text.size);
        EXPECT(strcmp(last, now) < 0);
        memcpy(last, now, sizeof last);
        ++seen;
    }
    const CodeServiceCode *code = NULL;
    OK(code_service_export_next(cursor, &code, &error));
    EXPECT(code == NULL);
    code_service_export_free(cursor);
    return seen;
}

static void exports(const CodeService *service) {
    CodeServiceText campaign = fresh_campaign();
    stock(service, campaign, 1200);
    EXPECT(exported(service, campaign, CODE_SERVICE_CODE_STATUS_ANY, NONE) == 1200);
    EXPECT(exported(service, campaign, CODE_SERVICE_CODE_STATUS_ASSIGNED, NONE) == 0);
    EXPECT(exported(service, campaign, CODE_SERVICE_CODE_STATUS_AVAILABLE, code_service_text("CODE99")) == 10);
    /* Left in the middle. */
    CodeServiceExport *cursor = NULL;
    const CodeServiceCode *code = NULL;
    OK(code_service_export(service, campaign, NONE, CODE_SERVICE_CODE_STATUS_ANY, NONE, &cursor, &error));
    OK(code_service_export_next(cursor, &code, &error));
    code_service_export_free(cursor);
}

static void tells_of_indexes(const CodeService *service) {
    CodeServiceIndexProblems *problems = NULL;
    OK(code_service_verify_indexes(service, &problems, &error));
    EXPECT(code_service_index_problems_count(problems) == 0);
    EXPECT(code_service_index_problems_message(problems, 0).size == 0);
    code_service_index_problems_free(problems);
    OK(code_service_ensure_indexes(service, &error));
}

int main(int argc, char **argv) {
    EXPECT(argc == 2);
    says_its_version();
    refuses_wrong_options(argv[1]);
    CodeService *service = connected(argv[1]);
    refuses_null_and_nonsense(service);
    tells_of_indexes(service);
    reserves_assigns_and_releases(service);
    saves_files(service);
    exports(service);
    code_service_free(service);
    puts("every promise is kept");
    return 0;
}
