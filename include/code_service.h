/*
 * code-service: unique presale codes over MongoDB, and the same code never to two callers.
 *
 * Of every function, unless it says otherwise:
 * - any thread may call it at any time, for as long as nobody frees what it is given;
 * - it answers CODE_SERVICE_STATUS_OK, or what is wrong. Then `error`, if it is not NULL, gets an error object, which the
 *   caller frees with code_service_error_free. On success `error` is not written, and on failure nothing else is;
 * - what it is given is copied before it returns, and stays the caller's;
 * - a NULL where something must be is CODE_SERVICE_STATUS_INVALID_ARGUMENT. Functions that read or free an object take
 *   NULL, and answer nothing: zero, false, or an empty text;
 * - whatever is used after it was freed is the caller's error: the library cannot know it. What is used after
 *   code_service_close is answered CODE_SERVICE_STATUS_CLOSED.
 *
 * Made from the crate code-service-c; do not edit.
 */

#ifndef CODE_SERVICE_H
#define CODE_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// The version of the library that this header is of.
#define CODE_SERVICE_VERSION_MAJOR 0

// The version of the library that this header is of.
#define CODE_SERVICE_VERSION_MINOR 1

// The version of the library that this header is of.
#define CODE_SERVICE_VERSION_PATCH 0

// What a function of this library answers. All but `CODE_SERVICE_STATUS_OK` are errors, with the same words in every
// face of the service (`code_service_error_code`). Numbers are never used for anything else later.
typedef enum CodeServiceStatus {
  // It was done.
  CODE_SERVICE_STATUS_OK = 0,
  // `invalid_argument`: fix the call; `code_service_error_argument` names what is wrong, as all faces of the
  // service name it: `reserveId` is `reserve_id`.
  CODE_SERVICE_STATUS_INVALID_ARGUMENT = 10,
  // `not_enough_codes`: ask for fewer codes, or save more.
  CODE_SERVICE_STATUS_NOT_ENOUGH_CODES = 20,
  // `reservation_mismatch`: use a new reserve id, or repeat the first call exactly.
  CODE_SERVICE_STATUS_RESERVATION_MISMATCH = 30,
  // `reservation_expired`: use a new reserve id.
  CODE_SERVICE_STATUS_RESERVATION_EXPIRED = 40,
  // `unavailable`: back off and repeat the call.
  CODE_SERVICE_STATUS_UNAVAILABLE = 50,
  // `outcome_unknown`: recover the reserve id of the error before doing anything else.
  CODE_SERVICE_STATUS_OUTCOME_UNKNOWN = 60,
  // `closed`: connect again.
  CODE_SERVICE_STATUS_CLOSED = 70,
  // `cancelled`: the call was given up; what of it had reached the database may be done all the same. Of this face
  // alone.
  CODE_SERVICE_STATUS_CANCELLED = 80,
  // `corrupt_data`: tell the people who run the database.
  CODE_SERVICE_STATUS_CORRUPT_DATA = 90,
  // `internal`: tell the people who run the service.
  CODE_SERVICE_STATUS_INTERNAL = 100,
} CodeServiceStatus;

// What a code is. Computed from its dates and the database server's time.
typedef enum CodeServiceCodeStatus {
  // Where a status is asked for: of any. Never an answer.
  CODE_SERVICE_CODE_STATUS_ANY = 0,
  // Free to be reserved.
  CODE_SERVICE_CODE_STATUS_AVAILABLE = 10,
  // Held by a reservation that has not expired.
  CODE_SERVICE_CODE_STATUS_RESERVED = 20,
  // Given out for good.
  CODE_SERVICE_CODE_STATUS_ASSIGNED = 30,
} CodeServiceCodeStatus;

// A service that is connected. Any number of threads may use it at once. Free it with `code_service_free`.
typedef struct CodeService CodeService;

// What ends calls that nobody wants any more. One may be given to any number of calls. Free it with
// `code_service_cancel_free`, also while calls use it.
typedef struct CodeServiceCancel CodeServiceCancel;

// One code as it is stored. Free it with `code_service_code_free`, if it does not belong to something else.
typedef struct CodeServiceCode CodeServiceCode;

