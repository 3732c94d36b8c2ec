// The C functions that open samplers and draw. Inside are exceptions, outside are statuses and
// messages.
#include <algorithm>
#include <functional>
#include <string>

#include "ddpm_rt.h"
#include "error.hpp"
#include "guarded.hpp"
#include "limits.hpp"
#include "sampler.hpp"
#ifdef DDPM_RT_HAS_ONNXRUNTIME
#include "ort_engine.hpp"
#endif

#define DDPM_RT_TEXT_OF(number) #number
#define DDPM_RT_TEXT(number) DDPM_RT_TEXT_OF(number)

namespace ddpm_rt {
namespace {

void check_range(const char* name, int number, int low, int high) {
  if (number < low || number > high)
    bad_argument(std::string(name) + " must be from " + std::to_string(low) + " to " +
                 std::to_string(high) + ", not " + std::to_string(number));
}

void check_open(const ddpm_rt_open_options& options) {
  check_range("threads", options.threads, 0, MAX_THREADS);
  check_range("device", options.device, 0, MAX_GPUS - 1);
  check_range("streams", options.streams, 1, MAX_STREAMS);
  check_range("mode", options.mode, DDPM_RT_REPLAY, DDPM_RT_STREAM);
  if (ddpm_rt_provider_name(options.provider) == nullptr)
    bad_argument("provider must be a constant of ddpm_rt_provider, not " +
                 std::to_string(options.provider));
  if (!noise_is_exact())
    engine_failed("this build does not compute exact noise; build it with -ffp-contract=off");
}

// The request of a call that draws, checked against the model.
Request checked(const ddpm_rt_sampler* sampler, const ddpm_rt_sample_options* given,
                const float* images, std::size_t floats) {
  if (sampler == nullptr) bad_argument("the sampler must not be NULL");
  const Request request = {
      converted<ddpm_rt_sample_options>(given, DDPM_RT_SAMPLE_OPTIONS, "DDPM_RT_SAMPLE_OPTIONS"),
      sampler->inputs, sampler->null_inputs};
  check_request(request, sampler->steps.model, images, floats);
  return request;
}

std::string_view view(const ddpm_rt_bytes& bytes) {
  return {static_cast<const char*>(bytes.data), bytes.size};
}

bool has_content(const ddpm_rt_bytes* bytes) {
  return bytes != nullptr && bytes->data != nullptr && bytes->size != 0;
}

// A steps file; without `read`, the longest fitted table of the model.
struct StepsSource {
  std::string name;
  std::function<StepsFile()> read = {};
};

StepsSource fitted_table_of(const std::string& model) { return {"the fitted table in " + model}; }

ddpm_rt_sampler* open(const ModelSource& source, const StepsSource& steps,
                      const ddpm_rt_open_options* given) {
  const auto options =
      converted<ddpm_rt_open_options>(given, DDPM_RT_OPEN_OPTIONS, "DDPM_RT_OPEN_OPTIONS");
  check_open(options);
  auto opened = std::make_unique<ddpm_rt_sampler>();
  if (steps.read) opened->set_steps(steps.read());
  opened->runner = open_runner(source, opened->steps, options);
  if (!steps.read) opened->set_steps(longest(opened->runner->fitted_tables(), source.name));
  opened->path = source.in_memory ? "" : source.name;
  opened->threads = options.threads;
  check_same_model(opened->steps, opened->runner->card(), steps.name);
  if (opened->runner->whole_times() && !opened->steps.has_whole_times())
    bad_file(steps.name + " has fractional times, and the network of " + source.name +
             " takes integers; choose another spacing, or list timesteps");
  return opened.release();
}

}  // namespace
}  // namespace ddpm_rt

using namespace ddpm_rt;

