// The C functions. Inside are exceptions, outside are statuses and messages.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>

#include "ddpm_rt.h"
#include "error.hpp"
#include "host_loop.hpp"
#include "limits.hpp"
#include "one_line.hpp"
#include "request.hpp"
#include "runner.hpp"
#include "steps_file.hpp"
#ifdef DDPM_RT_HAS_ONNXRUNTIME
#include "ort_engine.hpp"
#endif

#define DDPM_RT_TEXT_OF(number) #number
#define DDPM_RT_TEXT(number) DDPM_RT_TEXT_OF(number)

struct ddpm_rt_sampler {
  explicit ddpm_rt_sampler(ddpm_rt::StepsFile read)
      : steps(std::move(read)), inputs(steps.model), null_inputs(steps.model) {}

  const ddpm_rt::StepsFile steps;
  ddpm_rt::GivenInputs inputs, null_inputs;  // refer to `steps`, as the runner does
  std::unique_ptr<ddpm_rt::Runner> runner;
};

namespace ddpm_rt {
namespace {

// An array, because a message must be possible when no memory is left. A character of UTF-8 has at
// most 4 bytes.
thread_local char last_error[4 * MAX_MESSAGE_CHARACTERS + 1] = "";

ddpm_rt_status failed(ddpm_rt_status status, const char* message) noexcept {
  try {
    std::snprintf(last_error, sizeof last_error, "%s", one_line(message).c_str());
  } catch (const std::bad_alloc&) {
    std::snprintf(last_error, sizeof last_error, "out of memory");
  }
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
    return failed(DDPM_RT_ENGINE_FAILED, "out of memory; use smaller batches");
  } catch (const std::exception& error) {
    return failed(DDPM_RT_ENGINE_FAILED, error.what());
  } catch (...) {
    return failed(DDPM_RT_ENGINE_FAILED, "an unknown exception was thrown");
  }
}

constexpr std::size_t MAX_STRUCT_SIZE = 4096;

void check_struct_size(std::size_t size, const char* macro) {
  if (size < sizeof(std::uint32_t) || size > MAX_STRUCT_SIZE)
    bad_argument(std::string("struct_size is not set; initialize the struct with ") + macro);
}

// Converts the caller's struct, which may be of another version, to the struct of this library.
// Fields that the caller does not have get their defaults. Fields that this library does not have
// must be 0.
template <class Options>
Options converted(const Options* given, Options defaults, const char* macro) {
  if (given == nullptr) return defaults;
  const std::size_t size = given->struct_size;
  check_struct_size(size, macro);
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  if (size > sizeof defaults &&
      std::any_of(bytes + sizeof defaults, bytes + size, [](auto byte) { return byte != 0; }))
    bad_argument("the options need a newer library than " DDPM_RT_VERSION "; update the library");
  std::memcpy(&defaults, bytes, std::min(size, sizeof defaults));
  defaults.struct_size = sizeof defaults;
  return defaults;
}

template <class Struct>
ddpm_rt_status initialize(Struct* target, std::size_t size, Struct defaults, const char* macro) {
  return guarded([&] {
    if (target == nullptr) bad_argument("the struct must not be NULL");
    check_struct_size(size, macro);
    defaults.struct_size = static_cast<std::uint32_t>(size);
    std::memset(static_cast<void*>(target), 0, size);
    std::memcpy(static_cast<void*>(target), &defaults, std::min(size, sizeof defaults));
  });
}

void check_open(const ddpm_rt_open_options& options) {
  if (options.threads < 0 || options.threads > MAX_THREADS)
    bad_argument("threads must be from 0 to " + std::to_string(MAX_THREADS) + ", not " +
                 std::to_string(options.threads));
  if (options.device < 0 || options.device >= MAX_GPUS)
    bad_argument("device must be from 0 to " + std::to_string(MAX_GPUS - 1) + ", not " +
                 std::to_string(options.device));
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

ddpm_rt_status set_value(ddpm_rt_sampler* sampler, GivenInputs ddpm_rt_sampler::* values,
                         const char* name, ddpm_rt_type type, const void* data,
                         std::size_t count) noexcept {
  return guarded([&] {
    if (sampler == nullptr || name == nullptr)
      bad_argument("the sampler and the name must not be NULL");
    (sampler->*values).set(name, type, data, count);
  });
}

// The inputs that the caller gives.
std::vector<const Input*> conditions_of(const Model& model) {
  std::vector<const Input*> found;
  for (const Input& input : model.inputs)
    if (!input.is_previous) found.push_back(&input);
  return found;
}

ddpm_rt_type type_of(InputType type) {
  if (type == InputType::INT64) return DDPM_RT_INT64;
  return type == InputType::INT32 ? DDPM_RT_INT32 : DDPM_RT_FLOAT32;
}

// C, H and W of an image. For another shape their product is the size of a sample as well.
void set_shape(ddpm_rt_info& info, const Sides& shape) {
  info.rank = static_cast<std::uint32_t>(shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i)
    info.shape[i] = static_cast<std::uint32_t>(shape[i]);
  info.channels = info.shape[0];
  info.width = shape.size() > 1 ? static_cast<std::uint32_t>(shape.back()) : 1;
  info.height = static_cast<std::uint32_t>(numbers_of(shape) / info.channels / info.width);
}

std::string_view view(const ddpm_rt_bytes& bytes) {
  return {static_cast<const char*>(bytes.data), bytes.size};
}

bool has_content(const ddpm_rt_bytes* bytes) {
  return bytes != nullptr && bytes->data != nullptr && bytes->size != 0;
}

// Opens a sampler from steps that `read` returns.
template <class Read>
ddpm_rt_sampler* open(const ModelSource& source, const std::string& steps_name, const Read& read,
                      const ddpm_rt_open_options* given) {
  const auto options =
      converted<ddpm_rt_open_options>(given, DDPM_RT_OPEN_OPTIONS, "DDPM_RT_OPEN_OPTIONS");
  check_open(options);
  auto opened = std::make_unique<ddpm_rt_sampler>(read());
  opened->runner = open_runner(source, opened->steps, options);
  check_same_model(opened->steps, opened->runner->card(), steps_name);
  if (opened->runner->whole_times() && !opened->steps.has_whole_times())
    bad_file(steps_name + " has fractional times, and the network of " + source.name +
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

ddpm_rt_status ddpm_rt_info_init(ddpm_rt_info* info, size_t size) {
  return initialize<ddpm_rt_info>(info, size, DDPM_RT_INFO, "sizeof(ddpm_rt_info)");
}

ddpm_rt_status ddpm_rt_open(const char* model, const char* steps,
                            const ddpm_rt_open_options* options, ddpm_rt_sampler** sampler) {
  return guarded([&] {
    if (sampler == nullptr) bad_argument("the pointer to the sampler must not be NULL");
    *sampler = nullptr;
    if (model == nullptr || steps == nullptr) bad_argument("model and steps must not be NULL");
    *sampler = open({.name = model}, steps, [&] { return read_steps(steps); }, options);
  });
}

ddpm_rt_status ddpm_rt_open_memory(const ddpm_rt_bytes* model, const ddpm_rt_bytes* record,
                                   const ddpm_rt_bytes* steps, const ddpm_rt_open_options* options,
                                   ddpm_rt_sampler** sampler) {
  return guarded([&] {
    if (sampler == nullptr) bad_argument("the pointer to the sampler must not be NULL");
    *sampler = nullptr;
    if (!has_content(model) || !has_content(steps))
      bad_argument("model and steps must not be NULL or empty");
    const ModelSource source = {"the model in memory", true, view(*model),
                                has_content(record) ? view(*record) : std::string_view()};
    const std::string name = "the steps in memory";
    *sampler = open(source, name, [&] { return parse_steps(view(*steps), name); }, options);
  });
}

ddpm_rt_status ddpm_rt_describe(const ddpm_rt_sampler* sampler, ddpm_rt_info* info) {
  return guarded([&] {
    if (sampler == nullptr || info == nullptr)
      bad_argument("the sampler and the info must not be NULL");
    check_struct_size(info->struct_size, "DDPM_RT_INFO");
    const Model& model = sampler->steps.model;
    const Card& card = sampler->runner->card();
    ddpm_rt_info facts = DDPM_RT_INFO;
    facts.struct_size = info->struct_size;
    set_shape(facts, model.shape);
    facts.steps = static_cast<std::uint32_t>(sampler->steps.rows.size());
    facts.classes = model.classes;
    facts.null_class = model.null_class;
    facts.sampler = sampler->steps.sampler.c_str();
    facts.inputs = static_cast<std::uint32_t>(conditions_of(model).size());
    facts.is_picture = card.is_picture() ? 1 : 0;
    facts.is_latent = card.latents ? 1 : 0;
    std::memcpy(info, &facts, std::min<std::size_t>(info->struct_size, sizeof facts));
  });
}

ddpm_rt_status ddpm_rt_input_init(ddpm_rt_input* input, size_t size) {
  return initialize<ddpm_rt_input>(input, size, DDPM_RT_INPUT, "sizeof(ddpm_rt_input)");
}

ddpm_rt_status ddpm_rt_describe_input(const ddpm_rt_sampler* sampler, size_t number,
                                      ddpm_rt_input* input) {
  return guarded([&] {
    if (sampler == nullptr || input == nullptr)
      bad_argument("the sampler and the input must not be NULL");
    check_struct_size(input->struct_size, "DDPM_RT_INPUT");
    const auto known = conditions_of(sampler->steps.model);
    if (number >= known.size())
      bad_argument("the model has " + std::to_string(known.size()) + " inputs, and no input " +
                   std::to_string(number));
    ddpm_rt_input facts = DDPM_RT_INPUT;
    facts.struct_size = input->struct_size;
    facts.type = type_of(known[number]->type);
    facts.rank = static_cast<std::uint32_t>(known[number]->shape.size());
    for (std::size_t i = 0; i < facts.rank; ++i)
      facts.shape[i] = static_cast<std::uint32_t>(known[number]->shape[i]);
    facts.name = known[number]->name.c_str();
    std::memcpy(input, &facts, std::min<std::size_t>(input->struct_size, sizeof facts));
  });
}

ddpm_rt_status ddpm_rt_set_input(ddpm_rt_sampler* sampler, const char* name, ddpm_rt_type type,
                                 const void* data, size_t count) {
  return set_value(sampler, &ddpm_rt_sampler::inputs, name, type, data, count);
}

ddpm_rt_status ddpm_rt_set_null_input(ddpm_rt_sampler* sampler, const char* name, ddpm_rt_type type,
                                      const void* data, size_t count) {
  return set_value(sampler, &ddpm_rt_sampler::null_inputs, name, type, data, count);
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

const char* ddpm_rt_last_error(void) { return last_error; }

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