// What is known of an error. Free it with `code_service_error_free`.
typedef struct CodeServiceError CodeServiceError;

// An export that is under way. Free it with `code_service_export_free`.
typedef struct CodeServiceExport CodeServiceExport;

// What is wrong with the indexes. Free it with `code_service_index_problems_free`.
typedef struct CodeServiceIndexProblems CodeServiceIndexProblems;

// Codes that are held under one reserve id. Free it with `code_service_reservation_free`.
typedef struct CodeServiceReservation CodeServiceReservation;

// What became of a reservation. Free it with `code_service_reservation_state_free`.
typedef struct CodeServiceReservationState CodeServiceReservationState;

// What a save did. Free it with `code_service_save_report_free`.
typedef struct CodeServiceSaveReport CodeServiceSaveReport;

// What an assign or a release did. Free it with `code_service_settle_report_free`.
typedef struct CodeServiceSettleReport CodeServiceSettleReport;

// A piece of UTF-8 text: `size` bytes from `data` on, without a zero at the end.
//
// As an argument it is copied before the function returns; `{ NULL, 0 }` stands for nothing where something can be
// left out. As an answer it belongs to the object that it was read from, and is valid until that is freed.
typedef struct CodeServiceText {
  // The first byte. May be null if `size` is 0.
  const char *data;
  // How many bytes.
  size_t size;
} CodeServiceText;

// Takes one code of an export. It belongs to the library and is gone when the function returns. Returns whether more
// are wanted. It may call the library, as all callbacks.
//
// Runs on the thread of the service's callbacks. It must not throw: an exception that leaves it ends the process.
typedef bool (*CodeServiceOnCode)(void *user_data, const struct CodeServiceCode *code);

// Takes the end of something that has no other answer. The callee frees the error.
typedef void (*CodeServiceDone)(void *user_data, enum CodeServiceStatus status, struct CodeServiceError *error);

// How many codes of one campaign and type have each status: there are three, and it does not grow.
typedef struct CodeServiceCounts {
  // Free to be reserved.
  uint64_t available;
  // Held by reservations that have not expired.
  uint64_t reserved;
  // Given out for good.
  uint64_t assigned;
} CodeServiceCounts;

// Takes the answer of a reserve: a reservation or an error, the other is NULL. The callee frees what it gets.
//
// As all callbacks, it runs once, on a thread of the service's own on which callbacks run one after another. It may
// call any function of the library; while it waits for something, other callbacks wait, too. It must not throw: an
// exception that leaves it ends the process.
typedef void (*CodeServiceReserved)(void *user_data,
                                    enum CodeServiceStatus status,
                                    struct CodeServiceReservation *reservation,
                                    struct CodeServiceError *error);

// Takes the answer of a recover or of a look at a reservation; both are NULL if nothing is held. The callee frees what
// it gets.
typedef void (*CodeServiceHeld)(void *user_data,
                                enum CodeServiceStatus status,
                                struct CodeServiceReservationState *state,
                                struct CodeServiceError *error);

// Takes the answer of an assign or a release. The callee frees what it gets.
typedef void (*CodeServiceSettled)(void *user_data,
                                   enum CodeServiceStatus status,
                                   struct CodeServiceSettleReport *report,
                                   struct CodeServiceError *error);

// Takes the answer of a count, which is all zeros if there is an error. The callee frees the error.
typedef void (*CodeServiceCounted)(void *user_data,
                                   enum CodeServiceStatus status,
                                   struct CodeServiceCounts counts,
                                   struct CodeServiceError *error);

// Takes the answer of a find; both are NULL if there is no such code. The callee frees what it gets.
typedef void (*CodeServiceFound)(void *user_data,
                                 enum CodeServiceStatus status,
                                 struct CodeServiceCode *found,
                                 struct CodeServiceError *error);

// Takes the answer of a save. The callee frees what it gets.
typedef void (*CodeServiceSaved)(void *user_data,
                                 enum CodeServiceStatus status,
                                 struct CodeServiceSaveReport *report,
                                 struct CodeServiceError *error);

