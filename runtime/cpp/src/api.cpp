// The border: statuses and sentences outside, exceptions inside.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>

#include "ddpm_rt.h"
#include "error.hpp"
#include "loop.hpp"
#include "request.hpp"
#include "runner.hpp"
#include "steps.hpp"

struct ddpm_rt_sampler {
  ddpm_rt::Steps steps;
  std::unique_ptr<ddpm_rt::Runner> runner;  // of these steps
};

namespace ddpm_rt {
namespace {

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

void check_open(const ddpm_rt_open_options& options) {
  if (options.threads < 0) bad_argument("threads must be at least 0");
  if (options.device < 0) bad_argument("device must be at least 0");
  if (options.provider < DDPM_RT_AUTO || options.provider > DDPM_RT_TENSORRT)
    bad_argument("provider must be one of ddpm_rt_provider");
  if (!noise_is_exact())
    throw Failure(DDPM_RT_ENGINE_FAILED,
                  "this build's arithmetic is not exact; build it with -ffp-contract=off");
}

// The caller's options as they are known here, once it is known that they can be met.
ddpm_rt_sample_options asked(const ddpm_rt_sampler* sampler, const ddpm_rt_sample_options* given,
                             const float* images, std::size_t floats) {
  if (sampler == nullptr) bad_argument("there must be a sampler");
  const auto options =
      known<ddpm_rt_sample_options>(given, DDPM_RT_SAMPLE_OPTIONS, "DDPM_RT_SAMPLE_OPTIONS");
  check_request(options, sampler->steps.model, images, floats);
  return options;
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
    check_open(wanted);
    auto opened = std::make_unique<ddpm_rt_sampler>();
    opened->steps = read_steps(steps);
    opened->runner = open_runner(engine, opened->steps, wanted);
    check_belongs(opened->steps, opened->runner->card(), steps);
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
    const auto known = asked(sampler, options, images, floats);
    sampler->runner->sample(known, images);
  });
}

ddpm_rt_status ddpm_rt_sample_device(ddpm_rt_sampler* sampler,
                                     const ddpm_rt_sample_options* options, float* device_images,
                                     size_t floats, void* cuda_stream) {
  return guarded([&] {
    const auto known = asked(sampler, options, device_images, floats);
    sampler->runner->sample_device(known, {device_images, cuda_stream});
  });
}

ddpm_rt_status ddpm_rt_finish(ddpm_rt_sampler* sampler) {
  return guarded([&] {
    if (sampler == nullptr) bad_argument("there must be a sampler");
    sampler->runner->finish();
  });
}

void ddpm_rt_close(ddpm_rt_sampler* sampler) { delete sampler; }

const char* ddpm_rt_last_error(void) { return last_error; }

const char* ddpm_rt_version(void) { return DDPM_RT_VERSION; }

}  // extern "C"
