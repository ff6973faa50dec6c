/*
 * Makes calls of the service that it is told of, and says what they answer.
 *
 *     vectors URI
 *
 * Reads a line of JSON for every call, {"call": NAME, "args": {...}}, and writes one for every answer:
 * {"answers": ...} or {"error": {...}}.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <code_service.h>
#include <jansson.h>

/* Gives up: the line is not what this program was made for. */
static void fail(const char *what) {
    fprintf(stderr, "vectors: %s\n", what);
    exit(1);
}

static json_t *json_of(CodeServiceText text) {
    return text.data == NULL ? json_null() : json_stringn(text.data, text.size);
}

/* A text, which may hold zeros, or nothing. */
static CodeServiceText text_of(const json_t *json) {
    CodeServiceText text = {NULL, 0};
    if (json_is_string(json)) {
        text.data = json_string_value(json);
        text.size = json_string_length(json);
    }
    return text;
}

static CodeServiceText argument(const json_t *args, const char *name) {
    return text_of(json_object_get(args, name));
}

/* The codes of a call. To be freed. */
static CodeServiceText *codes_of(const json_t *args, size_t *count) {
    const json_t *codes = json_object_get(args, "codes");
    *count = json_array_size(codes);
    CodeServiceText *texts = calloc(*count + 1, sizeof *texts);
    if (texts == NULL) {
        fail("out of memory");
    }
    for (size_t place = 0; place < *count; ++place) {
        texts[place] = text_of(json_array_get(codes, place));
    }
    return texts;
}

static json_t *status_of(const CodeServiceCode *code) {
    switch (code_service_code_status(code)) {
    case CODE_SERVICE_CODE_STATUS_AVAILABLE:
        return json_string("available");
    case CODE_SERVICE_CODE_STATUS_RESERVED:
        return json_string("reserved");
    case CODE_SERVICE_CODE_STATUS_ASSIGNED:
        return json_string("assigned");
    case CODE_SERVICE_CODE_STATUS_ANY:
        break;
    }
    return json_null();
}

/* A file in memory, of which little is given at once. */
struct file {
    CodeServiceText text;
    size_t place;
};

static int64_t read_file(void *user_data, char *buffer, size_t size) {
    struct file *file = user_data;
    size_t piece = file->text.size - file->place;
    piece = piece < 5 ? piece : 5;
    piece = piece < size ? piece : size;
    memcpy(buffer, file->text.data + file->place, piece);
    file->place += piece;
    return (int64_t)piece;
}

static json_t *save(const CodeService *service, const json_t *args, CodeServiceError **error) {
    CodeServiceText campaign_id = argument(args, "campaignId"), type = argument(args, "type");
    CodeServiceSaveReport *report = NULL;
    struct file file = {argument(args, "file"), 0};
    if (file.text.data != NULL) {
        code_service_save_csv(service, campaign_id, type, read_file, &file, &report, error);
    } else {
        size_t count = 0;
        CodeServiceText *codes = codes_of(args, &count);
        code_service_save(service, campaign_id, type, codes, count, &report, error);
        free(codes);
    }
    json_t *rejections = json_array();
    for (size_t place = 0; place < code_service_save_report_rejections(report); ++place) {
        json_int_t row = (json_int_t)code_service_save_report_rejection_row(report, place);
        json_array_append_new(rejections, json_pack("{s:I}", "row", row));
    }
    json_t *answer = json_pack("{s:I, s:I, s:I, s:I, s:o}", "in", (json_int_t)code_service_save_report_in(report),
                               "inserted", (json_int_t)code_service_save_report_inserted(report), "updated",
                               (json_int_t)code_service_save_report_updated(report), "rejected",
                               (json_int_t)code_service_save_report_rejected(report), "rejections", rejections);
    code_service_save_report_free(report);
    return answer;
}

static json_t *reserve(const CodeService *service, const json_t *args, CodeServiceError **error) {
    CodeServiceReservation *reservation = NULL;
    code_service_reserve(service, argument(args, "campaignId"), argument(args, "type"),
                         (uint32_t)json_integer_value(json_object_get(args, "count")),
                         json_is_true(json_object_get(args, "partial")), argument(args, "reserveId"), &reservation,
                         error);
    json_t *codes = json_array();
    for (size_t place = 0; place < code_service_reservation_count(reservation); ++place) {
        json_array_append_new(codes, json_of(code_service_reservation_code(reservation, place)));
    }
    json_t *answer = json_pack("{s:o, s:o, s:b}", "reserveId", json_of(code_service_reservation_reserve_id(reservation)),
                               "codes", codes, "replayed", (int)code_service_reservation_replayed(reservation));
    code_service_reservation_free(reservation);
    return answer;
}

typedef CodeServiceStatus Held(const CodeService *service, CodeServiceText reserve_id,
                               CodeServiceReservationState **state, CodeServiceError **error);

