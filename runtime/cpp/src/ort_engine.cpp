#include "ort_engine.hpp"

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <vector>

#include "driver_library.hpp"
#include "error.hpp"
#include "file.hpp"
#include "limits.hpp"
#include "ort_environment.hpp"
#include "ort_session.hpp"
#include "ort_signature.hpp"

namespace ddpm_rt {
namespace {

template <class T>
Ort::Value tensor_over(const T* data, std::size_t size, const Shape& shape) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  return Ort::Value::CreateTensor<T>(memory, const_cast<T*>(data), size, shape.data(),
                                     shape.size());
}

// The shape of a batch of tensors.
Shape batched(std::size_t batch, const Sides& sides) {
  Shape shape = {static_cast<std::int64_t>(batch)};
  shape.insert(shape.end(), sides.begin(), sides.end());
  return shape;
}

// Tensors over the buffers of the caller. If the graph has a fixed batch of another size, the
// tensors are over buffers of this class, and one run calls the graph several times.
class OrtCall final : public Call {
 public:
  OrtCall(Ort::Session& session, const Model& model, const Signature& signature,
          const Buffers& buffers)
      : session_(session), model_(model), signature_(signature), buffers_(buffers) {
    size_ =
        signature.fixed_batch < 0 ? buffers.batch : static_cast<std::size_t>(signature.fixed_batch);
    const float* x = buffers.x;
    const std::int64_t* y = buffers.y;
    float* out = buffers.out;
    if (has_own_buffers()) {
      x_.resize(size_ * model.image());
      out_.resize(size_ * model.output());
      y_.resize(size_);
      x = x_.data(), out = out_.data(), y = y == nullptr ? nullptr : y_.data();
    }
    names_ = {model.x.c_str(), model.t.c_str()};
    inputs_.push_back(tensor_over(x, size_ * model.image(), batched(size_, model.shape)));
    inputs_.push_back(time_tensor());
    if (y != nullptr) {
      names_.push_back(model.y.c_str());
      inputs_.push_back(tensor_over(y, size_, batched(size_, {})));
    }
    for (std::size_t i = 0; i < model.inputs.size(); ++i) add_named_input(i);
    output_ = tensor_over(out, size_ * model.output(), batched(size_, model.output_shape()));
  }

  void run() override {
    if (!has_own_buffers()) return run_at(0);
    for (std::size_t first = 0; first < buffers_.batch; first += size_) {
      copy_inputs(first);
      run_at(first);
      const std::size_t count = std::min(size_, buffers_.batch - first);
      std::copy_n(out_.data(), count * model_.output(), buffers_.out + first * model_.output());
    }
  }

 private:
  bool has_own_buffers() const { return size_ != buffers_.batch; }

  Ort::Value time_tensor() {
    const std::size_t count = signature_.time_shape ? 1 : size_;
    const Shape shape = signature_.time_shape.value_or(Shape{static_cast<std::int64_t>(size_)});
    switch (signature_.time_type) {
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
        return sized(t64_, count, shape);
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
        return sized(t32_, count, shape);
      default:
        return sized(tf_, count, shape);
    }
  }

  void add_named_input(std::size_t number) {
    const Input& input = model_.inputs[number];
    const std::byte* data = buffers_.inputs[number];
    if (has_own_buffers()) data = named_.emplace_back(size_ * input.bytes()).data();
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const Shape shape = batched(size_, input.shape);
    names_.push_back(input.name.c_str());
    inputs_.push_back(Ort::Value::CreateTensor(memory, const_cast<std::byte*>(data),
                                               size_ * input.bytes(), shape.data(), shape.size(),
                                               type_of(input.type)));
  }

  template <class T>
  static Ort::Value sized(std::vector<T>& times, std::size_t count, const Shape& shape) {
    times.resize(count);
    return tensor_over(times.data(), count, shape);
  }

  // The last call is padded with copies of the last image.
  std::size_t source(std::size_t first, std::size_t i) const {
    return std::min(first + i, buffers_.batch - 1);
  }

  void copy_inputs(std::size_t first) {
    for (std::size_t i = 0; i < size_; ++i) {
      const std::size_t from = source(first, i);
      std::copy_n(buffers_.x + from * model_.image(), model_.image(),
                  x_.data() + i * model_.image());
      if (buffers_.y != nullptr) y_[i] = buffers_.y[from];
      for (std::size_t number = 0; number < named_.size(); ++number) {
        const std::size_t size = model_.inputs[number].bytes();
        std::copy_n(buffers_.inputs[number] + from * size, size, named_[number].data() + i * size);
      }
    }
  }

