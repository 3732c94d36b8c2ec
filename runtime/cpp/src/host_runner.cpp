#include <algorithm>
#include <chrono>

#include "engine.hpp"
#include "error.hpp"
#include "request.hpp"
#include "runner.hpp"
#include "watch.hpp"

namespace ddpm_rt {
namespace {

using Clock = std::chrono::steady_clock;

class HostRunner final : public Runner {
 public:
  HostRunner(std::unique_ptr<Engine> engine, const Steps& steps)
      : engine_(std::move(engine)), steps_(steps) {}

  const Card& card() const override { return engine_->card(); }

  void sample(const ddpm_rt_sample_options& options, float* images) override {
    Watch watch(options, steps_, options.batch);
    for (std::uint64_t start = 0; start < options.count; start += options.batch) {
      const auto count = static_cast<std::size_t>(std::min(options.batch, options.count - start));
      const Samples samples = {options.seed, options.first + start, count};
      Loop loop(*engine_, steps_, samples, labels_of(options, samples.first, count));
      loop.start();
      while (loop.row() < steps_.rows.size()) step(loop, samples, watch);
      std::copy_n(loop.x().data(), count * steps_.model.image(),
                  images + start * steps_.model.image());
      if (options.batch > options.count - start) break;  // start + batch might wrap
    }
  }

 private:
  static void step(Loop& loop, const Samples& samples, Watch& watch) {
    const std::size_t row = loop.row();
    const auto before = Clock::now();
    loop.step();
    const double seconds = std::chrono::duration<double>(Clock::now() - before).count();
    watch.step(row, samples, seconds, loop.engine_seconds(), loop.x0().data());
  }

  std::unique_ptr<Engine> engine_;
  const Steps& steps_;
};

}  // namespace

std::unique_ptr<Runner> open_host_runner(const std::string& path, const Steps& steps,
                                         const ddpm_rt_open_options& options) {
  return std::make_unique<HostRunner>(open_engine(path, options), steps);
}

}  // namespace ddpm_rt