// Hands over the next bytes of a file: writes up to `size` of them to `buffer` and returns how many; 0 at the end of
// the file, less than 0 if it cannot be read any further.
//
// Runs on a thread of the library, once at a time, and may take as long as it does. It may call the library, but must
// not close or free its service. It must not throw: an exception that leaves it ends the process.
typedef int64_t (*CodeServiceRead)(void *user_data, char *buffer, size_t size);

// Takes the answer of a look at the indexes. The callee frees what it gets.
typedef void (*CodeServiceVerified)(void *user_data,
                                    enum CodeServiceStatus status,
                                    struct CodeServiceIndexProblems *problems,
                                    struct CodeServiceError *error);

// How `code_service_connect` reaches the database and treats reservations.
//
// Set it up with `code_service_options_init`, and then what is to differ: zeros and empty texts stand for what is
// usual. It may grow with later versions, at its end.
typedef struct CodeServiceOptions {
  // How many bytes it has in the caller's header.
  size_t size;
  // MongoDB connection string of a replica set. Its write concern must be `majority` or left out.
  struct CodeServiceText uri;
  // The database; the one in the path of `uri` if left out.
  struct CodeServiceText database;
  // The collection of the codes; `codes` if left out.
  struct CodeServiceText collection;
  // How long a reservation holds its codes: 24 hours if 0; 1,000 to ten years.
  uint64_t reservation_ttl_ms;
  // How long to look for a server before answering `unavailable`: 5,000 if 0, or what `uri` says.
  uint64_t server_selection_timeout_ms;
  // How long a call waits for the database to come back once it has written something: 20,000 if 0; at least 5,000.
  uint64_t patience_ms;
  // How often at most to look for codes that dead attempts under callers' reserve ids have left: 10,000 if 0.
  uint64_t sweep_interval_ms;
  // How many threads carry calls out: as many as there are processors, up to 4, if 0. One more runs callbacks.
  uint32_t threads;
  // Not used: 0.
  uint32_t reserved;
} CodeServiceOptions;

// Takes a service that is connected, which is the callee's from here on, or an error.
typedef void (*CodeServiceConnected)(void *user_data,
                                     enum CodeServiceStatus status,
                                     struct CodeService *service,
                                     struct CodeServiceError *error);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Lets calls that are under way end (those of other threads that wait for their answer, too), and closes the
// connections. Exports end with `CODE_SERVICE_STATUS_CLOSED`, and so does what begins later. Closing twice is fine.
//
// Waits for as long as the database takes to answer what is under way: at the most about `patience_ms`. Not to be
// called from a function that reads a file, for which it would wait.
enum CodeServiceStatus code_service_close(const struct CodeService *service,
                                          struct CodeServiceError **error);

// Closes a service if that was not done, lets its callbacks run, ends its threads, and frees it. NULL is fine.
//
// No other thread may use the service from here on but that of its callbacks: calls of theirs are answered
// `CODE_SERVICE_STATUS_CLOSED`, and are waited for, too. From a callback it returns before the other callbacks of the
// service have run: they run after this one, must not use the service, and exports end with
// `CODE_SERVICE_STATUS_CLOSED`. Not to be called from a function that reads a file.
void code_service_free(struct CodeService *service);

// Makes something to cancel calls with, which the caller frees with `code_service_cancel_free`.
struct CodeServiceCancel *code_service_cancel_new(void);

// Cancels the calls that it was given to, and those that it will be given to. A call that has not been answered is
// answered `CODE_SERVICE_STATUS_CANCELLED`, soon; the save of a file when its `read` returns, which is not called any
// more. A reserve without a reserve id gives back what it has claimed; any other call that has reached the database may
// be carried out all the same. An export may hand over some codes more. NULL is fine, and so is twice.
void code_service_cancel(const struct CodeServiceCancel *cancel);

// Frees it, and cancels nothing. NULL is fine.
void code_service_cancel_free(struct CodeServiceCancel *cancel);

// The status that the function has returned; `CODE_SERVICE_STATUS_OK` for NULL.
enum CodeServiceStatus code_service_error_status(const struct CodeServiceError *error);

