// Reserves two codes and gives them out for good.
//
//     reserve 'mongodb://localhost:27017/demo?replicaSet=rs0'
#include <cstdio>

#include <code_service.hpp>

int main(int argc, char **argv) try {
    code_service::Options options{argc > 1 ? argv[1] : "mongodb://localhost:27017/demo?replicaSet=rs0"};
    code_service::Service service(options);

    auto reservation = service.reserve("summer", "tm", 2);
    for (const auto &code : reservation.codes) {
        std::puts(code.c_str());
    }
    auto report = service.assign("summer", reservation.codes, reservation.reserve_id);
    std::printf("%d assigned\n", static_cast<int>(report.updated));
} catch (const code_service::Error &error) {
    std::fprintf(stderr, "%s: %s\n", error.code().c_str(), error.what());
    return 1;
}
