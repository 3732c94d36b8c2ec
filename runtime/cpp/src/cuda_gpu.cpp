#include "cuda_gpu.hpp"

#include "error.hpp"

namespace ddpm_rt::cuda {
namespace {

std::string counted(int found) {
  if (found == 1) return "the only one is 0";
  return "they are 0 to " + std::to_string(found - 1);
}

}  // namespace

Memory::Memory(const Driver& driver, std::size_t bytes) : driver_(driver) {
  const std::string lacking =
      "the GPU has no " + std::to_string((bytes >> 20) + 1) + " MiB left; ask for smaller batches";
  driver.check(driver.allocate(&address_, bytes), lacking);
}

Gpu::Gpu(int number) : driver_(load_driver()) {
  const char* const doing = "the GPU cannot be opened";
  int found = 0;
  driver_->check(driver_->device_count(&found), doing);
  if (found == 0)
    throw Failure(DDPM_RT_ENGINE_FAILED, "the NVIDIA driver finds no GPU; sample on the CPU");
  if (number >= found)
    bad_argument("there is no GPU " + std::to_string(number) + ": " + counted(found));
  driver_->check(driver_->device(&device_, number), doing);
  char name[256] = "";
  driver_->check(driver_->device_name(name, sizeof name - 1, device_), doing);
  name_ = name;
  driver_->check(driver_->device_attribute(&major_, CAPABILITY_MAJOR, device_), doing);
  driver_->check(driver_->device_attribute(&minor_, CAPABILITY_MINOR, device_), doing);
  driver_->check(driver_->retain(&context_, device_), doing);
}

Owned<Stream> Gpu::stream() const {
  Stream stream = nullptr;
  driver_->check(driver_->make_stream(&stream, NON_BLOCKING), "the GPU makes no stream");
  return {stream, driver_->destroy_stream};
}

Owned<Event> Gpu::event(unsigned flags) const {
  Event event = nullptr;
  driver_->check(driver_->make_event(&event, flags), "the GPU makes no event");
  return {event, driver_->destroy_event};
}

Current::Current(const Gpu& gpu) : driver_(gpu.driver()) {
  driver_.check(driver_.get_current(&before_), "the GPU cannot be used");
  driver_.check(driver_.set_current(gpu.context_), "the GPU cannot be used");
}

}  // namespace ddpm_rt::cuda