// The word for the kind of error, such as `not_enough_codes`: the same in every face of the service.
struct CodeServiceText code_service_error_code(const struct CodeServiceError *error);

// What was wrong, with which value, and what to do, for people. Never holds a code or a password. Not for programs:
// it changes.
struct CodeServiceText code_service_error_message(const struct CodeServiceError *error);

// Whether the same call can succeed later.
bool code_service_error_retryable(const struct CodeServiceError *error);

// The reserve id to recover, of `CODE_SERVICE_STATUS_OUTCOME_UNKNOWN`; empty otherwise.
struct CodeServiceText code_service_error_reserve_id(const struct CodeServiceError *error);

// The argument that is wrong, of `CODE_SERVICE_STATUS_INVALID_ARGUMENT`; empty otherwise.
struct CodeServiceText code_service_error_argument(const struct CodeServiceError *error);

// How many codes were asked for, of `CODE_SERVICE_STATUS_NOT_ENOUGH_CODES`; 0 otherwise.
uint64_t code_service_error_wanted(const struct CodeServiceError *error);

// How many codes were available then; 0 otherwise.
uint64_t code_service_error_available(const struct CodeServiceError *error);

// What the database or the connection to it reported, for a log; may be empty.
struct CodeServiceText code_service_error_cause(const struct CodeServiceError *error);

// Frees an error. NULL is fine.
void code_service_error_free(struct CodeServiceError *error);

// Begins to list the codes of a campaign in the order of their bytes.
//
// `type` and `after` (a code: only those behind it, to go on where an export has ended) can be left out; `status`
// is one of `CodeServiceCodeStatus`. `cursor` gets the cursor, which the caller frees with `code_service_export_free`.
// One thread uses it at a time.
enum CodeServiceStatus code_service_export(const struct CodeService *service,
                                           struct CodeServiceText campaign_id,
                                           struct CodeServiceText type,
                                           int32_t status,
                                           struct CodeServiceText after,
                                           struct CodeServiceExport **cursor,
                                           struct CodeServiceError **error);

// Moves a cursor on.
//
// `code` gets the next code, which belongs to the cursor and is valid until it moves on or is freed; NULL at the end.
//
// After an error the cursor is over, and answers the same again: begin another one behind the last code.
enum CodeServiceStatus code_service_export_next(struct CodeServiceExport *cursor,
                                                const struct CodeServiceCode **code,
                                                struct CodeServiceError **error);

// Frees a cursor, wherever it is, before its service. NULL is fine.
void code_service_export_free(struct CodeServiceExport *cursor);

// Lists the codes of a campaign as `code_service_export` does, and hands each to `on_code`; at the end, or when that
// wants no more, `done` is called, behind the last code.
enum CodeServiceStatus code_service_export_async(const struct CodeService *service,
                                                 struct CodeServiceText campaign_id,
                                                 struct CodeServiceText type,
                                                 int32_t status,
                                                 struct CodeServiceText after,
                                                 const struct CodeServiceCancel *cancel,
                                                 CodeServiceOnCode on_code,
                                                 CodeServiceDone done,
                                                 void *user_data,
                                                 struct CodeServiceError **error);

// Reserves `count` available codes of a campaign and type (1 to 100,000): all, or none unless `partial` is set.
//
// With a `reserve_id` of the caller's own (1 to 256 bytes without control characters) the call may be repeated, from
// any process and after whatever has happened: the same id gives the same codes, until they expire. Without one a new
// one is made.
//
// `reservation` gets the reservation, which the caller frees with `code_service_reservation_free`.
//
// Errors: `not_enough_codes` (nothing is held), `reservation_mismatch`, `reservation_expired`, `unavailable` (nothing
// is held), `outcome_unknown` (recover its reserve id), `invalid_argument`, `closed`.
enum CodeServiceStatus code_service_reserve(const struct CodeService *service,
                                            struct CodeServiceText campaign_id,
                                            struct CodeServiceText type,
                                            uint32_t count,
                                            bool partial,
                                            struct CodeServiceText reserve_id,
                                            struct CodeServiceReservation **reservation,
                                            struct CodeServiceError **error);

