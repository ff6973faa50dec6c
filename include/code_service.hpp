/*
 * code-service for C++17: the same calls as code_service.h with objects that free themselves, strings, and exceptions.
 *
 *     code_service::Service service(code_service::Options{"mongodb://localhost:27017/demo?replicaSet=rs0"});
 *     auto reservation = service.reserve("summer", "tm", 2);
 *     service.assign("summer", reservation.codes, reservation.reserve_id);
 *
 * Every function throws code_service::Error. A Service may be used by any number of threads at once.
 */
#ifndef CODE_SERVICE_HPP
#define CODE_SERVICE_HPP

#include <chrono>
#include <exception>
#include <future>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "code_service.h"

namespace code_service {

using Time = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;
using Counts = CodeServiceCounts;

namespace detail {

inline CodeServiceText text(std::string_view text) {
    return {text.data(), text.size()};
}

/* Something that can be left out. */
inline CodeServiceText text(const std::optional<std::string_view> &text) {
    /* An empty text is not none: it is wrong, and is said to be. */
    return text ? CodeServiceText{text->data() == nullptr ? "" : text->data(), text->size()} : CodeServiceText{nullptr, 0};
}

inline std::string string(CodeServiceText text) {
    return text.data == nullptr ? std::string() : std::string(text.data, text.size);
}

inline Time time(int64_t milliseconds) {
    return Time(std::chrono::milliseconds(milliseconds));
}

template <typename T, void (*Free)(T *)>
struct Freed {
    void operator()(T *object) const noexcept { Free(object); }
};

template <typename T, void (*Free)(T *)>
using Owned = std::unique_ptr<T, Freed<T, Free>>;

using OwnedError = Owned<CodeServiceError, code_service_error_free>;
using OwnedReservation = Owned<CodeServiceReservation, code_service_reservation_free>;
using OwnedState = Owned<CodeServiceReservationState, code_service_reservation_state_free>;
using OwnedCode = Owned<CodeServiceCode, code_service_code_free>;
using OwnedSettleReport = Owned<CodeServiceSettleReport, code_service_settle_report_free>;
using OwnedSaveReport = Owned<CodeServiceSaveReport, code_service_save_report_free>;
using OwnedProblems = Owned<CodeServiceIndexProblems, code_service_index_problems_free>;
using OwnedExport = Owned<CodeServiceExport, code_service_export_free>;
using OwnedService = Owned<CodeService, code_service_free>;
using OwnedCancel = Owned<CodeServiceCancel, code_service_cancel_free>;

}  // namespace detail

/* Why a call failed. what() is for people and changes; status() and code() say what to do. */
class Error : public std::runtime_error {
public:
    explicit Error(const CodeServiceError *error)
        : std::runtime_error(detail::string(code_service_error_message(error))),
          status_(code_service_error_status(error)),
          code_(detail::string(code_service_error_code(error))),
          retryable_(code_service_error_retryable(error)),
          reserve_id_(detail::string(code_service_error_reserve_id(error))),
          argument_(detail::string(code_service_error_argument(error))),
          wanted_(code_service_error_wanted(error)),
          available_(code_service_error_available(error)),
          cause_(detail::string(code_service_error_cause(error))) {}