  void run_at(std::size_t first) {
    for (std::size_t i = 0; i < t64_.size(); ++i)
      t64_[i] = static_cast<std::int64_t>(buffers_.t[source(first, i)]);
    for (std::size_t i = 0; i < t32_.size(); ++i)
      t32_[i] = static_cast<std::int32_t>(buffers_.t[source(first, i)]);
    for (std::size_t i = 0; i < tf_.size(); ++i)
      tf_[i] = static_cast<float>(buffers_.t[source(first, i)]);
    const char* output = model_.out.c_str();
    try {
      session_.Run(options_, names_.data(), inputs_.data(), inputs_.size(), &output, &output_, 1);
    } catch (const Ort::Exception& error) {
      engine_failed(std::string("ONNX Runtime failed: ") + error.what());
    }
  }

  Ort::Session& session_;
  const Model& model_;
  const Signature signature_;
  const Buffers buffers_;
  std::size_t size_;  // images per call of the graph
  std::vector<float> x_, out_, tf_;
  std::vector<std::int64_t> t64_, y_;
  std::vector<std::int32_t> t32_;
  std::vector<std::vector<std::byte>> named_;
  std::vector<const char*> names_;
  std::vector<Ort::Value> inputs_;
  Ort::Value output_{nullptr};
  Ort::RunOptions options_;
};

class OrtEngine final : public Engine {
 public:
  OrtEngine(const ModelSource& source, const ddpm_rt_open_options& options)
      : env_(environment_without_telemetry()),
        session_(open_session(env_, source, options)),
        card_(read_card(card_text(source.name), source.name)),
        signature_(check_signature(session_, card_, source.name)) {}

  const Card& card() const override { return card_; }
  bool whole_times() const override { return signature_.whole_times(); }

  FittedTables fitted_tables() const override {
    Ort::AllocatorWithDefaultOptions allocator;
    const Ort::ModelMetadata metadata = session_.GetModelMetadata();
    FittedTables tables;
    for (const auto& key : metadata.GetCustomMetadataMapKeysAllocated(allocator)) {
      const std::string_view name = key.get();
      if (!name.starts_with(FITTED_KEY)) continue;
      if (const auto calls = calls_of(name.substr(FITTED_KEY.size())))
        tables[*calls] = metadata.LookupCustomMetadataMapAllocated(key.get(), allocator).get();
    }
    return tables;
  }

  std::unique_ptr<Call> bind(const Buffers& buffers) override {
    return std::make_unique<OrtCall>(session_, card_.model, signature_, buffers);
  }

 private:
  std::string card_text(const std::string& name) const {
    Ort::AllocatorWithDefaultOptions allocator;
    const auto text =
        session_.GetModelMetadata().LookupCustomMetadataMapAllocated(CARD_KEY, allocator);
    if (!text)
      bad_file(name +
               " has no model card, so its betas are unknown; export it with `ddpm-rt export`, or "
               "add a card with `ddpm-rt card`");
    return text.get();
  }

  Ort::Env env_;
  Ort::Session session_;
  Card card_;
  Signature signature_;
};

std::unique_ptr<Engine> open_with(const ModelSource& source, ddpm_rt_open_options options,
                                  ddpm_rt_provider provider) {
  options.provider = provider;
  try {
    return std::make_unique<OrtEngine>(source, options);
  } catch (const Ort::Exception& error) {
    bad_file(source.name + " cannot be opened by ONNX Runtime: " + error.what());
  }
}

std::unique_ptr<Engine> open_auto(const ModelSource& source, const ddpm_rt_open_options& options) {
  if (options.device > 0) return open_with(source, options, DDPM_RT_CUDA);
  if (ort_has_cuda() && cuda::gpu_count() > 0) try {
      return open_with(source, options, DDPM_RT_CUDA);
    } catch (const Failure&) {  // libraries of the GPU are missing, or the file is bad
    }
  return open_with(source, options, DDPM_RT_CPU);
}

}  // namespace

bool ort_is_usable() { return OrtGetApiBase()->GetApi(ORT_API_VERSION) != nullptr; }

bool ort_has_cuda() {
  if (!ort_is_usable()) return false;
  const auto names = Ort::GetAvailableProviders();
  return std::find(names.begin(), names.end(), "CUDAExecutionProvider") != names.end();
}

std::unique_ptr<Engine> open_ort(const ModelSource& source, const ddpm_rt_open_options& options) {
  if (!source.in_memory)
    checked_size(source.name, MAX_MODEL_BYTES, "an ONNX file of `ddpm-rt export`");
  if (!ort_is_usable())
    engine_failed(
        std::string("ONNX Runtime ") + OrtGetApiBase()->GetVersionString() +
        " is older than the version that this library was built for; install a newer one");
  if (options.provider == DDPM_RT_AUTO) return open_auto(source, options);
  return open_with(source, options, options.provider);
}

}  // namespace ddpm_rt
