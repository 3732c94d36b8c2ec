// bench_loop MODEL STEPS BATCH ROUNDS: the overhead of the loop on the host. Prints a line per
// round: milliseconds per step of bare network calls, of the whole chain, and their ratio. The two
// alternate, so that both see the same load of the machine.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "engine.hpp"
#include "host_loop.hpp"
#include "steps_file.hpp"

namespace {

using namespace ddpm_rt;

double milliseconds(const auto& work) {
  const auto before = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - before)
      .count();
}

// The network alone, on prepared inputs, with the times of the table.
double bare(Engine& engine, const StepsFile& steps, std::size_t batch) {
  const Model& model = steps.model;
  std::vector<float> x(batch * model.image()), out(batch * model.output());
  for (std::size_t n = 0; n < batch; ++n)
    normals(0, n, 0xFFFFFFFF, model.image(), x.data() + n * model.image());
  std::vector<double> t(batch);
  const auto call = engine.bind({batch, x.data(), t.data(), nullptr, out.data(), {}});
  return milliseconds([&] {
    for (const Row& row : steps.rows) {
      std::fill(t.begin(), t.end(), row.t);
      call->run();
    }
  });
}

double chain(Engine& engine, const StepsFile& steps, std::size_t batch) {
  return milliseconds([&] {
    HostLoop loop(engine, steps, {0, 0, batch}, {});
    loop.start();
    while (loop.row() < steps.rows.size()) loop.step();
  });
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5) return std::fprintf(stderr, "bench_loop MODEL STEPS BATCH ROUNDS\n"), 2;
  const StepsFile steps = read_steps(argv[2]);
  const auto engine = open_engine({.name = argv[1]}, DDPM_RT_OPEN_OPTIONS);
  const auto batch = static_cast<std::size_t>(std::atoi(argv[3]));
  bare(*engine, steps, batch);
  for (int round = 0; round < std::atoi(argv[4]); ++round) {
    const bool first = round % 2 == 0;
    double alone = first ? bare(*engine, steps, batch) : 0;
    const double whole = chain(*engine, steps, batch);
    if (!first) alone = bare(*engine, steps, batch);
    const auto count = static_cast<double>(steps.rows.size());
    std::printf("%.4f %.4f %.5f\n", alone / count, whole / count, whole / alone);
  }
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