    CodeServiceStatus status() const noexcept { return status_; }
    /* The word for the kind of error, such as not_enough_codes. */
    const std::string &code() const noexcept { return code_; }
    /* Whether the same call can succeed later. */
    bool retryable() const noexcept { return retryable_; }
    /* The reserve id to recover, of an unknown outcome. */
    const std::string &reserve_id() const noexcept { return reserve_id_; }
    /* The argument that is wrong. */
    const std::string &argument() const noexcept { return argument_; }
    uint64_t wanted() const noexcept { return wanted_; }
    uint64_t available() const noexcept { return available_; }
    /* What the database reported, for a log. */
    const std::string &cause() const noexcept { return cause_; }

private:
    CodeServiceStatus status_;
    std::string code_;
    bool retryable_;
    std::string reserve_id_;
    std::string argument_;
    uint64_t wanted_;
    uint64_t available_;
    std::string cause_;
};

namespace detail {

/* Throws what a function has answered. */
inline void check(CodeServiceStatus status, CodeServiceError *error) {
    OwnedError owned(error);
    if (status != CODE_SERVICE_STATUS_OK) {
        throw Error(owned.get());
    }
}

/* Makes a call that says where its error is to go, and throws what it answers. */
template <typename Call>
void called(Call call) {
    CodeServiceError *error = nullptr;
    const CodeServiceStatus status = call(&error);
    check(status, error);
}

}  // namespace detail

/* How to connect; what is left empty or zero is as usual, see CodeServiceOptions. A negative duration is a
 * std::invalid_argument. */
struct Options {
    std::string uri;
    std::string database = {};
    std::string collection = {};
    std::chrono::milliseconds reservation_ttl{0};
    std::chrono::milliseconds server_selection_timeout{0};
    std::chrono::milliseconds patience{0};
    std::chrono::milliseconds sweep_interval{0};
    uint32_t threads = 0;
};

/* Codes that are held under one reserve id. */
struct Reservation {
    std::string reserve_id;
    std::vector<std::string> codes;
    Time reserved;
    Time expires;
    bool replayed;
};

/* One code as it is stored. */
struct Code {
    std::string code;
    std::string type;
    CodeServiceCodeStatus status;
    std::optional<Time> saved;
    std::optional<Time> reserved;
    std::optional<Time> assigned;
    std::string reserve_id;
};

/* What became of a reservation. */
struct ReservationState {
    std::string reserve_id;
    std::string campaign_id;
    std::string type;
    std::vector<Code> codes;
    Time reserved;
    Time expires;
};

/* What an assign or a release did. */
struct SettleReport {
    uint64_t in;
    uint64_t updated;
    std::vector<std::string> lost;
};

struct Rejection {
    uint64_t row;
    std::string reason;
};

/* What a save did. */
struct SaveReport {
    uint64_t in;
    uint64_t inserted;
    uint64_t updated;
    uint64_t rejected;
    std::vector<Rejection> rejections;
};

namespace detail {

inline Code code(const CodeServiceCode *code) {
    auto when = [code](bool (*of)(const CodeServiceCode *, int64_t *)) -> std::optional<Time> {
        int64_t milliseconds = 0;
        return of(code, &milliseconds) ? std::optional<Time>(time(milliseconds)) : std::nullopt;
    };
    return Code{string(code_service_code_text(code)), string(code_service_code_type(code)),
                code_service_code_status(code),       when(code_service_code_saved_ms),
                when(code_service_code_reserved_ms),  when(code_service_code_assigned_ms),
                string(code_service_code_reserve_id(code))};
}

inline Reservation reservation(const CodeServiceReservation *from) {
    Reservation to{string(code_service_reservation_reserve_id(from)), {},
                   time(code_service_reservation_reserved_ms(from)), time(code_service_reservation_expires_ms(from)),
                   code_service_reservation_replayed(from)};
    const size_t count = code_service_reservation_count(from);
    to.codes.reserve(count);
    for (size_t place = 0; place < count; ++place) {
        to.codes.push_back(string(code_service_reservation_code(from, place)));
    }
    return to;
}

inline std::optional<ReservationState> state(const CodeServiceReservationState *from) {
    if (from == nullptr) {
        return std::nullopt;
    }
    ReservationState to{string(code_service_reservation_state_reserve_id(from)),
                        string(code_service_reservation_state_campaign_id(from)),
                        string(code_service_reservation_state_type(from)),
                        {},
                        time(code_service_reservation_state_reserved_ms(from)),
                        time(code_service_reservation_state_expires_ms(from))};
    const size_t count = code_service_reservation_state_count(from);
    to.codes.reserve(count);
    for (size_t place = 0; place < count; ++place) {
        to.codes.push_back(code(code_service_reservation_state_code(from, place)));
    }
    return to;
}

inline SettleReport settled(const CodeServiceSettleReport *from) {
    SettleReport to{code_service_settle_report_in(from), code_service_settle_report_updated(from), {}};
    const size_t count = code_service_settle_report_lost_count(from);
    for (size_t place = 0; place < count; ++place) {
        to.lost.push_back(string(code_service_settle_report_lost(from, place)));
    }
    return to;
}

inline SaveReport saved(const CodeServiceSaveReport *from) {
    SaveReport to{code_service_save_report_in(from), code_service_save_report_inserted(from),
                  code_service_save_report_updated(from), code_service_save_report_rejected(from), {}};
    const size_t count = code_service_save_report_rejections(from);
    for (size_t place = 0; place < count; ++place) {
        to.rejections.push_back(Rejection{code_service_save_report_rejection_row(from, place),
                                          string(code_service_save_report_rejection_reason(from, place))});
    }
    return to;
}

template <typename Texts>
std::vector<CodeServiceText> texts(const Texts &list) {
    std::vector<CodeServiceText> all;
    /* What a list makes up for its loop is gone when the call is made. */
    using Item = decltype(*std::begin(list));
    static_assert(std::is_lvalue_reference_v<Item> || std::is_same_v<Item, std::string_view> ||
                      std::is_same_v<Item, const char *>,
                  "the codes must be in the list: one that makes them up as it goes cannot be used");
    for (const auto &item : list) {
        all.push_back(text(std::string_view(item)));
    }
    return all;
}

}  // namespace detail

/* What ends asynchronous calls that nobody wants any more. */
class Cancel {
public:
    Cancel() : cancel_(code_service_cancel_new()) {}
    void cancel() const noexcept { code_service_cancel(cancel_.get()); }
    const CodeServiceCancel *get() const noexcept { return cancel_.get(); }

private:
    detail::OwnedCancel cancel_;
};

/* A service that is connected. */
class Service {
public:
    explicit Service(const Options &given) {
        CodeServiceOptions options;
        code_service_options_init(&options, sizeof options);
        options.uri = detail::text(std::string_view(given.uri));
        const auto set = [](CodeServiceText &option, const std::string &value) {
            if (!value.empty()) {
                option = detail::text(std::string_view(value));
            }
        };
        set(options.database, given.database);
        set(options.collection, given.collection);
        const auto milliseconds = [](std::chrono::milliseconds value) {
            if (value.count() < 0) {
                throw std::invalid_argument("code_service::Options: a duration is negative");
            }
            return static_cast<uint64_t>(value.count());
        };
        options.reservation_ttl_ms = milliseconds(given.reservation_ttl);
        options.server_selection_timeout_ms = milliseconds(given.server_selection_timeout);
        options.patience_ms = milliseconds(given.patience);
        options.sweep_interval_ms = milliseconds(given.sweep_interval);
        options.threads = given.threads;
        service_.reset(made<CodeService>(
            [&](CodeService **service, CodeServiceError **error) { return code_service_connect(&options, service, error); }));
    }

