/*
 * Reserves two codes and gives them out for good.
 *
 *     reserve 'mongodb://localhost:27017/demo?replicaSet=rs0'
 */
#include <stdio.h>

#include <code_service.h>

/* Says what went wrong, and frees it. */
static int failed(CodeServiceError *error) {
    CodeServiceText code = code_service_error_code(error);
    CodeServiceText message = code_service_error_message(error);
    fprintf(stderr, "%.*s: %.*s\n", (int)code.size, code.data, (int)message.size, message.data);
    code_service_error_free(error);
    return 1;
}

static int run(const CodeService *service) {
    CodeServiceText summer = code_service_text("summer");
    CodeServiceText tm = code_service_text("tm");
    CodeServiceText none = {NULL, 0};
    CodeServiceError *error = NULL;

    CodeServiceReservation *reservation = NULL;
    if (code_service_reserve(service, summer, tm, 2, false, none, &reservation, &error) != CODE_SERVICE_STATUS_OK) {
        return failed(error);
    }
    CodeServiceText codes[2];
    for (size_t place = 0; place < 2; ++place) {
        codes[place] = code_service_reservation_code(reservation, place);
        printf("%.*s\n", (int)codes[place].size, codes[place].data);
    }

    CodeServiceSettleReport *report = NULL;
    CodeServiceText reserve_id = code_service_reservation_reserve_id(reservation);
    CodeServiceStatus status = code_service_assign(service, summer, codes, 2, reserve_id, &report, &error);
    code_service_reservation_free(reservation);
    if (status != CODE_SERVICE_STATUS_OK) {
        return failed(error);
    }
    printf("%d assigned\n", (int)code_service_settle_report_updated(report));
    code_service_settle_report_free(report);
    return 0;
}

int main(int argc, char **argv) {
    CodeServiceOptions options;
    code_service_options_init(&options, sizeof options);
    options.uri = code_service_text(argc > 1 ? argv[1] : "mongodb://localhost:27017/demo?replicaSet=rs0");

    CodeService *service = NULL;
    CodeServiceError *error = NULL;
    if (code_service_connect(&options, &service, &error) != CODE_SERVICE_STATUS_OK) {
        return failed(error);
    }
    int outcome = run(service);
    code_service_free(service);
    return outcome;
}
