#include "arguments.hpp"

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>

#include "limits.hpp"

const char* const USAGE =
    "Usage: ddpm-rt-cpp [OPTIONS] MODEL [STEPS]\n"
    "Draw images with MODEL, an .onnx file of `ddpm-rt export` or a .plan of `ddpm-rt build`,\n"
    "and STEPS, a file of `ddpm-rt steps`, or else with the fitted table in MODEL.\n\n"
    "  --engine FILE   MODEL, as `ddpm-rt sample` names it\n"
    "  --steps-file F  STEPS, as `ddpm-rt sample` names it\n"
    "  --seed N        seed                                             [0]\n"
    "  --first N       number of the first sample of the seed           [0]\n"
    "  --count N       number of samples    [16, or as many as the .npy to start from holds]\n"
    "  --shard I/N     draw part I of N of these samples, from 0: whole batches, side by side\n"
    "  --batch N       images per call of the network                   [16]\n"
    "  --label N,N,... class of the images; several are cycled through\n"
    "                  [every class in turn, if the model has a null class]\n"
    "  --guidance W    above 1: follow the label more                   [1]\n"
    "  --input NAME=VALUE\n"
    "                  a named input of the model: a number, an .npy of one entry or many\n"
    "                  (sample n takes entry n modulo their count), or a picture\n"
    "  --null-input NAME=VALUE\n"
    "                  with --guidance: the value that stands for no condition\n"
    "  --resize        resize pictures of --input to the model's size\n"
    "  --init-image F  start from this picture, or from an .npy of images in [-1, 1]\n"
    "  --strength S    share of the steps to run from the image         [0.5; 1 with a mask]\n"
    "  --mask FILE     redraw where this picture is white, keep --init-image where it is\n"
    "                  black; or an .npy, [H, W], where 0 is kept\n"
    "  --resample N    passes per step with a mask, which blend the edges  [1]\n"
    "  --init-noise F  start from this noise, an .npy\n"
    "  --provider P    auto, cpu, cuda or tensorrt                      [auto]\n"
    "  --device N      number of the GPU                                [0]\n"
    "  --streams N     of a plan: batches to draw at the same time      [1]\n"
    "  --mode M        of a plan: replay, chunks, while or stream       [replay]\n"
    "  --stream-steps  of a plan: the same as --mode stream\n"
    "  --threads N     CPU threads                  [all that this process may use]\n"
    "  -o, --out PATH  x.png: a grid. x.npy: float32 numbers. DIR/: one file per sample, which\n"
    "                  the same command resumes                         [samples.png]\n"
    "  --scale N       enlarge pictures: each pixel becomes N x N        [1]\n"
    "  --quiet         print no progress\n"
    "  --version       print the version and the providers\n"
    "  -h, --help      print this text\n"
    "Pictures that are read are PNG or JPEG files.\n";

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

// A whole number from `least` to `most`.
std::uint64_t within(const std::string& option, const std::string& word, std::uint64_t least,
                     std::uint64_t most) {
  const auto value = number<std::uint64_t>(option, word);
  if (value < least || value > most)
    throw UsageError(option + " must be from " + std::to_string(least) + " to " +
                     std::to_string(most) + ", not " + word);
  return value;
}

double strength(const std::string& word) {
  const auto value = number<double>("--strength", word);
  if (!(value > 0 && value <= 1)) throw UsageError("--strength must lie in (0, 1]");
  return value;
}

void add_labels(std::vector<std::int64_t>& labels, const std::string& word) {
  for (std::size_t start = 0; start <= word.size();) {
    const std::size_t comma = std::min(word.find(',', start), word.size());
    labels.push_back(number<std::int64_t>("--label", word.substr(start, comma - start)));
    start = comma + 1;
  }
}

// A path without the slashes at its end.
std::string without_end(const std::string& path) {
  const std::size_t last = path.find_last_not_of('/');
  return last == path.npos ? path : path.substr(0, last + 1);
}

using Take = std::function<void(Arguments&, const std::string&)>;

