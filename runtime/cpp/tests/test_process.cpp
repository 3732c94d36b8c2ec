// What the library does to the process that loads it. A program of its own, because other tests
// start ONNX Runtime too.
#include <sched.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "library.hpp"
#include "temporary_folder.hpp"

namespace {

std::size_t entries(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::recursive_directory_iterator(folder), {}));
}

// Restores the processors of this thread at the end.
class OnlyOneProcessor {
 public:
  OnlyOneProcessor() {
    REQUIRE(::sched_getaffinity(0, sizeof before_, &before_) == 0);
    int first = 0;
    while (!CPU_ISSET(first, &before_)) ++first;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
  }
  ~OnlyOneProcessor() { ::sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_;
};

}  // namespace

TEST_CASE("nothing is written to the home folder, because telemetry is off") {
  const TemporaryFolder home;
  ::unsetenv("ORT_DISABLE_TELEMETRY");
  ::unsetenv("XDG_CACHE_HOME");
  ::setenv("HOME", home.path().c_str(), 1);
  {
    opened().sample({});
  }
  CHECK(entries(home.path()) == 0);
  CHECK(std::string(std::getenv("ORT_DISABLE_TELEMETRY")) == "1");
}

TEST_CASE("on one processor, one thread draws; threads that are asked for are made") {
  const OnlyOneProcessor one;
  std::thread([] {}).join();  // a sanitizer starts a thread of its own beside the first one
  const auto threads = [](int asked) {
    ddpm_rt::Sampler sampler(file("gaussian.onnx"), file("ddpm.steps.json"), asked);
    sampler.sample({});
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return std::distance(tasks, {});
  };
  const auto alone = threads(1);
  CHECK(threads(0) == alone);
  CHECK(threads(3) == alone + 2);
}
