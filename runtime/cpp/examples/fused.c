/* The images of a fused chain with ONNX Runtime's C API alone:
 *
 *     fused chain.onnx SEED FIRST COUNT images.f32 [CLASSES]
 *     cc fused.c -lonnxruntime -o fused
 *
 * A class-conditional chain needs CLASSES; each class is then drawn in turn.
 */
#include <inttypes.h>
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>

static const OrtApi* ort;

static void check(OrtStatus* status) {
  if (status == NULL) return;
  fprintf(stderr, "%s\n", ort->GetErrorMessage(status));
  exit(1);
}

static OrtValue* tensor(OrtMemoryInfo* memory, int64_t* values, int64_t count, size_t rank) {
  OrtValue* value = NULL;
  check(ort->CreateTensorWithDataAsOrtValue(memory, values, (size_t)count * sizeof(int64_t), &count,
                                            rank, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, &value));
  return value;
}

int main(int argc, char** argv) {
  if (argc != 6 && argc != 7)
    return fprintf(stderr, "fused CHAIN SEED FIRST COUNT OUT [CLASSES]\n"), 2;
  ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  if (ort == NULL) return fprintf(stderr, "the ONNX Runtime library is older than its header\n"), 1;

  OrtEnv* env = NULL;
  OrtSessionOptions* options = NULL;
  OrtSession* session = NULL;
  OrtMemoryInfo* memory = NULL;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "fused", &env));
  check(ort->CreateSessionOptions(&options));
  check(ort->CreateSession(env, argv[1], options, &session));
  check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));

  /* seeds and sample numbers are unsigned; ONNX has the same bits as int64 */
  int64_t seed = (int64_t)strtoull(argv[2], NULL, 10);
  const uint64_t first = strtoull(argv[3], NULL, 10);
  const int64_t count = strtoll(argv[4], NULL, 10);
  if (count < 1 || count > 1000000) return fprintf(stderr, "COUNT must be at least 1\n"), 2;
  const uint64_t classes = argc == 7 ? strtoull(argv[6], NULL, 10) : 1;
  if (classes < 1) return fprintf(stderr, "CLASSES must be at least 1\n"), 2;
  int64_t* samples = malloc((size_t)count * sizeof(int64_t));
  int64_t* labels = malloc((size_t)count * sizeof(int64_t));
  if (samples == NULL || labels == NULL) return 1;
  for (int64_t i = 0; i < count; ++i) {
    samples[i] = (int64_t)(first + (uint64_t)i);
    labels[i] = (int64_t)((first + (uint64_t)i) % classes);
  }

  const char* input_names[] = {"seed", "sample", "y"};
  const size_t input_count = argc == 7 ? 3 : 2;
  const char* output_names[] = {"image"};
  const OrtValue* inputs[] = {tensor(memory, &seed, 1, 0), tensor(memory, samples, count, 1),
                              tensor(memory, labels, count, 1)};
  OrtValue* image = NULL;
  check(ort->Run(session, NULL, input_names, inputs, input_count, output_names, 1, &image));

  OrtTensorTypeAndShapeInfo* info = NULL;
  size_t size = 0;
  float* values = NULL;
  check(ort->GetTensorTypeAndShape(image, &info));
  check(ort->GetTensorShapeElementCount(info, &size));
  check(ort->GetTensorMutableData(image, (void**)&values));
  FILE* out = fopen(argv[5], "wb");
  if (out == NULL || fwrite(values, sizeof(float), size, out) != size || fclose(out) != 0) {
    fprintf(stderr, "%s cannot be written\n", argv[5]);
    return 1;
  }
  printf("%s: %zu numbers of %" PRId64 " images\n", argv[5], size, count);

  ort->ReleaseTensorTypeAndShapeInfo(info);
  ort->ReleaseValue(image);
  ort->ReleaseValue((OrtValue*)inputs[0]);
  ort->ReleaseValue((OrtValue*)inputs[1]);
  ort->ReleaseValue((OrtValue*)inputs[2]);
  free(samples);
  free(labels);
  ort->ReleaseMemoryInfo(memory);
  ort->ReleaseSession(session);
  ort->ReleaseSessionOptions(options);
  ort->ReleaseEnv(env);
  return 0;
}
