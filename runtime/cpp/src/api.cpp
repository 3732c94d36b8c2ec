// The border: statuses and sentences outside, exceptions inside.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <new>

#include "ddpm_rt.h"
#include "engine.hpp"
#include "error.hpp"
#include "loop.hpp"
#include "request.hpp"
#include "steps.hpp"

struct ddpm_rt_sampler {
  std::unique_ptr<ddpm_rt::Engine> engine;
  ddpm_rt::Steps steps;
};

namespace ddpm_rt {
namespace {

using Clock = std::chrono::steady_clock;

thread_local char last_error[1024] = "";  // no std::string: it must work when memory is out

ddpm_rt_status failed(ddpm_rt_status status, const char* sentence) noexcept {
  std::snprintf(last_error, sizeof last_error, "%s", sentence);
  return status;
}

template <class Body>
ddpm_rt_status guarded(const Body& body) noexcept {
  try {
    body();
    return DDPM_RT_OK;
  } catch (const Failure& failure) {
    return failed(failure.status, failure.what());
  } catch (const std::bad_alloc&) {
    return failed(DDPM_RT_ENGINE_FAILED, "out of memory; ask for smaller batches");
  } catch (const std::exception& error) {
    return failed(DDPM_RT_ENGINE_FAILED, error.what());
  } catch (...) {
    return failed(DDPM_RT_ENGINE_FAILED, "something that is no exception was thrown");
  }
}

// The caller's struct, of whatever age, as this library's: what it lacks is the default, what is
// unknown must be 0.
template <class Options>
Options known(const Options* given, Options options, const char* macro) {
  if (given == nullptr) return options;
  const std::size_t size = given->struct_size;
  if (size < sizeof(size_t) || size > 4096)
    bad_argument(std::string("struct_size is not set; begin with ") + macro);
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  if (size > sizeof options &&
      std::any_of(bytes + sizeof options, bytes + size, [](auto byte) { return byte != 0; }))
    bad_argument("the options are of a newer ddpm_rt.h than this library; use a newer library");
  std::memcpy(&options, bytes, std::min(size, sizeof options));
  options.struct_size = sizeof options;
  return options;
}

// Times the steps of a batch, and tells the callback.
class Watch {
 public:
  Watch(const ddpm_rt_sample_options& options, const Steps& steps)
      : options_(options), steps_(steps) {
    const std::uint64_t batches = (options.count - 1) / options.batch + 1;
    total_ = batches * steps.rows.size();
    if (options.step_seconds != nullptr) std::fill_n(options.step_seconds, steps.rows.size(), 0.0);
  }

  void step(Loop& loop, const Samples& samples) {
    const std::size_t row = loop.row();
    const auto before = Clock::now();
    loop.step();
    const double seconds = std::chrono::duration<double>(Clock::now() - before).count();
    ++done_;
    if (options_.step_seconds != nullptr) options_.step_seconds[row] += seconds;
    if (options_.progress == nullptr) return;
    const ddpm_rt_step step = {sizeof(ddpm_rt_step),
                               static_cast<std::uint32_t>(row),
                               static_cast<std::uint32_t>(steps_.rows.size()),
                               steps_.rows[row].t,
                               samples.first,
                               samples.count,
                               done_,
                               total_,
                               seconds,
                               loop.engine_seconds(),
                               options_.preview != 0 ? loop.x0().data() : nullptr};
    if (options_.progress(&step, options_.user) != 0)
      throw Failure(DDPM_RT_CANCELLED, "cancelled after step " + std::to_string(row));
  }

 private:
  const ddpm_rt_sample_options& options_;
  const Steps& steps_;
  std::uint64_t done_ = 0, total_;
};

void sample(ddpm_rt_sampler& sampler, const ddpm_rt_sample_options& options, float* images,
            std::size_t floats) {
  const Steps& steps = sampler.steps;
  check_request(options, steps.model, images, floats);
  Watch watch(options, steps);
  for (std::uint64_t start = 0; start < options.count; start += options.batch) {
    const auto count = static_cast<std::size_t>(std::min(options.batch, options.count - start));
    const Samples samples = {options.seed, options.first + start, count};
    Loop loop(*sampler.engine, steps, samples, labels_of(options, samples.first, count));
    loop.start();
    while (loop.row() < steps.rows.size()) watch.step(loop, samples);
    std::copy_n(loop.x().data(), count * steps.model.image(), images + start * steps.model.image());
    if (options.batch > options.count - start) break;  // start + batch might wrap
  }
}

}  // namespace
}  // namespace ddpm_rt

using namespace ddpm_rt;

extern "C" {

ddpm_rt_status ddpm_rt_open(const char* engine, const char* steps,
                            const ddpm_rt_open_options* options, ddpm_rt_sampler** sampler) {
  return guarded([&] {
    if (sampler == nullptr) bad_argument("there must be a place for the sampler");
    *sampler = nullptr;
    if (engine == nullptr || steps == nullptr) bad_argument("name an engine file and a steps file");
    const auto wanted =
        known<ddpm_rt_open_options>(options, DDPM_RT_OPEN_OPTIONS, "DDPM_RT_OPEN_OPTIONS");
    if (wanted.threads < 0) bad_argument("threads must be at least 0");
    if (!noise_is_exact())
      throw Failure(DDPM_RT_ENGINE_FAILED,
                    "this build's arithmetic is not exact; build it with -ffp-contract=off");
    auto opened = std::make_unique<ddpm_rt_sampler>();
    opened->steps = read_steps(steps);
    opened->engine = open_engine(engine, wanted.threads);
    check_belongs(opened->steps, opened->engine->card(), steps);
    *sampler = opened.release();
  });
}

ddpm_rt_status ddpm_rt_describe(const ddpm_rt_sampler* sampler, ddpm_rt_info* info) {
  return guarded([&] {
    if (sampler == nullptr || info == nullptr)
      bad_argument("there must be a sampler and a place for its facts");
    if (info->struct_size < sizeof(size_t))
      bad_argument("struct_size is not set; begin with DDPM_RT_INFO");
    const Model& model = sampler->steps.model;
    const ddpm_rt_info facts = {info->struct_size,
                                model.channels,
                                model.height,
                                model.width,
                                static_cast<std::uint32_t>(sampler->steps.rows.size()),
                                model.classes,
                                model.null_class,
                                sampler->steps.sampler.c_str()};
    std::memcpy(info, &facts, std::min(info->struct_size, sizeof facts));
  });
}

ddpm_rt_status ddpm_rt_sample(ddpm_rt_sampler* sampler, const ddpm_rt_sample_options* options,
                              float* images, size_t floats) {
  return guarded([&] {
    if (sampler == nullptr) bad_argument("there must be a sampler");
    sample(*sampler,
           known<ddpm_rt_sample_options>(options, DDPM_RT_SAMPLE_OPTIONS, "DDPM_RT_SAMPLE_OPTIONS"),
           images, floats);
  });
}

void ddpm_rt_close(ddpm_rt_sampler* sampler) { delete sampler; }

const char* ddpm_rt_last_error(void) { return last_error; }

const char* ddpm_rt_version(void) { return DDPM_RT_VERSION; }

}  // extern "C"
