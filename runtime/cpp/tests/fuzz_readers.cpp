// libFuzzer: whatever is in a steps file, a card or a plan's record, the readers take it or say a
// sentence.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "card.hpp"
#include "error.hpp"
#include "plan.hpp"
#include "steps.hpp"

namespace {

template <class Read>
void must_say(const Read& read) {
  try {
    read();
  } catch (const ddpm_rt::Failure& failure) {
    if (failure.status != DDPM_RT_BAD_FILE || *failure.what() == '\0') std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  must_say([&] { ddpm_rt::parse_steps(text, "steps"); });
  must_say([&] { ddpm_rt::read_card(text, "card"); });
  must_say([&] { ddpm_rt::parse_plan_record(text, "record"); });
  return 0;
}
