#include "cuda_gpu.hpp"

#include "error.hpp"

namespace ddpm_rt::cuda {
namespace {

std::string valid_numbers(int found) {
  if (found == 1) return "the only GPU is 0";
  return "GPUs are 0 to " + std::to_string(found - 1);
}

}  // namespace

Memory::Memory(const Driver& driver, std::size_t bytes) : driver_(driver) {
  const std::string failure = "the GPU has less than " + std::to_string((bytes >> 20) + 1) +
                              " MiB free; use smaller batches";
  driver.check(driver.allocate(&address_, bytes), failure);
}

Gpu::Gpu(int number) : driver_(load_driver()) {
  const char* const failure = "the GPU cannot be opened";
  int found = 0;
  driver_->check(driver_->device_count(&found), failure);
  if (found == 0)
    throw Failure(DDPM_RT_ENGINE_FAILED, "the NVIDIA driver finds no GPU; use the CPU");
  if (number >= found)
    bad_argument("there is no GPU " + std::to_string(number) + ": " + valid_numbers(found));
  driver_->check(driver_->device(&device_, number), failure);
  char name[256] = "";
  driver_->check(driver_->device_name(name, sizeof name - 1, device_), failure);
  name_ = name;
  driver_->check(driver_->device_attribute(&major_, CAPABILITY_MAJOR, device_), failure);
  driver_->check(driver_->device_attribute(&minor_, CAPABILITY_MINOR, device_), failure);
  driver_->check(driver_->retain(&context_, device_), failure);
}

Owned<Stream> Gpu::stream() const {
  Stream stream = nullptr;
  driver_->check(driver_->make_stream(&stream, NON_BLOCKING), "a stream cannot be created");
  return {stream, driver_->destroy_stream};
}

Owned<Event> Gpu::event(unsigned flags) const {
  Event event = nullptr;
  driver_->check(driver_->make_event(&event, flags), "an event cannot be created");
  return {event, driver_->destroy_event};
}

CurrentGpu::CurrentGpu(const Gpu& gpu) : driver_(gpu.driver()) {
  driver_.check(driver_.get_current(&before_), "the GPU is not usable");
  driver_.check(driver_.set_current(gpu.context_), "the GPU is not usable");
}

}  // namespace ddpm_rt::cuda
