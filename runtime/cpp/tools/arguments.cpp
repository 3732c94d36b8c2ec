#include "arguments.hpp"

#include <charconv>
#include <cmath>
#include <functional>
#include <map>

const char* const USAGE =
    "Usage: ddpm-rt-cpp [OPTIONS] MODEL [STEPS]\n"
    "Draw images with MODEL, an .onnx file of `ddpm-rt export` or a .plan of `ddpm-rt build`,\n"
    "and STEPS, a file of `ddpm-rt steps`, or else with the fitted table in MODEL.\n\n"
    "  --steps-file F  STEPS, as `ddpm-rt sample` names it\n"
    "  --seed N        seed                                             [0]\n"
    "  --first N       number of the first sample of the seed           [0]\n"
    "  --count N       number of samples    [16, or as many as the .npy to start from holds]\n"
    "  --batch N       images per call of the network                   [16]\n"
    "  --label N       class of the images; repeat to cycle through several\n"
    "                  [every class in turn, if the model has a null class]\n"
    "  --guidance W    above 1: follow the label more                   [1]\n"
    "  --input NAME=VALUE\n"
    "                  a named input of the model: a number, or an .npy of one entry or\n"
    "                  many (sample n takes entry n modulo their count)\n"
    "  --null-input NAME=VALUE\n"
    "                  with --guidance: the value that stands for no condition\n"
    "  --init-image F  start from images, an .npy in [-1, 1]\n"
    "  --strength S    share of the steps to run from the image         [0.5; 1 with a mask]\n"
    "  --mask FILE     keep the pixels of --init-image that are 0 in this .npy, [H, W]\n"
    "  --resample N    passes per step with a mask, which blend the edges  [1]\n"
    "  --init-noise F  start from this noise, an .npy\n"
    "  --provider P    auto, cpu, cuda or tensorrt                      [auto]\n"
    "  --device N      number of the GPU                                [0]\n"
    "  --streams N     of a plan: batches to draw at the same time      [1]\n"
    "  --mode M        of a plan: replay, chunks, while or stream       [replay]\n"
    "  --threads N     CPU threads                  [all that this process may use]\n"
    "  -o, --out FILE  .png (a grid) or .npy (float32)                  [samples.png]\n"
    "  --quiet         print no progress\n"
    "  --version       print the version and the providers\n"
    "  -h, --help      print this text\n";

namespace {

template <class Number>
Number number(const std::string& option, const std::string& word) {
  Number value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size())
    throw UsageError(option + " must be a number in its range, not '" + word + "'");
  return value;
}

ddpm_rt_provider provider(const std::string& word) {
  static const std::map<std::string, ddpm_rt_provider> known = {{"auto", DDPM_RT_AUTO},
                                                                {"cpu", DDPM_RT_CPU},
                                                                {"cuda", DDPM_RT_CUDA},
                                                                {"tensorrt", DDPM_RT_TENSORRT}};
  const auto found = known.find(word);
  if (found == known.end())
    throw UsageError("--provider must be auto, cpu, cuda or tensorrt, not '" + word + "'");
  return found->second;
}

ddpm_rt_mode mode(const std::string& word) {
  static const std::map<std::string, ddpm_rt_mode> known = {{"replay", DDPM_RT_REPLAY},
                                                            {"chunks", DDPM_RT_CHUNKS},
                                                            {"while", DDPM_RT_WHILE},
                                                            {"stream", DDPM_RT_STREAM}};
  const auto found = known.find(word);
  if (found == known.end())
    throw UsageError("--mode must be replay, chunks, while or stream, not '" + word + "'");
  return found->second;
}

double strength(const std::string& word) {
  const auto value = number<double>("--strength", word);
  if (!(value > 0 && value <= 1)) throw UsageError("--strength must lie in (0, 1]");
  return value;
}

std::uint64_t resample(const std::string& word) {
  const auto value = number<std::uint64_t>("--resample", word);
  if (value == 0) throw UsageError("--resample must be at least 1");
  return value;
}

using Take = std::function<void(Arguments&, const std::string&)>;

const std::map<std::string, Take>& options() {
  static const std::map<std::string, Take> known = {
      {"--steps-file", [](auto& all, auto& word) { all.steps = word; }},
      {"--seed", [](auto& all, auto& word) { all.seed = number<std::uint64_t>("--seed", word); }},
      {"--first",
       [](auto& all, auto& word) { all.first = number<std::uint64_t>("--first", word); }},
      {"--count",
       [](auto& all, auto& word) { all.count = number<std::uint64_t>("--count", word); }},
      {"--batch",
       [](auto& all, auto& word) { all.batch = number<std::uint64_t>("--batch", word); }},
      {"--label",
       [](auto& all, auto& word) { all.labels.push_back(number<std::int64_t>("--label", word)); }},
      {"--guidance",
       [](auto& all, auto& word) { all.guidance = number<double>("--guidance", word); }},
      {"--input",
       [](auto& all, auto& word) { all.inputs.push_back(named_value("--input", word)); }},
      {"--null-input",
       [](auto& all, auto& word) { all.null_inputs.push_back(named_value("--null-input", word)); }},
      {"--init-image", [](auto& all, auto& word) { all.init_image = word; }},
      {"--strength", [](auto& all, auto& word) { all.strength = strength(word); }},
      {"--mask", [](auto& all, auto& word) { all.mask = word; }},
      {"--resample", [](auto& all, auto& word) { all.resample = resample(word); }},
      {"--init-noise", [](auto& all, auto& word) { all.init_noise = word; }},
      {"--provider", [](auto& all, auto& word) { all.open.provider = provider(word); }},
      {"--device", [](auto& all, auto& word) { all.open.device = number<int>("--device", word); }},
      {"--streams",
       [](auto& all, auto& word) { all.open.streams = number<int>("--streams", word); }},
      {"--mode", [](auto& all, auto& word) { all.open.mode = mode(word); }},
      {"--threads",
       [](auto& all, auto& word) { all.open.threads = number<int>("--threads", word); }},
      {"--out", [](auto& all, auto& word) { all.out = word; }},
      {"-o", [](auto& all, auto& word) { all.out = word; }},
  };
  return known;
}

}  // namespace

Arguments parse_arguments(const std::vector<std::string>& words) {
  Arguments all;
  std::vector<std::string> files;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto known = options().find(words[i]);
    all.help = words[i] == "--help" || words[i] == "-h";
    all.version = words[i] == "--version";
    if (all.help || all.version) return all;
    if (words[i] == "--quiet") {
      all.quiet = true;
    } else if (known != options().end()) {
      if (i + 1 == words.size()) throw UsageError(words[i] + " needs a value");
      known->second(all, words[i + 1]);
      ++i;
    } else if (words[i].starts_with("-")) {
      throw UsageError("unknown option " + words[i]);
    } else {
      files.push_back(words[i]);
    }
  }
  if (files.size() == 2 && all.steps) throw UsageError("name one steps file, not two");
  if (files.empty() || files.size() > 2)
    throw UsageError("name one model, and at most one steps file");
  if (!all.out.ends_with(".png") && !all.out.ends_with(".npy"))
    throw UsageError("--out must end in .png or .npy");
  if (!all.null_inputs.empty() && all.guidance == 1.0)
    throw UsageError("--null-input is for guidance; give a --guidance other than 1");
  all.model = files[0];
  if (files.size() == 2) all.steps = files[1];
  return all;
}
