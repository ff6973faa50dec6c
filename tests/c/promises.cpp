// What code_service.hpp promises.
//
//     promises URI
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include <code_service.hpp>

#define EXPECT(fact)                                                           \
    do {                                                                       \
        if (!(fact)) {                                                         \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact); \
            std::exit(1);                                                      \
        }                                                                      \
    } while (0)

using code_service::Error;
using code_service::Service;

template <typename Call>
static Error thrown(Call call) {
    try {
        call();
    } catch (const Error &error) {
        return error;
    }
    std::fprintf(stderr, "nothing was thrown\n");
    std::exit(1);
}

/* Where whoever throws says so before. */
static int thrown_to = -1;

[[noreturn]] static void throw_mine() {
    if (write(thrown_to, "!", 1) != 1) {
        std::_Exit(3);
    }
    throw std::runtime_error("mine");
}

/* The process ends in the middle of this call, because of what is thrown in it. */
template <typename Call>
static void ends(const char *uri, Call call) {
    int ends[2] = {-1, -1};
    EXPECT(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
        thrown_to = ends[1];
        /* What it says at its end is for others. */
        if (std::freopen("/dev/null", "w", stderr) == nullptr) {
            std::_Exit(2);
        }
        CodeServiceOptions options;
        code_service_options_init(&options, sizeof options);
        options.uri = code_service_text(uri);
        CodeService *service = nullptr;
        if (code_service_connect(&options, &service, nullptr) != CODE_SERVICE_STATUS_OK) {
            std::_Exit(2);
        }
        call(service);
        /* Waits for the callbacks. */
        code_service_free(service);
        std::_Exit(0);
    }
    int status = 0;
    EXPECT(waitpid(child, &status, 0) == child);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    close(ends[1]);
    char said = 0;
    EXPECT(read(ends[0], &said, 1) == 1 && said == '!');
    close(ends[0]);
}

/* An exception that leaves a callback ends the process: it is neither lost nor does it go through the library. */
static void ends_at_exceptions(const char *uri) {
    static const CodeServiceText summer = code_service_text("summer"), tm = code_service_text("tm");
    static const CodeServiceText none = {nullptr, 0};
    ends(uri, [](const CodeService *service) {
        const auto done = [](void *, CodeServiceStatus, CodeServiceCounts, CodeServiceError *) { throw_mine(); };
        code_service_count_async(service, summer, tm, nullptr, done, nullptr, nullptr);
    });
    ends(uri, [](const CodeService *service) {
        const auto read = [](void *, char *, size_t) -> int64_t { throw_mine(); };
        CodeServiceSaveReport *report = nullptr;
        code_service_save_csv(service, summer, tm, read, nullptr, &report, nullptr);
    });
    ends(uri, [](const CodeService *service) {
        CodeServiceText code = code_service_text("A1");
        CodeServiceSaveReport *report = nullptr;
        code_service_save(service, summer, tm, &code, 1, &report, nullptr);
        const auto on_code = [](void *, const CodeServiceCode *) -> bool { throw_mine(); };
        const auto done = [](void *, CodeServiceStatus, CodeServiceError *) {};
        code_service_export_async(service, summer, none, CODE_SERVICE_CODE_STATUS_ANY, none, nullptr, on_code, done,
                                  nullptr, nullptr);
    });
}