// Finds out what became of a reserve under the caller's own id, for good: waits for attempts that go on, and ends dead
// ones.
//
// `state` gets what is held, which the caller frees with `code_service_reservation_state_free`; NULL if nothing is
// held, and nothing will be of any attempt that had begun.
enum CodeServiceStatus code_service_recover(const struct CodeService *service,
                                            struct CodeServiceText reserve_id,
                                            struct CodeServiceReservationState **state,
                                            struct CodeServiceError **error);

// Looks up the codes of a reserve id with their status now.
//
// `state` gets them, which the caller frees with `code_service_reservation_state_free`; NULL if there are none.
enum CodeServiceStatus code_service_reservation(const struct CodeService *service,
                                                struct CodeServiceText reserve_id,
                                                struct CodeServiceReservationState **state,
                                                struct CodeServiceError **error);

// Gives codes out for good (1 to 100,000). With a `reserve_id` only those that are held under it; the others are lost.
// A code that is assigned already keeps its date and is not counted.
//
// `report` gets what was done, which the caller frees with `code_service_settle_report_free`.
enum CodeServiceStatus code_service_assign(const struct CodeService *service,
                                           struct CodeServiceText campaign_id,
                                           const struct CodeServiceText *codes,
                                           size_t count,
                                           struct CodeServiceText reserve_id,
                                           struct CodeServiceSettleReport **report,
                                           struct CodeServiceError **error);

// Gives reserved codes back (1 to 100,000). With a `reserve_id` only those that are held under it; the others are
// lost. May be repeated.
//
// `report` gets what was done, which the caller frees with `code_service_settle_report_free`.
enum CodeServiceStatus code_service_release(const struct CodeService *service,
                                            struct CodeServiceText campaign_id,
                                            const struct CodeServiceText *codes,
                                            size_t count,
                                            struct CodeServiceText reserve_id,
                                            struct CodeServiceSettleReport **report,
                                            struct CodeServiceError **error);

// Counts the codes of a campaign and type by status.
enum CodeServiceStatus code_service_count(const struct CodeService *service,
                                          struct CodeServiceText campaign_id,
                                          struct CodeServiceText type,
                                          struct CodeServiceCounts *counts,
                                          struct CodeServiceError **error);

// Looks one code up.
//
// `found` gets it, which the caller frees with `code_service_code_free`; NULL if the campaign has no such code.
enum CodeServiceStatus code_service_find(const struct CodeService *service,
                                         struct CodeServiceText campaign_id,
                                         struct CodeServiceText code,
                                         struct CodeServiceCode **found,
                                         struct CodeServiceError **error);

// Creates the indexes that are missing. Run it before the service is used, not at every start.
enum CodeServiceStatus code_service_ensure_indexes(const struct CodeService *service,
                                                   struct CodeServiceError **error);

// Says what is wrong with the indexes: without the right ones the service must not be used.
//
// `problems` gets them, which the caller frees with `code_service_index_problems_free`.
enum CodeServiceStatus code_service_verify_indexes(const struct CodeService *service,
                                                   struct CodeServiceIndexProblems **problems,
                                                   struct CodeServiceError **error);

// Begins what `code_service_reserve` does, and returns. `done` gets the answer.
//
// As of all such functions: if this one does not return `CODE_SERVICE_STATUS_OK`, nothing has begun and `done` is not
// called. `cancel` may be NULL. `user_data` is what `done` gets.
enum CodeServiceStatus code_service_reserve_async(const struct CodeService *service,
                                                  struct CodeServiceText campaign_id,
                                                  struct CodeServiceText type,
                                                  uint32_t count,
                                                  bool partial,
                                                  struct CodeServiceText reserve_id,
                                                  const struct CodeServiceCancel *cancel,
                                                  CodeServiceReserved done,
                                                  void *user_data,
                                                  struct CodeServiceError **error);

// Begins what `code_service_recover` does.
enum CodeServiceStatus code_service_recover_async(const struct CodeService *service,
                                                  struct CodeServiceText reserve_id,
                                                  const struct CodeServiceCancel *cancel,
                                                  CodeServiceHeld done,
                                                  void *user_data,
                                                  struct CodeServiceError **error);

