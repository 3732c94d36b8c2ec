// The C functions about the model of a sampler: its facts, its named inputs and its decoder.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "ddpm_rt.h"
#include "error.hpp"
#include "guarded.hpp"
#include "limits.hpp"
#include "sampler.hpp"

namespace ddpm_rt {
namespace {

ddpm_rt_status set_value(ddpm_rt_sampler* sampler, GivenInputs ddpm_rt_sampler::* values,
                         const char* name, ddpm_rt_type type, const void* data,
                         std::size_t count) noexcept {
  return guarded([&] {
    if (sampler == nullptr || name == nullptr)
      bad_argument("the sampler and the name must not be NULL");
    (sampler->*values).set(name, type, data, count);
  });
}

Decoder& decoder_of(ddpm_rt_sampler* sampler) {
  if (sampler == nullptr) bad_argument("the sampler must not be NULL");
  if (!sampler->decoder)
    sampler->decoder = open_decoder(sampler->path, sampler->runner->card(), sampler->threads);
  return *sampler->decoder;
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

}  // namespace
}  // namespace ddpm_rt

using namespace ddpm_rt;

extern "C" {

ddpm_rt_status ddpm_rt_info_init(ddpm_rt_info* info, size_t size) {
  return initialize<ddpm_rt_info>(info, size, DDPM_RT_INFO, "sizeof(ddpm_rt_info)");
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

ddpm_rt_status ddpm_rt_decoded_shape(ddpm_rt_sampler* sampler, uint32_t shape[3]) {
  return guarded([&] {
    if (shape == nullptr) bad_argument("the shape must not be NULL");
    const Sides& sides = decoder_of(sampler).shape();
    for (std::size_t i = 0; i < 3; ++i) shape[i] = static_cast<std::uint32_t>(sides[i]);
  });
}

ddpm_rt_status ddpm_rt_decode(ddpm_rt_sampler* sampler, const float* latents, uint64_t count,
                              float* images, size_t floats) {
  return guarded([&] {
    Decoder& decoder = decoder_of(sampler);
    const std::size_t size = numbers_of(decoder.shape());
    if (count < 1 || count > MAX_BATCH)
      bad_argument("count must be from 1 to " + std::to_string(MAX_BATCH));
    if (latents == nullptr || images == nullptr || count > floats / size)
      bad_argument("images must have room for " + std::to_string(count) + " x " +
                   std::to_string(size) + " floats, and latents must not be NULL");
    decoder.decode(latents, static_cast<std::size_t>(count), images);
  });
}

}  // extern "C"
