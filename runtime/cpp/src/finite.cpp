#include "finite.hpp"

#include <string>

#include "error.hpp"
#include "steps_file.hpp"

namespace ddpm_rt {

void output_not_finite(std::size_t row, double t, std::uint64_t sample) {
  throw Failure(DDPM_RT_NOT_FINITE,
                "the network's output is not finite at step " + std::to_string(row) + ", t = " +
                    time_text(t) + ", for sample " + std::to_string(sample) + "; check the model");
}

void image_not_finite(std::uint64_t sample) {
  throw Failure(DDPM_RT_NOT_FINITE, "the image of sample " + std::to_string(sample) +
                                        " is not finite after the last step; check the model");
}

void check_images_finite(const float* images, std::size_t size, std::uint64_t first,
                         std::size_t count) {
  for (std::size_t i = 0; i < count; ++i)
    if (!all_finite(images + i * size, size)) image_not_finite(first + i);
}

}  // namespace ddpm_rt