const std::map<std::string, Take>& options() {
  static const std::map<std::string, Take> known = {
      {"--steps-file", [](auto& all, auto& word) { all.steps = word; }},
      {"--engine", [](auto& all, auto& word) { all.model = word; }},
      {"--seed", [](auto& all, auto& word) { all.seed = number<std::uint64_t>("--seed", word); }},
      {"--first",
       [](auto& all, auto& word) { all.first = number<std::uint64_t>("--first", word); }},
      {"--count",
       [](auto& all, auto& word) { all.count = within("--count", word, 1, ddpm_rt::MAX_COUNT); }},
      {"--shard", [](auto& all, auto& word) { all.shard = shard_of(word); }},
      {"--batch",
       [](auto& all, auto& word) { all.batch = within("--batch", word, 1, ddpm_rt::MAX_BATCH); }},
      {"--label", [](auto& all, auto& word) { add_labels(all.labels, word); }},
      {"--guidance",
       [](auto& all, auto& word) { all.guidance = number<double>("--guidance", word); }},
      {"--input",
       [](auto& all, auto& word) { all.inputs.push_back(named_value("--input", word)); }},
      {"--null-input",
       [](auto& all, auto& word) { all.null_inputs.push_back(named_value("--null-input", word)); }},
      {"--init-image", [](auto& all, auto& word) { all.init_image = word; }},
      {"--strength", [](auto& all, auto& word) { all.strength = strength(word); }},
      {"--mask", [](auto& all, auto& word) { all.mask = word; }},
      {"--resample",
       [](auto& all, auto& word) {
         all.resample = within("--resample", word, 1, ddpm_rt::MAX_RESAMPLE);
       }},
      {"--init-noise", [](auto& all, auto& word) { all.init_noise = word; }},
      {"--provider", [](auto& all, auto& word) { all.open.provider = provider(word); }},
      {"--device",
       [](auto& all, auto& word) {
         all.open.device = static_cast<int>(within("--device", word, 0, ddpm_rt::MAX_GPUS - 1));
       }},
      {"--streams",
       [](auto& all, auto& word) {
         all.open.streams = static_cast<int>(within("--streams", word, 1, ddpm_rt::MAX_STREAMS));
       }},
      {"--mode", [](auto& all, auto& word) { all.open.mode = mode(word); }},
      {"--threads",
       [](auto& all, auto& word) {
         all.open.threads = static_cast<int>(within("--threads", word, 1, ddpm_rt::MAX_THREADS));
       }},
      {"--scale",
       [](auto& all, auto& word) { all.scale = within("--scale", word, 1, ddpm_rt::MAX_SCALE); }},
      {"--out", [](auto& all, auto& word) { all.out = without_end(word); }},
      {"-o", [](auto& all, auto& word) { all.out = without_end(word); }},
  };
  return known;
}

const std::map<std::string, bool Arguments::*>& flags() {
  static const std::map<std::string, bool Arguments::*> known = {
      {"--resize", &Arguments::resize}, {"--stream-steps", &Arguments::stream_steps},
      {"--quiet", &Arguments::quiet},   {"--version", &Arguments::version},
      {"--help", &Arguments::help},     {"-h", &Arguments::help},
  };
  return known;
}

// Takes the option at words[i], with its value: --option VALUE or --option=VALUE. Returns the place
// of the next word.
std::size_t take_option(Arguments& all, const std::vector<std::string>& words, std::size_t i) {
  const std::string& word = words[i];
  if (const auto flag = flags().find(word); flag != flags().end()) {
    all.*flag->second = true;
    return i + 1;
  }
  const std::size_t equals = word.starts_with("--") ? word.find('=') : word.npos;
  const auto known = options().find(word.substr(0, equals));
  if (known == options().end()) throw UsageError("unknown option " + word);
  if (equals != word.npos) {
    known->second(all, word.substr(equals + 1));
    return i + 1;
  }
  if (i + 1 == words.size()) throw UsageError(word + " needs a value");
  known->second(all, words[i + 1]);
  return i + 2;
}

// The model and the steps file without an option.
void take_files(Arguments& all, const std::vector<std::string>& files) {
  if (!all.model.empty() && !files.empty())
    throw UsageError(files[0] + " and --engine " + all.model +
                     " name two models; leave out one, and name steps with --steps-file");
  if (files.size() > 2 || (files.empty() && all.model.empty()))
    throw UsageError("name one model, and at most one steps file");
  if (files.size() == 2 && all.steps) throw UsageError("name one steps file, not two");
  if (!files.empty()) all.model = files[0];
  if (files.size() == 2) all.steps = files[1];
}

}  // namespace

Arguments parse_arguments(const std::vector<std::string>& words) {
  Arguments all;
  std::vector<std::string> files;
  for (std::size_t i = 0; i < words.size();) {
    if (!words[i].starts_with("-")) {
      files.push_back(words[i++]);
      continue;
    }
    i = take_option(all, words, i);
    if (all.help || all.version) return all;
  }
  take_files(all, files);
  if (!all.null_inputs.empty() && all.guidance == 1.0)
    throw UsageError("--null-input is for guidance; give a --guidance other than 1");
  return all;
}
