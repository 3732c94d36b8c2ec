// The environment of ONNX Runtime.
#pragma once

#include <onnxruntime_cxx_api.h>

namespace ddpm_rt {

// ONNX Runtime 1.32 and newer send telemetry by default and write an identifier below ~/.cache.
// This function disables telemetry first, unless the environment variable ORT_DISABLE_TELEMETRY is
// set. Only the variable works: DisableTelemetryEvents comes after the files are written.
Ort::Env environment_without_telemetry();

}  // namespace ddpm_rt
