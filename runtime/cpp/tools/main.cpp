// ddpm-rt-cpp: `ddpm-rt sample` without Python.
#include <cstdio>
#include <ddpm_rt.hpp>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "drawing.hpp"
#include "interrupt.hpp"
#include "model_file.hpp"
#include "one_line.hpp"

namespace {

void print_version() {
  std::printf("ddpm-rt-cpp %s\nproviders:", ddpm_rt_version());
  for (const ddpm_rt_provider provider : ddpm_rt::providers())
    std::printf(" %s", ddpm_rt_provider_name(provider));
  std::printf("\n");
}

// Throws before a file that the command reads is replaced.
void check_no_input(const Arguments& asked) {
  std::vector<std::string> read = {asked.model, asked.steps.value_or(""), asked.init_image,
                                   asked.mask, asked.init_noise};
  for (const auto* values : {&asked.inputs, &asked.null_inputs})
    for (const NamedValue& value : *values) read.push_back(value.value);
  for (const std::string& path : read) {
    std::error_code none;
    if (!path.empty() && std::filesystem::equivalent(asked.out, path, none))
      throw UsageError(asked.out + " is an input of the command; choose another --out");
  }
}

void print_result(const Arguments& asked, const Outcome& outcome, const char* sampler) {
  std::fprintf(stderr, "%s%s: %llu images of seed %llu, %.3f s", asked.quiet ? "" : "\r",
               asked.out.c_str(), static_cast<unsigned long long>(outcome.drawn),
               static_cast<unsigned long long>(asked.seed), outcome.seconds);
  if (outcome.engine_seconds > 0)
    std::fprintf(stderr, ", of which the network took %.3f s", outcome.engine_seconds);
  std::fprintf(stderr, " (%s)", sampler);
  if (outcome.skipped > 0)
    std::fprintf(stderr, "; %llu were there already",
                 static_cast<unsigned long long>(outcome.skipped));
  if (outcome.damaged > 0)
    std::fprintf(stderr, "; %llu were damaged and were drawn again",
                 static_cast<unsigned long long>(outcome.damaged));
  std::fprintf(stderr, "\n");
}

ddpm_rt::Sampler opened(const Arguments& asked) {
  ddpm_rt::OpenOptions options = asked.open;
  // As in Python, an .onnx has no CUDA graph to leave out.
  if (asked.stream_steps && is_plan(asked.model)) options.mode = DDPM_RT_STREAM;
  if (asked.steps) return {asked.model, *asked.steps, options};
  return ddpm_rt::Sampler(asked.model, options);
}

void run(const Arguments& asked) {
  check_no_input(asked);
  ddpm_rt::Sampler sampler = opened(asked);
  const Job job = job_of(asked, sampler);
  if (job.samples.count == 0)  // no failure: a job array may have more jobs than there are batches
    std::printf("shard %s has no samples: there are more shards than batches\n",
                text_of(*asked.shard).c_str());
  else
    print_result(asked, draw(asked, sampler, job), job.info.sampler);
}

int fail(const char* message, int code) {
  std::fprintf(stderr, "ddpm-rt-cpp: %s\n", ddpm_rt::one_line(message).c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  record_interrupts();
  try {
    const Arguments asked = parse_arguments({argv + 1, argv + argc});
    if (asked.help) return std::fputs(USAGE, stdout), 0;
    if (asked.version) return print_version(), 0;
    run(asked);
    return 0;
  } catch (const Interrupted& stop) {
    return fail(("interrupted; " + stop.kept).c_str(), 128 + interrupted_by());
  } catch (const UsageError& error) {
    return fail((std::string(error.what()) + "; see ddpm-rt-cpp --help").c_str(), 2);
  } catch (const ddpm_rt::Error& error) {
    return fail(error.what(), error.status() == DDPM_RT_INVALID_ARGUMENT ? 2 : 1);
  } catch (const std::invalid_argument& error) {
    return fail(error.what(), 2);
  } catch (const std::bad_alloc&) {
    return fail("out of memory; draw fewer images", 1);
  } catch (const std::exception& error) {
    return fail(error.what(), 1);
  }
}
