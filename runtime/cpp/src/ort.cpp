// ONNX Runtime; runtime/ddpm_rt/ort.py once more.
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "engine.hpp"
#include "error.hpp"
#include "ort_cuda.hpp"
#include "ort_graph.hpp"

namespace ddpm_rt {
namespace {

template <class T>
Ort::Value over(const T* data, std::size_t size, const Shape& shape) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  return Ort::Value::CreateTensor<T>(memory, const_cast<T*>(data), size, shape.data(),
                                     shape.size());
}

// Tensors over the caller's buffers, or over its own where the graph has a fixed batch and the
// caller another.
class OrtCall final : public Call {
 public:
  OrtCall(Ort::Session& session, const Model& model, const Graph& graph, const Buffers& buffers)
      : session_(session), model_(model), graph_(graph), buffers_(buffers) {
    size_ = graph.fixed_batch < 0 ? buffers.batch : static_cast<std::size_t>(graph.fixed_batch);
    const float* x = buffers.x;
    const std::int64_t* y = buffers.y;
    float* out = buffers.out;
    if (portions()) {
      x_.resize(size_ * model.image());
      out_.resize(size_ * model.output());
      y_.resize(size_);
      x = x_.data(), out = out_.data(), y = y == nullptr ? nullptr : y_.data();
    }
    const auto batch = static_cast<std::int64_t>(size_);
    const Shape image = {batch, model.channels, model.height, model.width};
    const Shape result = {batch, model.output_channels, model.height, model.width};
    names_ = {model.x.c_str(), model.t.c_str()};
    inputs_.push_back(over(x, size_ * model.image(), image));
    inputs_.push_back(time());
    if (y != nullptr) {
      names_.push_back(model.y.c_str());
      inputs_.push_back(over(y, size_, {batch}));
    }
    output_ = over(out, size_ * model.output(), result);
  }

  void run() override {
    if (!portions()) return run_at(0);
    for (std::size_t first = 0; first < buffers_.batch; first += size_) {
      take(first);
      run_at(first);
      const std::size_t whole = std::min(size_, buffers_.batch - first);
      std::copy_n(out_.data(), whole * model_.output(), buffers_.out + first * model_.output());
    }
  }

 private:
  bool portions() const { return size_ != buffers_.batch; }

  Ort::Value time() {
    const std::size_t count = graph_.one_time ? 1 : size_;
    const Shape shape = graph_.one_time ? Shape{} : Shape{static_cast<std::int64_t>(size_)};
    switch (graph_.time_type) {
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
        return sized(t64_, count, shape);
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
        return sized(t32_, count, shape);
      default:
        return sized(tf_, count, shape);
    }
  }

  template <class T>
  static Ort::Value sized(std::vector<T>& times, std::size_t count, const Shape& shape) {
    times.resize(count);
    return over(times.data(), count, shape);
  }

  // The last portion is filled up with copies of the last image.
  std::size_t source(std::size_t first, std::size_t i) const {
    return std::min(first + i, buffers_.batch - 1);
  }

  void take(std::size_t first) {
    for (std::size_t i = 0; i < size_; ++i) {
      const std::size_t from = source(first, i);
      std::copy_n(buffers_.x + from * model_.image(), model_.image(),
                  x_.data() + i * model_.image());
      if (buffers_.y != nullptr) y_[i] = buffers_.y[from];
    }
  }

  void run_at(std::size_t first) {
    for (std::size_t i = 0; i < t64_.size(); ++i) t64_[i] = buffers_.t[source(first, i)];
    for (std::size_t i = 0; i < t32_.size(); ++i)
      t32_[i] = static_cast<std::int32_t>(buffers_.t[source(first, i)]);
    for (std::size_t i = 0; i < tf_.size(); ++i)
      tf_[i] = static_cast<float>(buffers_.t[source(first, i)]);
    const char* output = model_.out.c_str();
    try {
      session_.Run(options_, names_.data(), inputs_.data(), inputs_.size(), &output, &output_, 1);
    } catch (const Ort::Exception& error) {
      throw Failure(DDPM_RT_ENGINE_FAILED, std::string("ONNX Runtime failed: ") + error.what());
    }
  }

  Ort::Session& session_;
  const Model& model_;
  const Graph graph_;
  const Buffers buffers_;
  std::size_t size_;  // images to a call of the graph
  std::vector<float> x_, out_, tf_;
  std::vector<std::int64_t> t64_, y_;
  std::vector<std::int32_t> t32_;
  std::vector<const char*> names_;
  std::vector<Ort::Value> inputs_;
  Ort::Value output_{nullptr};
  Ort::RunOptions options_;
};

class OrtEngine final : public Engine {
 public:
  OrtEngine(const std::string& path, const ddpm_rt_open_options& options)
      : env_(ORT_LOGGING_LEVEL_FATAL, "ddpm_rt"),
        session_(open(env_, path, options)),
        card_(read_card(card_text(path), path)),
        graph_(check_graph(session_, card_.model, path)) {}

  const Card& card() const override { return card_; }

  std::unique_ptr<Call> bind(const Buffers& buffers) override {
    return std::make_unique<OrtCall>(session_, card_.model, graph_, buffers);
  }

 private:
  static Ort::Session open(const Ort::Env& env, const std::string& path,
                           const ddpm_rt_open_options& wanted) {
    Ort::SessionOptions options;
    options.SetLogSeverityLevel(
        ORT_LOGGING_LEVEL_FATAL);  // what it would log is in the exception as well
    if (wanted.threads > 0) options.SetIntraOpNumThreads(wanted.threads);
    if (wanted.provider == DDPM_RT_CUDA) add_cuda(options, wanted.device);
    return Ort::Session(env, std::filesystem::path(path).c_str(), options);
  }

  std::string card_text(const std::string& path) const {
    Ort::AllocatorWithDefaultOptions allocator;
    const auto text =
        session_.GetModelMetadata().LookupCustomMetadataMapAllocated(CARD_KEY, allocator);
    if (!text)
      bad_file(path +
               " has no model card, so its betas are unknown; make it with `ddpm-rt export`");
    return text.get();
  }

  Ort::Env env_;
  Ort::Session session_;
  Card card_;
  Graph graph_;
};

}  // namespace

std::unique_ptr<Engine> open_ort(const std::string& path, const ddpm_rt_open_options& options) {
  std::error_code none;
  if (!std::filesystem::is_regular_file(path, none))
    bad_file(path + " is not a file; name an .onnx that `ddpm-rt export` wrote");
  if (OrtGetApiBase()->GetApi(ORT_API_VERSION) == nullptr)
    throw Failure(DDPM_RT_ENGINE_FAILED,
                  std::string("ONNX Runtime ") + OrtGetApiBase()->GetVersionString() +
                      " is older than the one this was built for; install a newer one");
  try {
    return std::make_unique<OrtEngine>(path, options);
  } catch (const Ort::Exception& error) {
    bad_file(path + " cannot be opened by ONNX Runtime: " + error.what());
  }
}

}  // namespace ddpm_rt
