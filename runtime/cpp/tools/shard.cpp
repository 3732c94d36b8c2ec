#include "shard.hpp"

#include <algorithm>
#include <charconv>

#include "arguments.hpp"
#include "limits.hpp"

namespace {

// A count without a sign; nothing for any other text.
std::optional<std::uint64_t> count_of(const std::string& digits) {
  std::uint64_t count = 0;
  const char* const last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, count);
  if (error != std::errc{} || end != last) return std::nullopt;
  return count;
}

}  // namespace

Shard shard_of(const std::string& word) {
  const auto slash = word.find('/');
  const auto number = count_of(word.substr(0, slash));
  const auto parts = slash == word.npos ? std::nullopt : count_of(word.substr(slash + 1));
  if (!number || !parts) throw UsageError("--shard: '" + word + "' is not a part such as 0/4");
  if (*parts < 1 || *parts > ddpm_rt::MAX_COUNT)
    throw UsageError("--shard: there are 1 to " + std::to_string(ddpm_rt::MAX_COUNT) + " shards");
  if (*number >= *parts)
    throw UsageError("--shard: there is no shard " + word + "; the shards are 0/" +
                     std::to_string(*parts) + " to " + text_of(Shard{*parts - 1, *parts}));
  return {*number, *parts};
}

std::string text_of(const Shard& shard) {
  return std::to_string(shard.number) + "/" + std::to_string(shard.parts);
}

Samples part_of(const Samples& whole, std::uint64_t batch, const Shard& shard) {
  const std::uint64_t batches = (whole.count + batch - 1) / batch;
  const auto end_of = [&](std::uint64_t number) {
    return std::min(batches * number / shard.parts * batch, whole.count);
  };
  const std::uint64_t begin = end_of(shard.number);
  return {whole.first + begin, end_of(shard.number + 1) - begin};
}
