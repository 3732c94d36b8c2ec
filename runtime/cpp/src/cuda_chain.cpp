#include "cuda_chain.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "error.hpp"
#include "finite.hpp"

namespace ddpm_rt::cuda {

Chain::Chain(const Gpu& gpu, DeviceEngine& engine, const Kernels& kernels, const StepsFile& steps,
             const Layout& layout, ddpm_rt_mode mode)
    : driver_(gpu.driver()),
      kernels_(kernels),
      steps_(steps),
      layout_(layout),
      stream_(gpu.stream()),
      aside_(mode == DDPM_RT_WHILE ? gpu.stream() : Owned<Stream>(nullptr, driver_.destroy_stream)),
      done_(gpu.event(NO_TIMING)),
      marks_{gpu.event(NO_TIMING | SLEEP), gpu.event(NO_TIMING | SLEEP),
             gpu.event(NO_TIMING | SLEEP)},
      call_(engine.prepare(layout.images, stream_.get())),
      parts_(parts_of(engine, layout, steps, call_->scratch_bytes())),
      begin_(allocated(parts_.all)),
      arguments_(engine, layout, parts_, begin_),
      lanes_(driver_, layout.lanes),
      wait_at_end_{driver_, stream_.get(), aside_.get()} {
  if (parts_.has_y) labels_.emplace(driver_, layout.images);
  for (const Input& input : steps.model.inputs)
    inputs_.push_back(input.is_previous ? nullptr
                                        : std::make_unique<PinnedMemory<std::byte>>(
                                              driver_, layout.images * input.bytes()));
  if (layout.frames)
    for (auto& frame : frames_) frame.emplace(driver_, layout.lanes * steps.model.image());
  warm_up();
  launcher_.emplace(gpu, kernels, stream_.get(), mode, arguments_.condition(),
                    [this](Function kernel) {
                      call_->enqueue(stream_.get());
                      launch(kernel);
                    });
}

DeviceBuffers Chain::buffers() const {
  DeviceBuffers buffers = {
      begin_ + parts_.x,   begin_ + parts_.t,       parts_.has_y ? begin_ + parts_.y : 0,
      begin_ + parts_.out, begin_ + parts_.scratch, {}};
  for (const std::size_t part : parts_.inputs) buffers.inputs.push_back(begin_ + part);
  return buffers;
}

// The first call of an engine may allocate memory, which is not allowed during a capture.
void Chain::warm_up() {
  check(driver_.fill(begin_, 0, parts_.all, stream_.get()));
  copy_rows(nullptr);
  call_->bind(buffers());
  call_->enqueue(stream_.get());
  launch(kernels_.begin());  // all lanes are zero, so they are done; this loads the kernels
  launch(kernels_.step());
  check(driver_.record(done_.get(), stream_.get()));
  check(driver_.synchronize(stream_.get()));
}

void Chain::launch(Function kernel) {
  const std::size_t quads = (steps_.model.image() + 3) / 4;
  const auto blocks = static_cast<unsigned>((quads + THREADS - 1) / THREADS);
  check(driver_.launch(kernel, blocks, static_cast<unsigned>(layout_.lanes), 1, THREADS, 1, 1, 0,
                       stream_.get(), arguments_.pointers(), nullptr));
}

void Chain::begin(const Samples& samples, const Conditions& conditions, const Edit* edit) {
  samples_ = samples;
  copy_rows(edit);
  for (std::size_t number = 0; number < samples.count; ++number) {
    ddpm_rt_lane& lane = lanes_.data()[number];
    lane = lane_of(samples, number, steps_, conditions.guidance);
    if (edit != nullptr) lane.row = static_cast<ddpm_rt_u32>(edit->first_row());
  }
  check(driver_.copy_in(begin_ + parts_.lanes, lanes_.data(), lanes_.bytes(), stream_.get()));
  if (labels_) copy_labels(conditions.classes);
  copy_inputs(conditions);
  if (edit != nullptr) copy_start(*edit);
  launch(edit == nullptr ? kernels_.begin() : kernels_.resume());
  if (!aside_) return;
  check(driver_.record(done_.get(), stream_.get()));  // row() must not see the previous run
  check(driver_.wait_event(aside_.get(), done_.get(), 0));
}

// The first row of an edit takes its own x0 for the previous one.
void Chain::copy_rows(const Edit* edit) {
  auto rows = rows_of(steps_);
  if (edit != nullptr && edit->without_history()) {
    const std::size_t first = edit->first_row();
    rows[first].mean_from_x0 = steps_.rows[first].mean_from_both_x0;
    rows[first].mean_from_prev_x0 = 0;
  }
  const std::size_t bytes = rows.size() * sizeof(ddpm_rt_row);
  if (rows.size() == rows_.size() && std::memcmp(rows.data(), rows_.data(), bytes) == 0) return;
  rows_ = std::move(rows);
  check(driver_.copy_in(begin_ + parts_.rows, rows_.data(), bytes, stream_.get()));
}

void Chain::copy_start(const Edit& edit) {
  const std::size_t size = steps_.model.image();
  if (!images_) images_.emplace(driver_, layout_.lanes * size);
  for (std::size_t lane = 0; lane < samples_.count; ++lane)
    normals(samples_.seed, samples_.first + lane, DDPM_RT_INITIAL_STEP, size,
            images_->data() + lane * size);
  edit.start(samples_, images_->data());
  check(driver_.copy_in(begin_ + parts_.x, images_->data(), image_bytes(), stream_.get()));
}

// Images beyond the samples get 0. With guidance, the second half is that of no condition.
void Chain::copy_labels(const std::vector<std::int64_t>& classes) {
  std::fill_n(labels_->data(), layout_.images, 0);
  std::copy(classes.begin(), classes.end(), labels_->data());
  if (layout_.guided && steps_.model.null_class >= 0)
    std::fill_n(labels_->data() + layout_.lanes, layout_.lanes, steps_.model.null_class);
  else if (layout_.guided)
    std::copy(classes.begin(), classes.end(), labels_->data() + layout_.lanes);
  check(driver_.copy_in(begin_ + parts_.y, labels_->data(), labels_->bytes(), stream_.get()));
}

void Chain::copy_inputs(const Conditions& conditions) {
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    if (!inputs_[i]) continue;
    const auto& values = conditions.inputs[i];
    const bool has_null = layout_.guided && !conditions.null_inputs[i].empty();
    const auto& null = has_null ? conditions.null_inputs[i] : values;
    std::byte* const to = inputs_[i]->data();
    std::fill_n(to, inputs_[i]->bytes(), std::byte{0});
    std::copy(values.begin(), values.end(), to);
    if (layout_.guided)
      std::copy(null.begin(), null.end(), to + layout_.lanes * steps_.model.inputs[i].bytes());
    check(driver_.copy_in(begin_ + parts_.inputs[i], to, inputs_[i]->bytes(), stream_.get()));
  }
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

bool Chain::has_reached(std::size_t number) const {
  const int result = driver_.query_event(marks_[number].get());
  if (result != NOT_READY) check(result);
  return result == SUCCESS;
}

// That of the first lane: they all have the same rows.
std::size_t Chain::row() const {
  ddpm_rt_u32 row = 0;
  const Address from = begin_ + parts_.lanes + offsetof(ddpm_rt_lane, row);
  check(driver_.copy_out(&row, from, sizeof row, aside_.get()));
  check(driver_.synchronize(aside_.get()));
  return row;
}

void Chain::stop() const {
  if (!aside_) return;
  driver_.fill(begin_ + parts_.stop(), 1, sizeof(ddpm_rt_u32), aside_.get());
  driver_.synchronize(aside_.get());
}

void Chain::queue_images() {
  if (!images_) images_.emplace(driver_, layout_.lanes * steps_.model.image());
  check(driver_.copy_out(images_->data(), begin_ + parts_.x, image_bytes(), stream_.get()));
  queue_lanes();
}

void Chain::queue_images_to(Address to, Event after, Stream stream) {
  check(driver_.wait_event(stream_.get(), after, 0));
  check(driver_.copy(to, begin_ + parts_.x, image_bytes(), stream_.get()));
  queue_lanes();
  check(driver_.wait_event(stream, done_.get(), 0));
}

void Chain::queue_lanes() {
  check(driver_.copy_out(lanes_.data(), begin_ + parts_.lanes, lanes_.bytes(), stream_.get()));
  check(driver_.record(done_.get(), stream_.get()));
}

void Chain::wait() {
  check(driver_.synchronize_event(done_.get()));
  const ddpm_rt_lane* const lanes = lanes_.data();
  const auto* const worst =
      std::min_element(lanes, lanes + samples_.count,
                       [](const auto& a, const auto& b) { return a.not_finite < b.not_finite; });
  const ddpm_rt_u32 row = worst->not_finite;
  if (row == DDPM_RT_FINITE) return;
  if (row < steps_.rows.size()) output_not_finite(row, steps_.rows[row].t, worst->sample);
  image_not_finite(worst->sample);
}

void Chain::check_images() const {
  check_images_finite(images_->data(), steps_.model.image(), samples_.first, samples_.count);
}

}  // namespace ddpm_rt::cuda