// Begins what `code_service_reservation` does.
enum CodeServiceStatus code_service_reservation_async(const struct CodeService *service,
                                                      struct CodeServiceText reserve_id,
                                                      const struct CodeServiceCancel *cancel,
                                                      CodeServiceHeld done,
                                                      void *user_data,
                                                      struct CodeServiceError **error);

// Begins what `code_service_assign` does. The codes are copied before it returns.
enum CodeServiceStatus code_service_assign_async(const struct CodeService *service,
                                                 struct CodeServiceText campaign_id,
                                                 const struct CodeServiceText *codes,
                                                 size_t count,
                                                 struct CodeServiceText reserve_id,
                                                 const struct CodeServiceCancel *cancel,
                                                 CodeServiceSettled done,
                                                 void *user_data,
                                                 struct CodeServiceError **error);

// Begins what `code_service_release` does. The codes are copied before it returns.
enum CodeServiceStatus code_service_release_async(const struct CodeService *service,
                                                  struct CodeServiceText campaign_id,
                                                  const struct CodeServiceText *codes,
                                                  size_t count,
                                                  struct CodeServiceText reserve_id,
                                                  const struct CodeServiceCancel *cancel,
                                                  CodeServiceSettled done,
                                                  void *user_data,
                                                  struct CodeServiceError **error);

// Begins what `code_service_count` does.
enum CodeServiceStatus code_service_count_async(const struct CodeService *service,
                                                struct CodeServiceText campaign_id,
                                                struct CodeServiceText type,
                                                const struct CodeServiceCancel *cancel,
                                                CodeServiceCounted done,
                                                void *user_data,
                                                struct CodeServiceError **error);

// Begins what `code_service_find` does.
enum CodeServiceStatus code_service_find_async(const struct CodeService *service,
                                               struct CodeServiceText campaign_id,
                                               struct CodeServiceText code,
                                               const struct CodeServiceCancel *cancel,
                                               CodeServiceFound done,
                                               void *user_data,
                                               struct CodeServiceError **error);

// Begins what `code_service_save` does. The codes are copied before it returns.
enum CodeServiceStatus code_service_save_async(const struct CodeService *service,
                                               struct CodeServiceText campaign_id,
                                               struct CodeServiceText type,
                                               const struct CodeServiceText *codes,
                                               size_t count,
                                               const struct CodeServiceCancel *cancel,
                                               CodeServiceSaved done,
                                               void *user_data,
                                               struct CodeServiceError **error);

// Begins what `code_service_save_csv` does. `user_data` is what both `read` and `done` get. `done` comes after the last
// `read`, also when it is cancelled.
enum CodeServiceStatus code_service_save_csv_async(const struct CodeService *service,
                                                   struct CodeServiceText campaign_id,
                                                   struct CodeServiceText type,
                                                   CodeServiceRead read,
                                                   const struct CodeServiceCancel *cancel,
                                                   CodeServiceSaved done,
                                                   void *user_data,
                                                   struct CodeServiceError **error);

// Begins what `code_service_ensure_indexes` does.
enum CodeServiceStatus code_service_ensure_indexes_async(const struct CodeService *service,
                                                         const struct CodeServiceCancel *cancel,
                                                         CodeServiceDone done,
                                                         void *user_data,
                                                         struct CodeServiceError **error);

// Begins what `code_service_verify_indexes` does.
enum CodeServiceStatus code_service_verify_indexes_async(const struct CodeService *service,
                                                         const struct CodeServiceCancel *cancel,
                                                         CodeServiceVerified done,
                                                         void *user_data,
                                                         struct CodeServiceError **error);

// Begins what `code_service_close` does. The calls that it waits for include those that are answered by callbacks.
enum CodeServiceStatus code_service_close_async(const struct CodeService *service,
                                                const struct CodeServiceCancel *cancel,
                                                CodeServiceDone done,
                                                void *user_data,
                                                struct CodeServiceError **error);

