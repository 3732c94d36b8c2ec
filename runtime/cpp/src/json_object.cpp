#include "json_object.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "error.hpp"
#include "json_limits.hpp"
#include "limits.hpp"
#include "one_line.hpp"

namespace ddpm_rt {
namespace {

using Json = nlohmann::json;

// Thrown out of the parser; parse() turns it into Failure.
struct RepeatedKey {
  std::string key;
};

bool is_integer(const Json& value, std::int64_t least, std::int64_t most) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    return most >= 0 && number <= static_cast<std::uint64_t>(most) &&
           static_cast<std::int64_t>(number) >= least;
  }
  return value.is_number_integer() && value.get<std::int64_t>() >= least &&
         value.get<std::int64_t>() <= most;
}

std::string quoted(const std::string& key) { return "'" + key.substr(0, 60) + "'"; }

}  // namespace

JsonObject::JsonObject(std::string_view text, std::string source, std::string remedy,
                       std::initializer_list<Keys> keys, Keys optional)
    : source_(std::move(source)), remedy_(std::move(remedy)) {
  parse(text);
  const auto newest = static_cast<std::int64_t>(keys.size());
  const std::string known = newest == 1 ? "format 1" : "formats 1 to " + std::to_string(newest);
  const auto found = object_.is_object() ? object_.find("format") : object_.end();
  if (object_.is_object() && found != object_.end() && is_integer(*found, newest + 1, 1000))
    bad_file(source_ + " has format " + found->dump() + ", and this library reads " + known +
             "; use a newer library");
  if (!object_.is_object() || found == object_.end() || !is_integer(*found, 1, newest))
    fail("not of " + known);
  format_ = found->get<int>();
  check_keys(keys.begin()[format_ - 1], optional);
}

JsonObject::JsonObject(Json object, const JsonObject& whole)
    : source_(whole.source_), remedy_(whole.remedy_), object_(std::move(object)) {}

JsonObject JsonObject::object(const char* key, Keys keys) const {
  JsonObject part = object(key);
  part.check_keys(keys);
  return part;
}

JsonObject JsonObject::object(const char* key) const { return object(at(key), key); }

JsonObject JsonObject::object(const Json& value, const std::string& what) const {
  if (!value.is_object()) fail(what + " must be an object");
  return {value, *this};
}

void JsonObject::fail(const std::string& why) const {
  bad_file(source_ + ": " + why + "; " + remedy_);
}

void JsonObject::parse(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) fail("it begins with a byte order mark");
  if (const auto exceeded = exceeded_json_limit(text); !exceeded.empty()) fail(exceeded);
  // The parser keeps the last value of a repeated key; this callback sees all keys.
  std::vector<std::set<std::string>> keys(MAX_JSON_DEPTH + 1);  // by level
  const auto check_repeated = [&](int level, Json::parse_event_t event, Json& parsed) {
    auto& seen = keys[static_cast<std::size_t>(level)];
    if (event == Json::parse_event_t::object_start)
      keys[static_cast<std::size_t>(level) + 1].clear();
    if (event == Json::parse_event_t::key && !seen.insert(parsed.get<std::string>()).second)
      throw RepeatedKey{parsed.get<std::string>()};
    return true;
  };
  try {
    object_ = Json::parse(text, check_repeated);
  } catch (const RepeatedKey& repeated) {
    fail("duplicate key " + quoted(repeated.key));
  } catch (const Json::parse_error& error) {
    fail("not JSON in UTF-8, at byte " + std::to_string(error.byte));
  } catch (const Json::exception&) {
    fail("it holds a number that is out of range");
  }
}

void JsonObject::check_keys(Keys keys, Keys optional) const {
  for (const auto& found : object_.items()) {
    const auto is_key = [&](const char* key) { return found.key() == key; };
    if (std::none_of(keys.begin(), keys.end(), is_key) &&
        std::none_of(optional.begin(), optional.end(), is_key))
      fail("unknown key " + quoted(found.key()));
  }
  for (const char* key : keys)
    if (!object_.contains(key)) fail("missing key " + quoted(key));
}

