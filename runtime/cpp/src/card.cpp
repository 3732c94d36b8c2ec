#include "card.hpp"

#include <algorithm>
#include <cctype>

#include "json_object.hpp"
#include "limits.hpp"
#include "one_line.hpp"
#include "sha256.hpp"

namespace ddpm_rt {
namespace {

constexpr const char* REMEDY = "export the model again";
constexpr const char* KEYS_1[] = {"format",     "image_shape", "betas",     "prediction",
                                  "variance",   "clip",        "spacing",   "classes",
                                  "null_class", "names",       "precision", "provenance"};
constexpr const char* KEYS_2[] = {"format", "shape",   "process",   "prediction", "variance",
                                  "clip",   "spacing", "classes",   "null_class", "names",
                                  "inputs", "space",   "precision", "provenance"};
constexpr const char* NAMES[] = {"x", "t", "out", "y"};
constexpr const char* VARIANCES[] = {"fixed_small", "fixed_large", "learned", "learned_range"};
constexpr const char* INPUT_KEYS[] = {"dtype", "shape", "role"};
constexpr const char* SPACES[] = {"pixels", "latents"};
constexpr const char* PIXELS_KEYS[] = {"kind"};
constexpr const char* LATENTS_KEYS[] = {"kind", "scale", "shift", "decoder"};
constexpr const char* PROVENANCE_KEYS[] = {"source", "weights_sha256", "versions", "parity"};
constexpr std::size_t MAX_FILE_NAME_CHARACTERS = 200;

void read_names(Model& model, const JsonObject& card) {
  const JsonObject names = card.object("names");
  const JsonObject::Keys all = NAMES;
  names.check_keys(model.classes < 0 ? all.first(3) : all);
  model.x = names.short_text("x");
  model.t = names.short_text("t");
  model.y = model.classes < 0 ? "" : names.short_text("y");
  model.out = names.short_text("out");
}

std::vector<Input> inputs_of(const JsonObject& card) {
  std::vector<Input> inputs;
  const JsonObject all = card.object("inputs");
  for (const auto& [name, facts] : all.all().items()) {
    const JsonObject one = all.object(facts, "each of the inputs");
    one.check_keys(INPUT_KEYS);
    inputs.push_back(input_of(one, name));
  }
  return inputs;
}

// Letters, digits, and a few other characters. Those beyond ASCII are not told apart.
bool is_file_name(const std::string& name) {
  const auto is_allowed = [](unsigned char byte) {
    return byte >= 0x80 || std::isalnum(byte) != 0 ||
           std::string_view("_ .+-").find(static_cast<char>(byte)) != std::string_view::npos;
  };
  return !name.empty() && characters_of(name) <= MAX_FILE_NAME_CHARACTERS &&
         std::all_of(name.begin(), name.end(), is_allowed);
}

std::optional<Latents> latents_of(const JsonObject& card) {
  const JsonObject space = card.object("space");
  if (!space.has("kind")) space.fail("missing key 'space.kind'");
  const bool is_latent = space.word("kind", SPACES) == SPACES[1];
  const JsonObject::Keys pixels = PIXELS_KEYS, latent = LATENTS_KEYS;
  space.check_keys(is_latent ? latent : pixels);
  if (!is_latent) return std::nullopt;
  Latents latents = {space.number("scale"), space.number("shift"), ""};
  if (latents.scale == 0) space.fail("scale must be a number other than 0");
  if (!space.is_null("decoder")) {
    latents.decoder = space.text("decoder");
    if (!is_file_name(latents.decoder))
      space.fail("decoder must be a file name without folders, or null");
  }
  return latents;
}

// Where the model comes from: nothing depends on it, but a card without it is not complete.
void check_provenance(const JsonObject& card) {
  const JsonObject provenance = card.object("provenance", PROVENANCE_KEYS);
  provenance.short_text("source");
  provenance.short_text("weights_sha256");
  const JsonObject versions = provenance.object("versions"), parity = provenance.object("parity");
  for (const JsonObject* entries : {&versions, &parity}) {
    if (entries->all().size() > MAX_CARD_ENTRIES)
      card.fail("versions and parity must have at most " + std::to_string(MAX_CARD_ENTRIES) +
                " keys");
    for (const auto& [key, value] : entries->all().items()) {
      if (characters_of(key) > MAX_NAME_CHARACTERS || key.find('\0') != key.npos)
        card.fail("a key of provenance is too long, or has a NUL character");
      entries == &versions ? void(entries->short_text(key.c_str()))
                           : void(entries->number(key.c_str()));
    }
  }
}

}  // namespace

bool Card::is_picture() const {
  const Sides& shape = model.shape;
  return shape.size() == 3 && (shape[0] == 1 || shape[0] == 3) && !latents;
}

Card read_card(std::string_view text, const std::string& source) {
  const JsonObject card(text, source + ": the model card", REMEDY, {KEYS_1, KEYS_2});
  Card found = {card.format(), {}, process_of(card), "", std::nullopt, sha256(text)};
  Model& model = found.model;
  model.shape = card.format() == 1 ? card.shape("image_shape", 3, 3) : card.shape("shape", 1, 4);
  const auto variance = card.word("variance", VARIANCES);
  model.output_channels = model.shape[0] * (variance.starts_with("learned") ? 2 : 1);
  model.classes = card.integer_or_null("classes", 1, MAX_CLASSES);
  model.null_class = card.integer_or_null("null_class", 0, model.classes - 1);
  read_names(model, card);
  found.prediction = card.word("prediction", predictions_of(found.process));
  card.word("spacing", spacings_of(card, found.process));
  if (found.process.kind != Process::Kind::BETAS && variance != VARIANCES[0])
    card.fail("variance must be fixed_small with a process of sigma or a flow");
  if (found.prediction == "edm" && !found.process.sigma_data)
    card.fail("prediction edm needs sigma_data, the deviation of the data");
  card.range_or_null("clip");
  card.short_text("precision");
  check_provenance(card);
  if (card.format() == 1) return found;
  set_inputs(model, inputs_of(card), card);
  found.latents = latents_of(card);
  return found;
}

}  // namespace ddpm_rt