// Begins what `code_service_connect` does. `done` runs where callbacks of the service will run.
enum CodeServiceStatus code_service_connect_async(const struct CodeServiceOptions *options,
                                                  const struct CodeServiceCancel *cancel,
                                                  CodeServiceConnected done,
                                                  void *user_data,
                                                  struct CodeServiceError **error);

// The version of the library itself, as `0.1.0`.
struct CodeServiceText code_service_version(void);

// Sets options to what is usual. `size` is `sizeof` of the caller's struct. Nothing happens to NULL.
void code_service_options_init(struct CodeServiceOptions *options, size_t size);

// Connects to the database, checks that it is a replica set, and starts the threads of the service.
//
// `service` gets the service, which the caller frees with `code_service_free`.
//
// Errors: `invalid_argument` if an option is wrong, the server is a standalone one or a mongos, or refuses the
// credentials; `unavailable` if no primary is found in time.
enum CodeServiceStatus code_service_connect(const struct CodeServiceOptions *options,
                                            struct CodeService **service,
                                            struct CodeServiceError **error);

// The id that the codes are held under: the caller's, or one that was made.
struct CodeServiceText code_service_reservation_reserve_id(const struct CodeServiceReservation *reservation);

// How many codes there are. Fewer than were asked for only if that was allowed, or if some of an earlier reservation
// were released since.
size_t code_service_reservation_count(const struct CodeServiceReservation *reservation);

// One of the codes, from 0; empty where there is none.
struct CodeServiceText code_service_reservation_code(const struct CodeServiceReservation *reservation,
                                                     size_t place);

// When they were reserved, by the database server's clock, in milliseconds since 1970: a moment before, rather than
// after.
int64_t code_service_reservation_reserved_ms(const struct CodeServiceReservation *reservation);

// Until when they are held, in milliseconds since 1970.
int64_t code_service_reservation_expires_ms(const struct CodeServiceReservation *reservation);

// Whether an earlier call under the same id reserved them.
bool code_service_reservation_replayed(const struct CodeServiceReservation *reservation);

// Frees a reservation; its codes stay reserved. NULL is fine.
void code_service_reservation_free(struct CodeServiceReservation *reservation);

// Its id.
struct CodeServiceText code_service_reservation_state_reserve_id(const struct CodeServiceReservationState *state);

// Its campaign.
struct CodeServiceText code_service_reservation_state_campaign_id(const struct CodeServiceReservationState *state);

// The type of its codes.
struct CodeServiceText code_service_reservation_state_type(const struct CodeServiceReservationState *state);

// How many codes it still has: without those that were released, or expired and taken by others.
size_t code_service_reservation_state_count(const struct CodeServiceReservationState *state);

// One of its codes with its status now, from 0; NULL where there is none. It belongs to the state.
const struct CodeServiceCode *code_service_reservation_state_code(const struct CodeServiceReservationState *state,
                                                                  size_t place);

// When its codes were reserved, in milliseconds since 1970.
int64_t code_service_reservation_state_reserved_ms(const struct CodeServiceReservationState *state);

// Until when it holds them, in milliseconds since 1970.
int64_t code_service_reservation_state_expires_ms(const struct CodeServiceReservationState *state);

// Frees it. NULL is fine.
void code_service_reservation_state_free(struct CodeServiceReservationState *state);

// The code itself.
struct CodeServiceText code_service_code_text(const struct CodeServiceCode *code);

// Its type.
struct CodeServiceText code_service_code_type(const struct CodeServiceCode *code);

// Its status when it was looked up.
enum CodeServiceCodeStatus code_service_code_status(const struct CodeServiceCode *code);

// When it was saved last, in milliseconds since 1970. False if that is not known; then nothing is written.
bool code_service_code_saved_ms(const struct CodeServiceCode *code, int64_t *time);

// When it was reserved. False if it is not; then nothing is written. Also an expired reservation has its time.
bool code_service_code_reserved_ms(const struct CodeServiceCode *code,
                                   int64_t *time);

// When it was assigned. False if it is not; then nothing is written.
bool code_service_code_assigned_ms(const struct CodeServiceCode *code, int64_t *time);

// The reserve id that it carries; empty if none. It is held under it only while it is reserved.
struct CodeServiceText code_service_code_reserve_id(const struct CodeServiceCode *code);

