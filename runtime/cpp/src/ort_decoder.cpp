#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "error.hpp"
#include "file.hpp"
#include "finite.hpp"
#include "limits.hpp"
#include "ort_decoder.hpp"
#include "ort_environment.hpp"
#include "ort_session.hpp"

namespace ddpm_rt {
namespace {

// The shape of a float32 tensor; nothing for any other value.
std::optional<Sides> float_shape(const Ort::TypeInfo& info) {
  if (info.GetONNXType() != ONNX_TYPE_TENSOR) return std::nullopt;
  const auto tensor = info.GetTensorTypeAndShapeInfo();
  if (tensor.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) return std::nullopt;
  return tensor.GetShape();
}

class OrtDecoder final : public Decoder {
 public:
  OrtDecoder(const std::string& path, const Card& card, int threads)
      : path_(path),
        latents_(*card.latents),
        from_(card.model.shape),
        env_(environment_without_telemetry()),
        session_(open_session(env_, {.name = path}, options_for(threads))) {
    if (session_.GetInputCount() != 1 || session_.GetOutputCount() != 1)
      bad_file(path + " is not a decoder: it must have one input and one output");
    const auto from = float_shape(session_.GetInputTypeInfo(0));
    const auto to = float_shape(session_.GetOutputTypeInfo(0));
    if (!from || !to) bad_file(path + " is not a decoder: its tensors must be float32");
    if (from->size() != from_.size() + 1 ||
        !std::equal(from_.begin(), from_.end(), from->begin() + 1))
      bad_file(path + " decodes another shape than the model draws");
    if (to->size() != 4 || ((*to)[1] != 1 && (*to)[1] != 3) ||
        std::any_of(to->begin() + 1, to->end(),
                    [](auto side) { return side < 1 || side > MAX_SIDE; }))
      bad_file(path + " must give [batch, 1 or 3, H, W] with fixed sides");
    shape_.assign(to->begin() + 1, to->end());
    Ort::AllocatorWithDefaultOptions allocator;
    input_ = session_.GetInputNameAllocated(0, allocator).get();
    output_ = session_.GetOutputNameAllocated(0, allocator).get();
  }

  const Sides& shape() const override { return shape_; }

  void decode(const float* latents, std::size_t count, float* images) override {
    const auto scale = static_cast<float>(latents_.scale),
               shift = static_cast<float>(latents_.shift);
    std::vector<float> scaled(count * numbers_of(from_));
    for (std::size_t i = 0; i < scaled.size(); ++i) scaled[i] = latents[i] / scale + shift;
    Sides sides = {static_cast<std::int64_t>(count)};
    sides.insert(sides.end(), from_.begin(), from_.end());
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const auto input = Ort::Value::CreateTensor<float>(memory, scaled.data(), scaled.size(),
                                                       sides.data(), sides.size());
    run(input, count * numbers_of(shape_), images);
  }

 private:
  static ddpm_rt_open_options options_for(int threads) {
    ddpm_rt_open_options options = DDPM_RT_OPEN_OPTIONS;
    options.threads = threads;
    options.provider = DDPM_RT_CPU;
    return options;
  }

  void run(const Ort::Value& input, std::size_t size, float* images) {
    const char *from = input_.c_str(), *to = output_.c_str();
    try {
      const auto outputs = session_.Run(Ort::RunOptions(), &from, &input, 1, &to, 1);
      if (outputs[0].GetTensorTypeAndShapeInfo().GetElementCount() != size)
        engine_failed(path_ + " gave another number of images than it got latents");
      std::copy_n(outputs[0].GetTensorData<float>(), size, images);
    } catch (const Ort::Exception& error) {
      engine_failed(path_ + ": ONNX Runtime failed: " + error.what());
    }
    if (!all_finite(images, size))
      throw Failure(DDPM_RT_NOT_FINITE, path_ +
                                            " gave values that are not finite; check the decoder "
                                            "and its scale");
  }

  const std::string path_;
  const Latents latents_;
  const Sides from_;
  Ort::Env env_;
  Ort::Session session_;
  Sides shape_;
  std::string input_, output_;
};

}  // namespace

std::unique_ptr<Decoder> open_ort_decoder(const std::string& path, const Card& card, int threads) {
  checked_size(path, MAX_MODEL_BYTES, "the decoder, an ONNX file");
  try {
    return std::make_unique<OrtDecoder>(path, card, threads);
  } catch (const Ort::Exception& error) {
    bad_file(path + " cannot be opened by ONNX Runtime: " + error.what());
  }
}

}  // namespace ddpm_rt
