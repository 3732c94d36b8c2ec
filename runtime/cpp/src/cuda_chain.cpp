#include "cuda_chain.hpp"

#include <algorithm>
#include <string>

#include "error.hpp"

namespace ddpm_rt::cuda {

Chain::Chain(const Gpu& gpu, DeviceEngine& engine, const Kernels& kernels, const Steps& steps,
             const Layout& layout)
    : driver_(gpu.driver()),
      kernels_(kernels),
      steps_(steps),
      layout_(layout),
      stream_(gpu.stream()),
      done_(gpu.event(NO_TIMING)),
      marks_{gpu.event(NO_TIMING | SLEEP), gpu.event(NO_TIMING | SLEEP),
             gpu.event(NO_TIMING | SLEEP)},
      call_(engine.prepare(layout.images, stream_.get())),
      parts_(parts_of(engine, layout, steps, call_->scratch_bytes())),
      begin_(allocated(parts_.all)),
      arguments_(engine, layout, parts_, begin_),
      lanes_(driver_, layout.lanes),
      graph_(nullptr, driver_.destroy_exec),
      idle_{driver_, stream_.get()} {
  if (parts_.has_y) labels_.emplace(driver_, layout.images);
  if (layout.frames)
    for (auto& frame : frames_) frame.emplace(driver_, layout.lanes * steps.model.image());
  warm_up();
  if (engine.capturable()) capture();
}

DeviceBuffers Chain::buffers() const {
  return {begin_ + parts_.x, begin_ + parts_.t, parts_.has_y ? begin_ + parts_.y : 0,
          begin_ + parts_.out, begin_ + parts_.scratch};
}

// The first call of an engine may allocate, which no graph allows.
void Chain::warm_up() {
  const auto rows = rows_of(steps_);
  check(driver_.fill(begin_, 0, parts_.all, stream_.get()));
  check(driver_.copy_in(begin_ + parts_.rows, rows.data(), rows.size() * sizeof(ddpm_rt_row),
                        stream_.get()));
  call_->bind(buffers());
  call_->enqueue(stream_.get());
  launch(kernels_.begin());  // of lanes that are all zero, and done: it loads the kernels
  launch(kernels_.step());
  check(driver_.record(done_.get(), stream_.get()));
  check(driver_.synchronize(stream_.get()));
}

// An engine that turns out not to be capturable is launched step by step.
void Chain::capture() {
  check(driver_.begin_capture(stream_.get(), THREAD_LOCAL));
  bool taken = true;
  try {
    call_->enqueue(stream_.get());
    launch(kernels_.step());
  } catch (const std::exception&) {
    taken = false;
  }
  Graph captured = nullptr;
  taken = driver_.end_capture(stream_.get(), &captured) == SUCCESS && taken;
  const Owned<Graph> graph(captured, driver_.destroy_graph);
  if (!taken) return;
  GraphExec exec = nullptr;
  check(driver_.instantiate(&exec, graph.get(), 0));
  graph_.reset(exec);
  check(driver_.upload(exec, stream_.get()));
  check(driver_.synchronize(stream_.get()));
}

void Chain::launch(Function kernel) {
  const std::size_t quads = (steps_.model.image() + 3) / 4;
  const auto blocks = static_cast<unsigned>((quads + THREADS - 1) / THREADS);
  check(driver_.launch(kernel, blocks, static_cast<unsigned>(layout_.lanes), 1, THREADS, 1, 1, 0,
                       stream_.get(), arguments_.pointers(), nullptr));
}

void Chain::begin(const Samples& samples, const Labels& labels) {
  samples_ = samples;
  for (std::size_t lane = 0; lane < samples.count; ++lane)
    lanes_.data()[lane] = lane_of(samples, lane, steps_.rows.size(), labels.guidance);
  check(driver_.copy_in(begin_ + parts_.lanes, lanes_.data(), lanes_.bytes(), stream_.get()));
  if (labels_) {
    std::fill_n(labels_->data(), layout_.images, 0);
    std::copy(labels.of_samples.begin(), labels.of_samples.end(), labels_->data());
    if (layout_.guided)
      std::fill_n(labels_->data() + layout_.lanes, layout_.lanes, steps_.model.null_class);
    check(driver_.copy_in(begin_ + parts_.y, labels_->data(), labels_->bytes(), stream_.get()));
  }
  launch(kernels_.begin());
}

void Chain::queue_step() {
  if (graph_) return check(driver_.launch_graph(graph_.get(), stream_.get()));
  call_->enqueue(stream_.get());
  launch(kernels_.step());
}

void Chain::queue_mark(std::size_t number) {
  if (layout_.frames)
    check(driver_.copy_out(frames_[number]->data(), begin_ + parts_.x0, image_bytes(),
                           stream_.get()));
  check(driver_.record(marks_[number].get(), stream_.get()));
}

void Chain::wait_mark(std::size_t number) {
  check(driver_.synchronize_event(marks_[number].get()));
}

void Chain::queue_images() {
  if (!images_) images_.emplace(driver_, layout_.lanes * steps_.model.image());
  check(driver_.copy_out(images_->data(), begin_ + parts_.x, image_bytes(), stream_.get()));
  queue_verdict();
}

void Chain::queue_images_to(Address to, Event after, Stream stream) {
  check(driver_.wait_event(stream_.get(), after, 0));
  check(driver_.copy(to, begin_ + parts_.x, image_bytes(), stream_.get()));
  queue_verdict();
  check(driver_.wait_event(stream, done_.get(), 0));
}

void Chain::queue_verdict() {
  check(driver_.copy_out(lanes_.data(), begin_ + parts_.lanes, lanes_.bytes(), stream_.get()));
  check(driver_.record(done_.get(), stream_.get()));
}

void Chain::wait() {
  check(driver_.synchronize_event(done_.get()));
  ddpm_rt_u32 row = DDPM_RT_FINITE;
  for (std::size_t lane = 0; lane < samples_.count; ++lane)
    row = std::min(row, lanes_.data()[lane].not_finite);
  if (row != DDPM_RT_FINITE)
    throw Failure(DDPM_RT_NOT_FINITE,
                  "the network's output is not finite at step " + std::to_string(row) +
                      ", t = " + std::to_string(steps_.rows[row].t) + "; check the model");
}

}  // namespace ddpm_rt::cuda
