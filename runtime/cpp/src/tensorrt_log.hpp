// The log of TensorRT, which reports the reasons of failures only there.
#pragma once

#include <NvInferRuntime.h>

#include <mutex>
#include <string>

namespace ddpm_rt {

// Keeps the latest error.
class TensorRtLog final : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const char* message) noexcept override;

  // ": " and the reason in one line, or "". Clears the log.
  std::string reason();

 private:
  std::mutex mutex_;  // TensorRT logs from its own threads too
  std::string error_;
};

}  // namespace ddpm_rt
