// The checks of a request, and the labels of its samples.
#include "request.hpp"

#include <doctest/doctest.h>

#include "error.hpp"
#include "limits.hpp"

TEST_CASE("a null class in the middle is left out; a model without other classes needs a label") {
  ddpm_rt_sample_options options = DDPM_RT_SAMPLE_OPTIONS;
  float image = 0;
  ddpm_rt::Model model = {{1, 1, 1}, 1, 4, 1, "x", "t", "y", "out"};
  const ddpm_rt::GivenInputs none(model);
  CHECK(ddpm_rt::conditions_of({options, none, none}, model, 1, 4).classes ==
        std::vector<std::int64_t>{2, 3, 0, 2});
  const std::string refused = "the model is class-conditional and needs a label from 0 to ";
  for (const auto& [classes, null_class] : {std::pair{1, 0}, std::pair{4, -1}}) {
    model.classes = classes, model.null_class = null_class;
    CHECK_THROWS_WITH(ddpm_rt::check_request({options, none, none}, model, &image, 1),
                      (refused + std::to_string(classes - 1)).c_str());
  }
  model.null_class = 0;
  options.label_count = 1;
  CHECK_THROWS_WITH(ddpm_rt::check_request({options, none, none}, model, &image, 1),
                    "labels must not be NULL where label_count is not 0");
}

TEST_CASE("counts and batches beyond the limits are refused, as in Python") {
  const ddpm_rt::Model model = {{1, 1, 1}, 1, -1, -1, "x", "t", "", "out"};
  const ddpm_rt::GivenInputs none(model);
  const auto refusal = [&](std::uint64_t count, std::uint64_t batch) -> std::string {
    ddpm_rt_sample_options options = DDPM_RT_SAMPLE_OPTIONS;
    options.count = count, options.batch = batch;
    float images[4] = {};
    try {
      ddpm_rt::check_request({options, none, none}, model, images, ~std::size_t{0});
      return "";
    } catch (const ddpm_rt::Failure& failure) {
      CHECK(failure.status == DDPM_RT_INVALID_ARGUMENT);
      return failure.what();
    }
  };
  CHECK(refusal(ddpm_rt::MAX_COUNT, ddpm_rt::MAX_BATCH) == "");
  CHECK(refusal(ddpm_rt::MAX_COUNT + 1, 1) ==
        "count must be at most 10000000; draw the images after them with first");
  CHECK(refusal(~0ULL, 1).starts_with("count must be at most"));
  CHECK(refusal(1, ddpm_rt::MAX_BATCH + 1) == "batch must be from 1 to 65535");
  CHECK(refusal(1, 0) == "batch must be from 1 to 65535");
}