extern "C" {

ddpm_rt_status ddpm_rt_open_options_init(ddpm_rt_open_options* options, size_t size) {
  return initialize<ddpm_rt_open_options>(options, size, DDPM_RT_OPEN_OPTIONS,
                                          "sizeof(ddpm_rt_open_options)");
}

ddpm_rt_status ddpm_rt_sample_options_init(ddpm_rt_sample_options* options, size_t size) {
  return initialize<ddpm_rt_sample_options>(options, size, DDPM_RT_SAMPLE_OPTIONS,
                                            "sizeof(ddpm_rt_sample_options)");
}

ddpm_rt_status ddpm_rt_open(const char* model, const char* steps,
                            const ddpm_rt_open_options* options, ddpm_rt_sampler** sampler) {
  return guarded([&] {
    if (sampler == nullptr) bad_argument("the pointer to the sampler must not be NULL");
    *sampler = nullptr;
    if (model == nullptr) bad_argument("the model must not be NULL");
    const StepsSource given = steps == nullptr
                                  ? fitted_table_of(model)
                                  : StepsSource{steps, [&] { return read_steps(steps); }};
    *sampler = open({.name = model}, given, options);
  });
}

ddpm_rt_status ddpm_rt_open_memory(const ddpm_rt_bytes* model, const ddpm_rt_bytes* record,
                                   const ddpm_rt_bytes* steps, const ddpm_rt_open_options* options,
                                   ddpm_rt_sampler** sampler) {
  return guarded([&] {
    if (sampler == nullptr) bad_argument("the pointer to the sampler must not be NULL");
    *sampler = nullptr;
    if (!has_content(model) || (steps != nullptr && !has_content(steps)))
      bad_argument("the model must not be NULL or empty, and the steps must not be empty");
    const ModelSource source = {"the model in memory", true, view(*model),
                                has_content(record) ? view(*record) : std::string_view()};
    const std::string name = "the steps in memory";
    const StepsSource given =
        steps == nullptr ? fitted_table_of(source.name)
                         : StepsSource{name, [&] { return parse_steps(view(*steps), name); }};
    *sampler = open(source, given, options);
  });
}

ddpm_rt_status ddpm_rt_sample(ddpm_rt_sampler* sampler, const ddpm_rt_sample_options* options,
                              float* images, size_t floats) {
  return guarded([&] {
    const auto known = checked(sampler, options, images, floats);
    sampler->runner->sample(known, images);
  });
}

ddpm_rt_status ddpm_rt_sample_device(ddpm_rt_sampler* sampler,
                                     const ddpm_rt_sample_options* options, float* device_images,
                                     size_t floats, void* cuda_stream) {
  return guarded([&] {
    const auto known = checked(sampler, options, device_images, floats);
    sampler->runner->sample_device(known, {device_images, cuda_stream});
  });
}

ddpm_rt_status ddpm_rt_finish(ddpm_rt_sampler* sampler) {
  return guarded([&] {
    if (sampler == nullptr) bad_argument("the sampler must not be NULL");
    sampler->runner->finish();
  });
}

void ddpm_rt_close(ddpm_rt_sampler* sampler) { delete sampler; }

const char* ddpm_rt_last_error(void) { return latest_message(); }

const char* ddpm_rt_version(void) {
  static_assert(std::string_view(DDPM_RT_VERSION) ==
                DDPM_RT_TEXT(DDPM_RT_VERSION_MAJOR) "." DDPM_RT_TEXT(
                    DDPM_RT_VERSION_MINOR) "." DDPM_RT_TEXT(DDPM_RT_VERSION_PATCH));
  return DDPM_RT_VERSION;
}

size_t ddpm_rt_providers(ddpm_rt_provider* providers, size_t room) {
  ddpm_rt_provider found[3];
  std::size_t count = 0;
#ifdef DDPM_RT_HAS_ONNXRUNTIME
  found[count++] = DDPM_RT_CPU;
  if (ort_has_cuda()) found[count++] = DDPM_RT_CUDA;
#endif
#ifdef DDPM_RT_HAS_TENSORRT
  found[count++] = DDPM_RT_TENSORRT;
#endif
  if (providers != nullptr) std::copy_n(found, std::min(room, count), providers);
  return count;
}

const char* ddpm_rt_provider_name(ddpm_rt_provider provider) {
  constexpr const char* NAMES[] = {"auto", "cpu", "cuda", "tensorrt"};
  return provider >= DDPM_RT_AUTO && provider <= DDPM_RT_TENSORRT ? NAMES[provider] : nullptr;
}

}  // extern "C"