    /* Saves codes: any list of what a std::string_view can be made of. */
    template <typename Codes>
    SaveReport save(std::string_view campaign_id, std::string_view type, const Codes &codes) const {
        const std::vector<CodeServiceText> list = detail::texts(codes);
        detail::OwnedSaveReport report(made<CodeServiceSaveReport>([&](auto **out, auto **error) {
            return code_service_save(service_.get(), detail::text(campaign_id), detail::text(type), list.data(), list.size(), out,
                                     error);
        }));
        return detail::saved(report.get());
    }

    /* Saves the codes of a CSV file: read(buffer, size) writes the next bytes to the buffer and returns how many, 0 at
     * the end. It runs on a thread of the library. What it throws, this throws. */
    template <typename Read>
    SaveReport save_csv(std::string_view campaign_id, std::string_view type, Read read) const {
        struct Source {
            Read &read;
            std::exception_ptr thrown;
        } source{read, nullptr};
        const auto next = [](void *data, char *buffer, size_t size) noexcept -> int64_t {
            auto &source = *static_cast<Source *>(data);
            try {
                return static_cast<int64_t>(source.read(buffer, size));
            } catch (...) {
                source.thrown = std::current_exception();
                return -1;
            }
        };
        CodeServiceSaveReport *report = nullptr;
        CodeServiceError *error = nullptr;
        const CodeServiceStatus status = code_service_save_csv(service_.get(), detail::text(campaign_id), detail::text(type), next,
                                                               &source, &report, &error);
        detail::OwnedSaveReport owned(report);
        detail::OwnedError failed(error);
        if (source.thrown) {
            std::rethrow_exception(source.thrown);
        }
        detail::check(status, failed.release());
        return detail::saved(owned.get());
    }

