// libFuzzer: for any bytes in a steps file, a card or the record of a plan, the readers succeed or
// throw Failure with a message. The readers of the chunks of PNG files and of .npz files take any.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "card.hpp"
#include "error.hpp"
#include "limits.hpp"
#include "npz_file.hpp"
#include "one_line.hpp"
#include "plan_record.hpp"
#include "png_file.hpp"
#include "steps_file.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

// A message quotes the text. It must be printable and short, and be unchanged if it is made so
// again.
void check_message(std::string_view message) {
  const std::string line = ddpm_rt::one_line(message);
  const auto is_control = [](char letter) { return static_cast<unsigned char>(letter) < 0x20; };
  const auto continues = [](char letter) { return (letter & 0xC0) == 0x80; };
  require(std::none_of(line.begin(), line.end(), is_control));
  const auto bytes = std::count_if(line.begin(), line.end(), continues);
  require(line.size() - static_cast<std::size_t>(bytes) <= ddpm_rt::MAX_MESSAGE_CHARACTERS);
  require(ddpm_rt::one_line(line) == line);
}

template <class Read>
void check_read(const Read& read) {
  try {
    read();
  } catch (const ddpm_rt::Failure& failure) {
    require(failure.status == DDPM_RT_BAD_FILE && *failure.what() != '\0');
    check_message(failure.what());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_read([&] { ddpm_rt::parse_steps(text, "steps"); });
  check_read([&] { ddpm_rt::read_card(text, "card"); });
  check_read([&] { ddpm_rt::parse_plan_record(text, "record"); });
  require(read_png_facts(text).texts.size() <= size);
  require(read_npz_facts(text).array_bytes <= size);
  check_message(text.substr(0, 8192));
  return 0;
}