static json_t *held(Held *call, const CodeService *service, const json_t *args, CodeServiceError **error) {
    CodeServiceReservationState *state = NULL;
    call(service, argument(args, "reserveId"), &state, error);
    if (state == NULL) {
        return json_null();
    }
    json_t *codes = json_array();
    for (size_t place = 0; place < code_service_reservation_state_count(state); ++place) {
        const CodeServiceCode *code = code_service_reservation_state_code(state, place);
        json_array_append_new(codes, json_pack("{s:o, s:o}", "code", json_of(code_service_code_text(code)), "status",
                                               status_of(code)));
    }
    json_t *answer = json_pack("{s:o, s:o, s:o, s:o}", "reserveId",
                               json_of(code_service_reservation_state_reserve_id(state)), "campaignId",
                               json_of(code_service_reservation_state_campaign_id(state)), "type",
                               json_of(code_service_reservation_state_type(state)), "codes", codes);
    code_service_reservation_state_free(state);
    return answer;
}

typedef CodeServiceStatus Settle(const CodeService *service, CodeServiceText campaign_id, const CodeServiceText *codes,
                                 size_t count, CodeServiceText reserve_id, CodeServiceSettleReport **report,
                                 CodeServiceError **error);

static json_t *settled(Settle *call, const CodeService *service, const json_t *args, CodeServiceError **error) {
    CodeServiceSettleReport *report = NULL;
    size_t count = 0;
    CodeServiceText *codes = codes_of(args, &count);
    call(service, argument(args, "campaignId"), codes, count, argument(args, "reserveId"), &report, error);
    free(codes);
    json_t *lost = json_array();
    for (size_t place = 0; place < code_service_settle_report_lost_count(report); ++place) {
        json_array_append_new(lost, json_of(code_service_settle_report_lost(report, place)));
    }
    json_t *answer = json_pack("{s:I, s:I, s:o}", "in", (json_int_t)code_service_settle_report_in(report), "updated",
                               (json_int_t)code_service_settle_report_updated(report), "lost", lost);
    code_service_settle_report_free(report);
    return answer;
}

static json_t *count(const CodeService *service, const json_t *args, CodeServiceError **error) {
    CodeServiceCounts counts = {0, 0, 0};
    code_service_count(service, argument(args, "campaignId"), argument(args, "type"), &counts, error);
    return json_pack("{s:I, s:I, s:I}", "available", (json_int_t)counts.available, "reserved",
                     (json_int_t)counts.reserved, "assigned", (json_int_t)counts.assigned);
}

static json_t *find(const CodeService *service, const json_t *args, CodeServiceError **error) {
    CodeServiceCode *found = NULL;
    code_service_find(service, argument(args, "campaignId"), argument(args, "code"), &found, error);
    if (found == NULL) {
        return json_null();
    }
    json_t *answer = json_pack("{s:o, s:o, s:o, s:o}", "code", json_of(code_service_code_text(found)), "type",
                               json_of(code_service_code_type(found)), "status", status_of(found), "reserveId",
                               json_of(code_service_code_reserve_id(found)));
    code_service_code_free(found);
    return answer;
}

static json_t *carried_out(const CodeService *service, const char *call, const json_t *args, CodeServiceError **error) {
    if (strcmp(call, "save") == 0) {
        return save(service, args, error);
    }
    if (strcmp(call, "reserve") == 0) {
        return reserve(service, args, error);
    }
    if (strcmp(call, "recover") == 0) {
        return held(code_service_recover, service, args, error);
    }
    if (strcmp(call, "reservation") == 0) {
        return held(code_service_reservation, service, args, error);
    }
    if (strcmp(call, "assign") == 0) {
        return settled(code_service_assign, service, args, error);
    }
    if (strcmp(call, "release") == 0) {
        return settled(code_service_release, service, args, error);
    }
    if (strcmp(call, "count") == 0) {
        return count(service, args, error);
    }
    if (strcmp(call, "find") == 0) {
        return find(service, args, error);
    }
    fail("there is no such call");
    return NULL;
}

static json_t *described(const CodeServiceError *error) {
    return json_pack("{s:o, s:b, s:o, s:I, s:I}", "code", json_of(code_service_error_code(error)), "retryable",
                     (int)code_service_error_retryable(error), "argument", json_of(code_service_error_argument(error)),
                     "wanted", (json_int_t)code_service_error_wanted(error), "available",
                     (json_int_t)code_service_error_available(error));
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fail("the connection string is missing");
    }
    CodeServiceOptions options;
    code_service_options_init(&options, sizeof options);
    options.uri = code_service_text(argv[1]);
    CodeService *service = NULL;
    if (code_service_connect(&options, &service, NULL) != CODE_SERVICE_STATUS_OK) {
        fail("cannot connect");
    }
    json_t *line = NULL;
    while ((line = json_loadf(stdin, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, NULL)) != NULL) {
        CodeServiceError *error = NULL;
        const char *call = json_string_value(json_object_get(line, "call"));
        json_t *answers = carried_out(service, call == NULL ? "" : call, json_object_get(line, "args"), &error);
        json_t *said = NULL;
        if (error == NULL) {
            said = json_pack("{s:o}", "answers", answers);
        } else {
            json_decref(answers);
            said = json_pack("{s:o}", "error", described(error));
        }
        json_dumpf(said, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(said);
        json_decref(line);
        code_service_error_free(error);
    }
    code_service_free(service);
    return 0;
}
