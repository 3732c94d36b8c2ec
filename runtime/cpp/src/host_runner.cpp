#include <algorithm>
#include <chrono>
#include <optional>

#include "edit.hpp"
#include "engine.hpp"
#include "error.hpp"
#include "progress.hpp"
#include "request.hpp"
#include "runner.hpp"

namespace ddpm_rt {
namespace {

using Clock = std::chrono::steady_clock;

class HostRunner final : public Runner {
 public:
  HostRunner(std::unique_ptr<Engine> engine, const StepsFile& steps)
      : engine_(std::move(engine)), steps_(steps) {}

  const Card& card() const override { return engine_->card(); }
  bool whole_times() const override { return engine_->whole_times(); }
  FittedTables fitted_tables() const override { return engine_->fitted_tables(); }

  void sample(const Request& request, float* images) override {
    const ddpm_rt_sample_options& options = request.options;
    std::optional<Edit> edit;
    if (request.is_edit()) edit.emplace(options, steps_, card());
    ProgressReporter progress(options, steps_, options.batch,
                              edit ? edit->rows_run() : steps_.rows.size());
    for (std::uint64_t start = 0; start < options.count; start += options.batch) {
      const auto count = static_cast<std::size_t>(std::min(options.batch, options.count - start));
      const Samples samples = {options.seed, options.first + start, count};
      HostLoop loop(*engine_, steps_, samples,
                    conditions_of(request, steps_.model, samples.first, count));
      loop.start(edit ? &*edit : nullptr);
      while (loop.row() < steps_.rows.size()) step(loop, samples, progress);
      std::copy_n(loop.x().data(), count * steps_.model.image(),
                  images + start * steps_.model.image());
      if (options.batch > options.count - start) break;  // start + batch could overflow
    }
  }

 private:
  static void step(HostLoop& loop, const Samples& samples, ProgressReporter& progress) {
    const std::size_t row = loop.row();
    const auto before = Clock::now();
    loop.step();
    const double seconds = std::chrono::duration<double>(Clock::now() - before).count();
    progress.step(row, samples, seconds, loop.engine_seconds(), loop.x0().data());
  }

  std::unique_ptr<Engine> engine_;
  const StepsFile& steps_;
};

}  // namespace

std::unique_ptr<Runner> open_host_runner(const ModelSource& source, const StepsFile& steps,
                                         const ddpm_rt_open_options& options) {
  return std::make_unique<HostRunner>(open_engine(source, options), steps);
}

}  // namespace ddpm_rt