    /* Reserves codes, all or none unless partial; under an id of the caller's own, the same codes however often. Should
     * memory run out while the answer is copied, the codes stay reserved: with an id they can be had again. */
    Reservation reserve(std::string_view campaign_id, std::string_view type, uint32_t count,
                        std::optional<std::string_view> reserve_id = std::nullopt, bool partial = false) const {
        detail::OwnedReservation reservation(made<CodeServiceReservation>([&](auto **out, auto **error) {
            return code_service_reserve(service_.get(), detail::text(campaign_id), detail::text(type), count, partial,
                                        detail::text(reserve_id), out, error);
        }));
        return detail::reservation(reservation.get());
    }

    /* The same, answered later. What the arguments point to may go when it returns. */
    std::future<Reservation> reserve_async(std::string_view campaign_id, std::string_view type, uint32_t count,
                                           std::optional<std::string_view> reserve_id = std::nullopt, bool partial = false,
                                           const Cancel *cancel = nullptr) const {
        auto promise = std::make_unique<std::promise<Reservation>>();
        std::future<Reservation> answer = promise->get_future();
        const auto done = [](void *data, CodeServiceStatus status, CodeServiceReservation *reservation,
                             CodeServiceError *error) noexcept {
            std::unique_ptr<std::promise<Reservation>> promise(static_cast<std::promise<Reservation> *>(data));
            detail::OwnedReservation owned(reservation);
            detail::OwnedError failed(error);
            try {
                detail::check(status, failed.release());
                promise->set_value(detail::reservation(owned.get()));
            } catch (...) {
                promise->set_exception(std::current_exception());
            }
        };
        detail::called([&](CodeServiceError **error) {
            return code_service_reserve_async(service_.get(), detail::text(campaign_id), detail::text(type), count, partial,
                                              detail::text(reserve_id), cancel == nullptr ? nullptr : cancel->get(), done,
                                              promise.get(), error);
        });
        /* It has begun: the callback owns it. */
        static_cast<void>(promise.release());
        return answer;
    }

    /* What became of a reserve under the caller's own id, for good; nothing if nothing is held. */
    std::optional<ReservationState> recover(std::string_view reserve_id) const {
        detail::OwnedState state(made<CodeServiceReservationState>([&](auto **out, auto **error) {
            return code_service_recover(service_.get(), detail::text(reserve_id), out, error);
        }));
        return detail::state(state.get());
    }

    /* The codes of a reserve id with their status now. */
    std::optional<ReservationState> reservation(std::string_view reserve_id) const {
        detail::OwnedState state(made<CodeServiceReservationState>([&](auto **out, auto **error) {
            return code_service_reservation(service_.get(), detail::text(reserve_id), out, error);
        }));
        return detail::state(state.get());
    }

