#include "cuda_graphs.hpp"

#include <exception>
#include <utility>

#include "error.hpp"

namespace ddpm_rt::cuda {

Launcher::Launcher(const Gpu& gpu, const Kernels& kernels, Stream stream, ddpm_rt_mode mode,
                   std::uint64_t& condition, Step step)
    : driver_(gpu.driver()),
      kernels_(kernels),
      stream_(stream),
      is_loop_(mode == DDPM_RT_WHILE),
      step_(std::move(step)),
      one_(nullptr, driver_.destroy_exec),
      many_(nullptr, driver_.destroy_exec) {
  if (is_loop_)
    capture_loop(condition);
  else if (mode != DDPM_RT_STREAM)
    one_ = graph_of(1);
  if (mode == DDPM_RT_CHUNKS && one_) many_ = graph_of(CHUNK);
}

// Captures steps into *graph, or into a new one if that is NULL. Returns whether this worked.
bool Launcher::capture(Graph* graph, std::size_t steps, Function kernel) {
  check(*graph == nullptr
            ? driver_.begin_capture(stream_, THREAD_LOCAL)
            : driver_.begin_capture_to_graph(stream_, *graph, nullptr, nullptr, 0, THREAD_LOCAL));
  bool captured_all = true;
  try {
    for (; steps != 0; --steps) step_(kernel);
  } catch (const std::exception&) {
    captured_all = false;
  }
  return driver_.end_capture(stream_, graph) == SUCCESS && captured_all;
}

// NULL if the network cannot be captured.
Owned<GraphExec> Launcher::graph_of(std::size_t steps) {
  Graph graph = nullptr;
  const bool captured = capture(&graph, steps, kernels_.step());
  const Owned<Graph> owner(graph, driver_.destroy_graph);
  return captured ? ready(graph) : Owned<GraphExec>(nullptr, driver_.destroy_exec);
}

// A graph of one node, which runs its body until the kernel sets the condition to 0.
void Launcher::capture_loop(std::uint64_t& condition) {
  Graph graph = nullptr;
  check(driver_.make_graph(&graph, 0));
  const Owned<Graph> owner(graph, driver_.destroy_graph);
  Context context = nullptr;
  check(driver_.get_current(&context));
  check(driver_.make_condition(&condition, graph, context, 1, SET_AT_LAUNCH));
  NodeParameters parameters = {};
  parameters.type = CONDITIONAL_NODE;
  parameters.conditional = {condition, WHILE_NODE, 1, nullptr, context};
  GraphNode node = nullptr;
  check(driver_.add_node(&node, graph, nullptr, nullptr, 0, &parameters));
  Graph body = parameters.conditional.bodies[0];
  if (!capture(&body, 1, kernels_.step_while()))
    engine_failed("the network cannot be captured into a while graph; choose another mode");
  many_ = ready(graph);
}

Owned<GraphExec> Launcher::ready(Graph graph) {
  GraphExec exec = nullptr;
  check(driver_.instantiate(&exec, graph, 0));
  Owned<GraphExec> owner(exec, driver_.destroy_exec);
  check(driver_.upload(exec, stream_));
  check(driver_.synchronize(stream_));
  return owner;
}

std::size_t Launcher::launch(std::size_t left) {
  if (many_ && (is_loop_ || left >= CHUNK)) {
    check(driver_.launch_graph(many_.get(), stream_));
    return is_loop_ ? left : CHUNK;
  }
  if (one_)
    check(driver_.launch_graph(one_.get(), stream_));
  else
    step_(kernels_.step());
  return 1;
}

}  // namespace ddpm_rt::cuda