std::int64_t JsonObject::integer(const char* key, std::int64_t least, std::int64_t most) const {
  if (!is_integer(at(key), least, most))
    fail(std::string(key) + " must be an integer from " + std::to_string(least) + " to " +
         std::to_string(most));
  return at(key).get<std::int64_t>();
}

std::int64_t JsonObject::integer_or_null(const char* key, std::int64_t least,
                                         std::int64_t most) const {
  return is_null(key) ? -1 : integer(key, least, most);
}

std::string JsonObject::text(const char* key) const {
  if (!at(key).is_string()) fail(std::string(key) + " must be a string");
  auto text = at(key).get<std::string>();
  if (text.find('\0') != std::string::npos) fail(std::string(key) + " contains a NUL character");
  return text;
}

std::string JsonObject::short_text(const char* key) const {
  auto found = text(key);
  if (characters_of(found) > MAX_NAME_CHARACTERS)
    fail(std::string(key) + " has more than " + std::to_string(MAX_NAME_CHARACTERS) +
         " characters");
  return found;
}

std::string JsonObject::word(const char* key, Keys words) const {
  auto found = text(key);
  std::string known;
  for (const char* word : words) {
    if (found == word) return found;
    known += (known.empty() ? "" : ", ") + std::string(word);
  }
  fail(std::string(key) + " must be one of " + known);
}

double JsonObject::number(const char* key) const {
  if (!at(key).is_number() || !std::isfinite(at(key).get<double>()))
    fail(std::string(key) + " must be a finite number");
  return at(key).get<double>();
}

std::vector<double> JsonObject::numbers(const char* key, std::size_t count) const {
  std::vector<double> numbers;
  numbers.reserve(count);
  for (const Json& value : array(key, count)) {
    const double number = value.is_number() ? value.get<double>() : HUGE_VAL;
    if (!(std::abs(number) <= std::numeric_limits<float>::max()))
      fail(std::string(key) + " must be numbers that float32 can hold");
    numbers.push_back(number);
  }
  return numbers;
}

std::optional<std::pair<float, float>> JsonObject::range_or_null(const char* key) const {
  if (is_null(key)) return std::nullopt;
  const auto both = numbers(key, 2);
  const auto low = static_cast<float>(both[0]), high = static_cast<float>(both[1]);
  if (!(low < high)) fail(std::string(key) + " must be [low, high] or null");
  return std::pair(low, high);
}

std::vector<std::int64_t> JsonObject::shape(const char* key, std::size_t least,
                                            std::size_t most) const {
  const std::size_t rank = at(key).is_array() ? at(key).size() : most + 1;
  if (rank < least || rank > most)
    fail(std::string(key) + " must have " + std::to_string(least) + " to " + std::to_string(most) +
         " sides");
  auto sides = integers(key, rank, 1, MAX_SIDE);
  std::int64_t numbers = 1;
  for (const std::int64_t side : sides) {
    if (numbers > MAX_ELEMENTS / side)
      fail(std::string(key) + " has more than " + std::to_string(MAX_ELEMENTS) + " values");
    numbers *= side;
  }
  return sides;
}

std::vector<std::int64_t> JsonObject::integers(const char* key, std::size_t count,
                                               std::int64_t least, std::int64_t most) const {
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

std::vector<std::string> JsonObject::texts(const char* key) const {
  if (!at(key).is_array() || at(key).empty() ||
      !std::all_of(at(key).begin(), at(key).end(),
                   [](const Json& value) { return value.is_string(); }))
    fail(std::string(key) + " must be a list of strings");
  return at(key).get<std::vector<std::string>>();
}

const Json& JsonObject::array(const char* key, std::size_t count) const {
  const Json& found = at(key);
  if (!found.is_array() || found.size() != count)
    fail(std::string(key) + " must have " + std::to_string(count) + " entries");
  return found;
}

}  // namespace ddpm_rt