    /* Gives codes out for good; with a reserve id only those that are held under it. */
    template <typename Codes>
    SettleReport assign(std::string_view campaign_id, const Codes &codes,
                        std::optional<std::string_view> reserve_id = std::nullopt) const {
        return settle(code_service_assign, campaign_id, detail::texts(codes), reserve_id);
    }

    /* Gives reserved codes back; with a reserve id only those that are held under it. */
    template <typename Codes>
    SettleReport release(std::string_view campaign_id, const Codes &codes,
                         std::optional<std::string_view> reserve_id = std::nullopt) const {
        return settle(code_service_release, campaign_id, detail::texts(codes), reserve_id);
    }

    Counts count(std::string_view campaign_id, std::string_view type) const {
        Counts counts{};
        detail::called([&](CodeServiceError **error) {
            return code_service_count(service_.get(), detail::text(campaign_id), detail::text(type), &counts, error);
        });
        return counts;
    }

    /* One code; nothing if the campaign has no such code. */
    std::optional<Code> find(std::string_view campaign_id, std::string_view code) const {
        detail::OwnedCode found(made<CodeServiceCode>([&](auto **out, auto **error) {
            return code_service_find(service_.get(), detail::text(campaign_id), detail::text(code), out, error);
        }));
        return found ? std::optional<Code>(detail::code(found.get())) : std::nullopt;
    }

    /* Calls each(code) for every code of a campaign in the order of their bytes, for as long as it returns true. */
    template <typename Each>
    void for_each(std::string_view campaign_id, Each each, std::optional<std::string_view> type = std::nullopt,
                  CodeServiceCodeStatus status = CODE_SERVICE_CODE_STATUS_ANY,
                  std::optional<std::string_view> after = std::nullopt) const {
        detail::OwnedExport cursor(made<CodeServiceExport>([&](auto **out, auto **error) {
            return code_service_export(service_.get(), detail::text(campaign_id), detail::text(type), status, detail::text(after),
                                       out, error);
        }));
        for (;;) {
            const CodeServiceCode *code = nullptr;
            detail::called(
                [&](CodeServiceError **error) { return code_service_export_next(cursor.get(), &code, error); });
            if (code == nullptr || !each(detail::code(code))) {
                return;
            }
        }
    }

    void ensure_indexes() const {
        detail::called([&](CodeServiceError **error) { return code_service_ensure_indexes(service_.get(), error); });
    }

    /* What is wrong with the indexes, for people. */
    std::vector<std::string> verify_indexes() const {
        detail::OwnedProblems problems(made<CodeServiceIndexProblems>(
            [&](auto **out, auto **error) { return code_service_verify_indexes(service_.get(), out, error); }));
        std::vector<std::string> messages;
        for (size_t place = 0; place < code_service_index_problems_count(problems.get()); ++place) {
            messages.push_back(detail::string(code_service_index_problems_message(problems.get(), place)));
        }
        return messages;
    }

    /* Lets calls end and closes; later ones throw closed. Also the destructor does it. */
    void close() const {
        detail::called([&](CodeServiceError **error) { return code_service_close(service_.get(), error); });
    }

    /* For calls that are only in code_service.h. */
    const CodeService *get() const noexcept { return service_.get(); }

private:
    /* What a call has made, or its error, thrown. */
    template <typename T, typename Call>
    static T *made(Call call) {
        T *object = nullptr;
        detail::called([&](CodeServiceError **error) { return call(&object, error); });
        return object;
    }

    template <typename Function>
    SettleReport settle(Function function, std::string_view campaign_id, const std::vector<CodeServiceText> &codes,
                        std::optional<std::string_view> reserve_id) const {
        detail::OwnedSettleReport report(made<CodeServiceSettleReport>([&](auto **out, auto **error) {
            return function(service_.get(), detail::text(campaign_id), codes.data(), codes.size(), detail::text(reserve_id), out,
                            error);
        }));
        return detail::settled(report.get());
    }

    detail::OwnedService service_;
};

}  // namespace code_service

#endif /* CODE_SERVICE_HPP */