int main(int argc, char **argv) {
    EXPECT(argc == 2);
    ends_at_exceptions(argv[1]);
    const std::string campaign = "cpp-" + std::to_string(getpid());
    Error refused = thrown([] { Service service(code_service::Options{"nonsense"}); });
    EXPECT(refused.status() == CODE_SERVICE_STATUS_INVALID_ARGUMENT && refused.argument() == "uri" && !refused.retryable());
    EXPECT(std::strstr(refused.what(), "uri: ") == refused.what());

    code_service::Options options{argv[1]};
    options.patience = std::chrono::seconds(-1);
    bool refuses_negative = false;
    try {
        Service service(options);
    } catch (const std::invalid_argument &) {
        refuses_negative = true;
    }
    EXPECT(refuses_negative);
    options.patience = std::chrono::seconds(0);
    options.reservation_ttl = std::chrono::hours(1);
    Service service(options);
    service.ensure_indexes();
    EXPECT(service.verify_indexes().empty());

    auto saved = service.save(campaign, "tm", std::vector<std::string>{"A1", "B2", "C3", ""});
    EXPECT(saved.in == 4 && saved.inserted == 3 && saved.rejected == 1 && saved.rejections.at(0).row == 4);
    saved = service.save(campaign, "tm", std::array<const char *, 1>{"A1"});
    EXPECT(saved.updated == 1);
    std::string file = "code\nD4\nE5\n";
    size_t place = 0;
    saved = service.save_csv(campaign, "tm", [&](char *buffer, size_t size) {
        size_t piece = std::min(std::min<size_t>(size, 4), file.size() - place);
        std::memcpy(buffer, file.data() + place, piece);
        place += piece;
        return piece;
    });
    EXPECT(saved.inserted == 2);
    bool passed_on = false;
    try {
        service.save_csv(campaign, "tm", [](char *, size_t) -> size_t { throw std::out_of_range("mine"); });
    } catch (const std::out_of_range &) {
        passed_on = true;
    }
    EXPECT(passed_on);

    const std::string id = campaign + "-order";
    auto reservation = service.reserve(campaign, "tm", 2, id);
    EXPECT(reservation.codes.size() == 2 && reservation.reserve_id == id && !reservation.replayed);
    EXPECT(reservation.expires - reservation.reserved == std::chrono::hours(1));
    auto again = service.reserve(campaign, "tm", 2, id);
    EXPECT(again.replayed);
    EXPECT(std::set<std::string>(again.codes.begin(), again.codes.end()) ==
           std::set<std::string>(reservation.codes.begin(), reservation.codes.end()));
    EXPECT(thrown([&] { service.reserve(campaign, "tm", 1, ""); }).argument() == "reserveId");

    auto lost = service.assign(campaign, reservation.codes, "another");
    EXPECT(lost.in == 2 && lost.updated == 0 && lost.lost.size() == 2);
    EXPECT(service.assign(campaign, std::vector<std::string>{reservation.codes[0]}, id).updated == 1);
    EXPECT(service.release(campaign, std::vector<std::string>{reservation.codes[1]}).updated == 1);
    auto counts = service.count(campaign, "tm");
    EXPECT(counts.available == 4 && counts.reserved == 0 && counts.assigned == 1);

    auto state = service.recover(id);
    EXPECT(state && state->codes.size() == 1 && state->campaign_id == campaign && state->type == "tm");
    EXPECT(state->codes[0].status == CODE_SERVICE_CODE_STATUS_ASSIGNED && state->codes[0].assigned);
    EXPECT(service.reservation(id) && !service.reservation("nobody's"));
    EXPECT(service.find(campaign, "A1") && !service.find(campaign, "Z9"));

    std::vector<std::string> seen;
    service.for_each(campaign, [&](const code_service::Code &code) {
        seen.push_back(code.code);
        return seen.size() < 4;
    });
    EXPECT((seen == std::vector<std::string>{"A1", "B2", "C3", "D4"}));

    Error few = thrown([&] { service.reserve(campaign, "tm", 9); });
    EXPECT(few.code() == "not_enough_codes" && few.wanted() == 9 && few.available() == 4);

    auto later = service.reserve_async(campaign, "tm", 1);
    EXPECT(later.get().codes.size() == 1);
    auto never = service.reserve_async(campaign, "tm", 9);
    EXPECT(thrown([&] { never.get(); }).status() == CODE_SERVICE_STATUS_NOT_ENOUGH_CODES);
    code_service::Cancel cancel;
    cancel.cancel();
    auto cancelled = service.reserve_async(campaign, "tm", 1, std::nullopt, false, &cancel);
    EXPECT(thrown([&] { cancelled.get(); }).status() == CODE_SERVICE_STATUS_CANCELLED);

    Service moved = std::move(service);
    moved.close();
    EXPECT(thrown([&] { moved.count(campaign, "tm"); }).status() == CODE_SERVICE_STATUS_CLOSED);
    EXPECT(thrown([&] { moved.ensure_indexes(); }).code() == "closed");
    EXPECT(thrown([&] { moved.for_each(campaign, [](const code_service::Code &) { return true; }); }).code() == "closed");
    EXPECT(thrown([&] { moved.reserve(campaign, "tm", 1); }).code() == "closed");
    EXPECT(thrown([&] { moved.reserve_async(campaign, "tm", 1).get(); }).code() == "closed");
    std::puts("every promise is kept");
    return 0;
}
