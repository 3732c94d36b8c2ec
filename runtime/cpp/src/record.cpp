#include "record.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "error.hpp"

namespace ddpm_rt {
namespace {

using Json = nlohmann::json;

struct Refused {
  std::string why;
};

bool is_integer(const Json& value, std::int64_t least, std::int64_t most) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    return number <= static_cast<std::uint64_t>(most) && static_cast<std::int64_t>(number) >= least;
  }
  return value.is_number_integer() && value.get<std::int64_t>() >= least &&
         value.get<std::int64_t>() <= most;
}

std::string quoted(const std::string& key) { return "'" + key.substr(0, 60) + "'"; }

}  // namespace

Record::Record(std::string_view text, std::string what, std::string remedy, int depth, int format,
               std::span<const char* const> keys)
    : what_(std::move(what)), remedy_(std::move(remedy)) {
  parse(text, depth);
  const auto found = object_.is_object() ? object_.find("format") : object_.end();
  if (!object_.is_object() || found == object_.end() || !is_integer(*found, format, format))
    fail("not of format " + std::to_string(format));
  check_keys(keys);
}

Record::Record(Json object, const Record& whole, std::span<const char* const> keys)
    : what_(whole.what_), remedy_(whole.remedy_), object_(std::move(object)) {
  check_keys(keys);
}

Record Record::part(const char* key, std::span<const char* const> keys) const {
  if (!at(key).is_object()) fail(std::string(key) + " must be an object");
  return {at(key), *this, keys};
}

void Record::fail(const std::string& why) const { bad_file(what_ + ": " + why + "; " + remedy_); }

void Record::parse(std::string_view text, int depth) {
  std::vector<std::set<std::string>> seen(static_cast<std::size_t>(depth) + 1);  // keys, by level
  const auto watch = [&](int level, Json::parse_event_t event, Json& parsed) {
    const bool opens =
        event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (opens && level >= depth) throw Refused{"nested too deeply"};
    const auto inside = static_cast<std::size_t>(level);
    if (opens) seen[inside + 1].clear();
    if (event == Json::parse_event_t::key && !seen[inside].insert(parsed.get<std::string>()).second)
      throw Refused{"key " + quoted(parsed.get<std::string>()) + " is there twice"};
    return true;
  };
  try {
    if (text.starts_with("\xEF\xBB\xBF")) throw Refused{"it begins with a byte order mark"};
    object_ = Json::parse(text, watch);
  } catch (const Refused& refused) {
    fail(refused.why);
  } catch (const Json::parse_error& error) {
    fail("not whole JSON, at byte " + std::to_string(error.byte));
  } catch (const Json::exception&) {
    fail("it holds a number that is out of range");
  }
}

void Record::check_keys(std::span<const char* const> keys) const {
  for (const auto& found : object_.items()) {
    const auto is_key = [&](const char* key) { return found.key() == key; };
    if (std::none_of(keys.begin(), keys.end(), is_key)) fail("unknown key " + quoted(found.key()));
  }
  for (const char* key : keys)
    if (!object_.contains(key)) fail("missing key " + quoted(key));
}

std::int64_t Record::integer(const char* key, std::int64_t least, std::int64_t most) const {
  if (!is_integer(at(key), least, most))
    fail(std::string(key) + " must be an integer from " + std::to_string(least) + " to " +
         std::to_string(most));
  return at(key).get<std::int64_t>();
}

std::int64_t Record::integer_or_null(const char* key, std::int64_t least, std::int64_t most) const {
  return is_null(key) ? -1 : integer(key, least, most);
}

std::string Record::text(const char* key) const {
  if (!at(key).is_string()) fail(std::string(key) + " must be a text");
  auto text = at(key).get<std::string>();
  if (text.find('\0') != std::string::npos) fail(std::string(key) + " has a zero byte in it");
  return text;
}

std::vector<double> Record::numbers(const char* key, std::size_t count) const {
  std::vector<double> numbers;
  numbers.reserve(count);
  for (const Json& value : array(key, count)) {
    const double number = value.is_number() ? value.get<double>() : HUGE_VAL;
    if (!std::isfinite(static_cast<float>(number)))
      fail(std::string(key) + " must be finite numbers");
    numbers.push_back(number);
  }
  return numbers;
}

std::vector<std::int64_t> Record::integers(const char* key, std::size_t count, std::int64_t least,
                                           std::int64_t most) const {
  std::vector<std::int64_t> integers;
  integers.reserve(count);
  for (const Json& value : array(key, count)) {
    if (!is_integer(value, least, most))
      fail(std::string(key) + " must be integers from " + std::to_string(least) + " to " +
           std::to_string(most));
    integers.push_back(value.get<std::int64_t>());
  }
  return integers;
}

std::vector<std::string> Record::texts(const char* key) const {
  if (!at(key).is_array() || at(key).empty() ||
      !std::all_of(at(key).begin(), at(key).end(),
                   [](const Json& value) { return value.is_string(); }))
    fail(std::string(key) + " must be a list of texts");
  return at(key).get<std::vector<std::string>>();
}

const Json& Record::array(const char* key, std::size_t count) const {
  const Json& found = at(key);
  if (!found.is_array() || found.size() != count)
    fail(std::string(key) + " must have " + std::to_string(count) + " entries");
  return found;
}

}  // namespace ddpm_rt
