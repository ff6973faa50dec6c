/*
 * Sixteen threads that share one service, for ThreadSanitizer. It sees what this program does, and not what the library
 * does inside: the threads that callbacks run on, and what is handed over to them.
 *
 *     threads URI
 */
#define _DEFAULT_SOURCE
#include "promises.h"

#define THREADS 16
#define CALLS 20

static CodeService *service;

/* Without a lock: callbacks run one after another, on one thread. */
static unsigned callbacks;

/* A thread that waits for its callback. */
struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    CodeServiceReservation *reservation;
    bool answered;
};

static void on_got(void *user_data, CodeServiceStatus status, CodeServiceReservation *reservation,
                   CodeServiceError *error) {
    struct waiter *waiter = user_data;
    EXPECT(status == CODE_SERVICE_STATUS_OK && error == NULL);
    ++callbacks;
    pthread_mutex_lock(&waiter->lock);
    waiter->reservation = reservation;
    waiter->answered = true;
    pthread_cond_signal(&waiter->changed);
    pthread_mutex_unlock(&waiter->lock);
}

static void settle(CodeServiceReservation *reservation) {
    CodeServiceText campaign_id = code_service_text("summer"), code = code_service_reservation_code(reservation, 0);
    CodeServiceText reserve_id = code_service_reservation_reserve_id(reservation);
    CodeServiceSettleReport *report = NULL;
    EXPECT(code_service_assign(service, campaign_id, &code, 1, reserve_id, &report, NULL) == CODE_SERVICE_STATUS_OK);
    EXPECT(code_service_settle_report_updated(report) == 1);
    code_service_settle_report_free(report);
    code_service_reservation_free(reservation);
}

static void *work(void *data) {
    CodeServiceText campaign_id = code_service_text("summer"), type = code_service_text("tm"), none = {NULL, 0};
    struct waiter waiter;
    (void)data;
    memset(&waiter, 0, sizeof waiter);
    pthread_mutex_init(&waiter.lock, NULL);
    pthread_cond_init(&waiter.changed, NULL);
    for (int call = 0; call < CALLS; ++call) {
        CodeServiceReservation *reservation = NULL;
        EXPECT(code_service_reserve(service, campaign_id, type, 1, false, none, &reservation, NULL) ==
               CODE_SERVICE_STATUS_OK);
        settle(reservation);

        pthread_mutex_lock(&waiter.lock);
        waiter.answered = false;
        EXPECT(code_service_reserve_async(service, campaign_id, type, 1, false, none, NULL, on_got, &waiter, NULL) ==
               CODE_SERVICE_STATUS_OK);
        while (!waiter.answered) {
            pthread_cond_wait(&waiter.changed, &waiter.lock);
        }
        pthread_mutex_unlock(&waiter.lock);
        settle(waiter.reservation);
    }
    pthread_mutex_destroy(&waiter.lock);
    pthread_cond_destroy(&waiter.changed);
    return NULL;
}

int main(int argc, char **argv) {
    EXPECT(argc == 2);
    service = connected(argv[1]);
    pthread_t threads[THREADS];
    for (int number = 0; number < THREADS; ++number) {
        EXPECT(pthread_create(&threads[number], NULL, work, NULL) == 0);
    }
    for (int number = 0; number < THREADS; ++number) {
        pthread_join(threads[number], NULL);
    }
    code_service_free(service);
    printf("%d codes assigned\n", 2 * THREADS * CALLS);
    return 0;
}