// Frees a code of `code_service_find`. NULL is fine.
void code_service_code_free(struct CodeServiceCode *code);

// How many codes were given.
uint64_t code_service_settle_report_in(const struct CodeServiceSettleReport *report);

// How many have changed.
uint64_t code_service_settle_report_updated(const struct CodeServiceSettleReport *report);

// How many of them are not held under the given reserve id. None if none was given.
size_t code_service_settle_report_lost_count(const struct CodeServiceSettleReport *report);

// One of those, from 0; empty where there is none.
struct CodeServiceText code_service_settle_report_lost(const struct CodeServiceSettleReport *report,
                                                       size_t place);

// Frees it. NULL is fine.
void code_service_settle_report_free(struct CodeServiceSettleReport *report);

// How many rows there were: inserted, updated and rejected ones.
uint64_t code_service_save_report_in(const struct CodeServiceSaveReport *report);

// How many codes were new.
uint64_t code_service_save_report_inserted(const struct CodeServiceSaveReport *report);

// How many rows had a code that was there already, from before or from an earlier row.
uint64_t code_service_save_report_updated(const struct CodeServiceSaveReport *report);

// How many rows held no valid code.
uint64_t code_service_save_report_rejected(const struct CodeServiceSaveReport *report);

// How many of those are listed: the first 1,000.
size_t code_service_save_report_rejections(const struct CodeServiceSaveReport *report);

// The row of one of the listed ones, which count from 0: its line in a file, its place in a list from 1; 0 where
// there is none.
uint64_t code_service_save_report_rejection_row(const struct CodeServiceSaveReport *report,
                                                size_t place);

// Why it was rejected, for people.
struct CodeServiceText code_service_save_report_rejection_reason(const struct CodeServiceSaveReport *report,
                                                                 size_t place);

// Frees it. NULL is fine.
void code_service_save_report_free(struct CodeServiceSaveReport *report);

// How many there are: 0 if all indexes are as they must be.
size_t code_service_index_problems_count(const struct CodeServiceIndexProblems *problems);

// What is wrong and how to mend it, for people; from 0.
struct CodeServiceText code_service_index_problems_message(const struct CodeServiceIndexProblems *problems,
                                                           size_t place);

// Frees it. NULL is fine.
void code_service_index_problems_free(struct CodeServiceIndexProblems *problems);

// Saves codes into a campaign: new ones are inserted, those that are there get the type and a new date of saving and
// keep everything else. Texts that are no codes are rejected, and listed in the report; one that is not UTF-8 is an
// error, and nothing is saved. May be repeated.
//
// `report` gets what was done, which the caller frees with `code_service_save_report_free`.
enum CodeServiceStatus code_service_save(const struct CodeService *service,
                                         struct CodeServiceText campaign_id,
                                         struct CodeServiceText type,
                                         const struct CodeServiceText *codes,
                                         size_t count,
                                         struct CodeServiceSaveReport **report,
                                         struct CodeServiceError **error);

// The same with the codes of a CSV file, which `read` hands over: only the first column counts, the delimiter is a
// comma, codes are trimmed, empty lines are skipped, and so are a byte-order mark and a first line that is just
// `code`, or the header of an export. Memory is bounded, whatever the size of the file.
//
// `user_data` is what `read` gets. It must live until the save is answered.
//
// Errors: `unavailable` if `read` fails or the database does: rows before that are saved; save the same file again.
enum CodeServiceStatus code_service_save_csv(const struct CodeService *service,
                                             struct CodeServiceText campaign_id,
                                             struct CodeServiceText type,
                                             CodeServiceRead read,
                                             void *user_data,
                                             struct CodeServiceSaveReport **report,
                                             struct CodeServiceError **error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CODE_SERVICE_H */

#ifndef CODE_SERVICE_TEXT
#define CODE_SERVICE_TEXT
/* A text of C, without the zero at its end. NULL makes none. */
static inline CodeServiceText code_service_text(const char *text) {
    CodeServiceText of = {text, text == NULL ? 0 : strlen(text)};
    return of;
}
#endif
