/* ddpm-rt: draw images with an exported diffusion model. The images are those that Python draws.
 *
 * A sampler is made from a model (an ONNX file of `ddpm-rt export`, or a TensorRT plan of `ddpm-rt
 * build`) and a steps file of `ddpm-rt steps`, or from a model that contains its own table
 * (`ddpm-rt tune --embed`). It writes images into memory of the caller; a model may also draw
 * sequences, volumes or latents. Sample 40 of seed 7 is the same image in every batch, in every
 * order and on every machine.
 *
 * Functions that can fail return a ddpm_rt_status. ddpm_rt_last_error() then returns the reason.
 * No function exits the program or throws. Different threads may use different samplers at the
 * same time. Only one thread at a time may use one sampler.
 *
 * Paths are the bytes that the operating system expects; on Windows they are UTF-8. All other text
 * is UTF-8.
 */
#ifndef DDPM_RT_H
#define DDPM_RT_H

#include <stddef.h>
#include <stdint.h>

#if defined(DDPM_RT_STATIC)
#define DDPM_RT_API
#elif defined(_WIN32)
#ifdef DDPM_RT_BUILD
#define DDPM_RT_API __declspec(dllexport)
#else
#define DDPM_RT_API __declspec(dllimport)
#endif
#else
#define DDPM_RT_API __attribute__((visibility("default")))
#endif

/* The version of this header. ddpm_rt_version() returns the version of the library. */
#define DDPM_RT_VERSION_MAJOR 0
#define DDPM_RT_VERSION_MINOR 1
#define DDPM_RT_VERSION_PATCH 0
#define DDPM_RT_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ddpm_rt_sampler ddpm_rt_sampler;

typedef int32_t ddpm_rt_status;
enum {
  DDPM_RT_OK = 0,
  DDPM_RT_INVALID_ARGUMENT = 1, /* a mistake of the caller */
  DDPM_RT_BAD_FILE = 2,         /* a file is missing or damaged, or belongs to another model */
  DDPM_RT_ENGINE_FAILED = 3,    /* the engine or the machine failed, for example out of memory */
  DDPM_RT_NOT_FINITE = 4,       /* an output of the network or an image is infinite or NaN */
  DDPM_RT_CANCELLED = 5         /* the progress callback cancelled the call */
};

/* The provider runs the network. */
typedef int32_t ddpm_rt_provider;
enum {
  DDPM_RT_AUTO = 0,    /* a plan: TensorRT. An ONNX file: CUDA if it works here, else the CPU. */
  DDPM_RT_CPU = 1,     /* ONNX Runtime on the CPU */
  DDPM_RT_CUDA = 2,    /* ONNX Runtime's CUDA provider; the loop runs on the host */
  DDPM_RT_TENSORRT = 3 /* TensorRT; the loop runs on the GPU */
};

/* How the loop on a GPU launches its steps. The images are the same. */
typedef int32_t ddpm_rt_mode;
enum {
  DDPM_RT_REPLAY = 0, /* a CUDA graph of one step, for every step */
  DDPM_RT_CHUNKS = 1, /* graphs of 16 steps */
  DDPM_RT_WHILE = 2,  /* one graph that loops on the GPU; needs a driver and nvcc of CUDA 12.4 */
  DDPM_RT_STREAM = 3  /* no graph */
};

/* Every struct begins with its size, so that a program and a library of different versions can
 * work together. An initializer macro or an init function sets the size and the defaults:
 *
 *     ddpm_rt_sample_options options = DDPM_RT_SAMPLE_OPTIONS;
 *     ddpm_rt_sample_options_init(&options, sizeof options);
 *
 * The init functions are for languages without C macros. They write `size` bytes, and return
 * DDPM_RT_INVALID_ARGUMENT if the pointer is NULL or the size cannot be that of the struct. */

typedef struct ddpm_rt_open_options {
  uint32_t struct_size;
  int32_t threads;           /* CPU threads for one operation of the network, at most 1024;
                                0: the cores that this process may use (affinity, cgroup quota) */
  ddpm_rt_provider provider; /* a provider that is not available is an error */
  int32_t device;            /* the number of the GPU, at most 1023 */
  int32_t streams;           /* of a plan: batches that are drawn at the same time, at most 64 */
  ddpm_rt_mode mode;         /* of a plan */
} ddpm_rt_open_options;

#define DDPM_RT_OPEN_OPTIONS \
  {(uint32_t)sizeof(ddpm_rt_open_options), 0, DDPM_RT_AUTO, 0, 1, DDPM_RT_REPLAY}

typedef struct ddpm_rt_info {
  uint32_t struct_size;
  uint32_t channels, height, width; /* of an image, in this order in memory; for other shapes,
                                       their product is the number of floats in a sample */
  uint32_t steps;                   /* calls of the network per image; guidance doubles the work */
  int64_t classes;                  /* -1: the model is unconditional and takes no labels */
  int64_t null_class;               /* the label for "no class"; -1: none, and so no guidance */
  const char* sampler;              /* describes the sampler; valid until ddpm_rt_close() */
  uint32_t rank, shape[4];          /* of a sample: 1 to 4 sides, C first */
  uint32_t inputs;                  /* named inputs, which ddpm_rt_set_input() gives */
  uint32_t is_picture;              /* 1: a sample is a grey or an RGB image of pixels */
  uint32_t is_latent;               /* 1: a sample is an image in the latents of a decoder */
} ddpm_rt_info;

#define DDPM_RT_INFO \
  {(uint32_t)sizeof(ddpm_rt_info), 0, 0, 0, 0, -1, -1, NULL, 0, {0, 0, 0, 0}, 0, 0, 0}

/* The type of numbers. */
typedef int32_t ddpm_rt_type;
enum { DDPM_RT_FLOAT32 = 0, DDPM_RT_INT64 = 1, DDPM_RT_INT32 = 2, DDPM_RT_FLOAT64 = 3 };

/* A named input of the network: a condition, such as an image or an observation. */
typedef struct ddpm_rt_input {
  uint32_t struct_size;
  ddpm_rt_type type; /* DDPM_RT_FLOAT32, DDPM_RT_INT64 or DDPM_RT_INT32 */
  uint32_t rank;     /* at most 6; 0: one number for each sample */
  uint32_t shape[6]; /* of one entry */
  uint32_t unused;
  const char* name; /* valid until ddpm_rt_close() */
} ddpm_rt_input;

#define DDPM_RT_INPUT \
  {(uint32_t)sizeof(ddpm_rt_input), DDPM_RT_FLOAT32, 0, {0, 0, 0, 0, 0, 0}, 0, NULL}

/* The argument of the progress callback, which is called after every step of every batch. A GPU
 * does not wait for the callback: it is ahead by at most 48 steps or about 60 milliseconds (with
 * preview, by 2 steps). These steps also run after a cancel. In mode DDPM_RT_WHILE the callback
 * hears of finished steps about once a millisecond, and a cancel ends the loop after its current
 * step. With preview, the modes DDPM_RT_WHILE and DDPM_RT_CHUNKS run as DDPM_RT_REPLAY. */
typedef struct ddpm_rt_step {
  uint32_t struct_size;
  uint32_t row;          /* the row of the step table, from 0 */
  uint32_t steps;        /* the number of rows */
  int64_t t;             /* the timestep that the network was given, without a fraction */
  uint64_t first, count; /* this batch is samples first .. first + count - 1 */
  uint64_t done, total;  /* steps of all batches: finished, and in all */
  double seconds;        /* the time of this step; on a GPU a mean over several steps */
  double engine_seconds; /* the part of it that the network took; 0 on a GPU */
  const float* x0;       /* the current estimate of the images, [count, C, ...], valid until the
                            callback returns; NULL without preview */
  double time;           /* t with its fraction: a noise level or a time of a flow has one */
} ddpm_rt_step;

/* Returns 0 to continue, any other value to cancel. */
typedef int (*ddpm_rt_progress)(const ddpm_rt_step* step, void* user);

typedef struct ddpm_rt_sample_options {
  uint32_t struct_size;
  uint64_t seed;
  uint64_t first, count; /* draw samples first .. first + count - 1; at most 10 000 000 in a call */
  uint64_t batch;        /* images per call of the network, at most 65535: changes the speed, not
                            the images */
  const int64_t*
      labels; /* sample n has the class labels[n mod label_count]; with no labels, a model
                            with a null class draws each of its other classes in turn */
  size_t label_count;
  double guidance;           /* 1: no guidance; above 1: follow the label and the inputs more, at
                                twice the cost */
  ddpm_rt_progress progress; /* NULL: no callback */
  void* user;                /* passed to the callback */
  int32_t preview;           /* 1: the callback gets x0 */
  double* step_seconds;      /* NULL, or [steps]: seconds per step, summed over the batches */
  /* Edits of images. Without labels, an edit has the null class. A plan takes no mask. */
  const float* init_images; /* NULL, or [init_count, C, ...] in the range of the model: the chain
                               starts from these images, noised (SDEdit) */
  size_t init_count;        /* 1: one image for all samples; else `count`: one for each */
  double strength;     /* the share of the steps that is run, in (0, 1]; 0: the default, which is
                               0.5, and 1 with a mask */
  const uint8_t* mask; /* NULL, or the sides of an image without C: [H, W]. 0 is kept to the bit,
                               any other value is redrawn (RePaint) */
  uint64_t resample;   /* passes over each step with a mask, at most 1000; 0: 1 */
  const float*
      init_noise; /* NULL, or [count, C, ...]: x_T of the samples, instead of their noise */
} ddpm_rt_sample_options;

#define DDPM_RT_SAMPLE_OPTIONS               \
  {(uint32_t)sizeof(ddpm_rt_sample_options), \
   0,                                        \
   0,                                        \
   1,                                        \
   16,                                       \
   NULL,                                     \
   0,                                        \
   1.0,                                      \
   NULL,                                     \
   NULL,                                     \
   0,                                        \
   NULL,                                     \
   NULL,                                     \
   0,                                        \
   0.0,                                      \
   NULL,                                     \
   0,                                        \
   NULL}

DDPM_RT_API ddpm_rt_status ddpm_rt_open_options_init(ddpm_rt_open_options* options, size_t size);
DDPM_RT_API ddpm_rt_status ddpm_rt_sample_options_init(ddpm_rt_sample_options* options,
                                                       size_t size);
DDPM_RT_API ddpm_rt_status ddpm_rt_info_init(ddpm_rt_info* info, size_t size);
DDPM_RT_API ddpm_rt_status ddpm_rt_input_init(ddpm_rt_input* input, size_t size);

/* Opens a model and a steps file, and checks that they belong together. Both must be regular
 * files. A plan needs its record (PLAN.json) beside it. If `steps` is NULL, the sampler runs the
 * fitted table in the model (`ddpm-rt tune --embed`); of several tables, the one with the most
 * network calls. `options` may be NULL. On failure *sampler is NULL. */
DDPM_RT_API ddpm_rt_status ddpm_rt_open(const char* model, const char* steps,
                                        const ddpm_rt_open_options* options,
                                        ddpm_rt_sampler** sampler);

/* The content of a file, in memory. */
typedef struct ddpm_rt_bytes {
  const void* data;
  size_t size;
} ddpm_rt_bytes;

/* The same from memory. `record` is the content of the JSON file beside a plan; for an ONNX model
 * it is NULL. `steps` may be NULL, as in ddpm_rt_open(). An ONNX model must contain its weights:
 * external data is not found. The library keeps no reference to the bytes after the call. */
DDPM_RT_API ddpm_rt_status ddpm_rt_open_memory(const ddpm_rt_bytes* model,
                                               const ddpm_rt_bytes* record,
                                               const ddpm_rt_bytes* steps,
                                               const ddpm_rt_open_options* options,
                                               ddpm_rt_sampler** sampler);

/* Fills `info`. The caller sets info->struct_size, with DDPM_RT_INFO or ddpm_rt_info_init(). */
DDPM_RT_API ddpm_rt_status ddpm_rt_describe(const ddpm_rt_sampler* sampler, ddpm_rt_info* info);

/* Fills `input` with the facts of input `number`, below info->inputs. The inputs are in the order of
 * their names. The caller sets input->struct_size. */
DDPM_RT_API ddpm_rt_status ddpm_rt_describe_input(const ddpm_rt_sampler* sampler, size_t number,
                                                  ddpm_rt_input* input);

/* Sets the value of a named input for the calls that follow. `data` has `count` numbers of `type`,
 * which are copied and converted: one number for all elements of the input, or one entry or several.
 * Sample n takes entry n modulo the number of entries, so neither `batch` nor `first` changes an
 * image. Integer inputs take only whole numbers. NULL with count 0 removes the value. Every input
 * needs a value before ddpm_rt_sample(). */
DDPM_RT_API ddpm_rt_status ddpm_rt_set_input(ddpm_rt_sampler* sampler, const char* name,
                                             ddpm_rt_type type, const void* data, size_t count);

/* The same for the value that stands for no condition. Only guidance reads it. With guidance, an
 * input without a null value is the same in both halves of the batch. */
DDPM_RT_API ddpm_rt_status ddpm_rt_set_null_input(ddpm_rt_sampler* sampler, const char* name,
                                                  ddpm_rt_type type, const void* data,
                                                  size_t count);

/* Draws float32 images [count, C, ...], in the range of the model, into `images`, which has room
 * for `floats` floats. Each batch is written when it is finished. If the call fails or is
 * cancelled, the batches before are there. */
DDPM_RT_API ddpm_rt_status ddpm_rt_sample(ddpm_rt_sampler* sampler,
                                          const ddpm_rt_sample_options* options, float* images,
                                          size_t floats);

/* Decodes `count` latents [count, C, ...] of a model with info->is_latent into float32 images [count,
 * *shape], by the decoder that the card names: an ONNX file beside the model, which runs on the CPU
 * and is opened by the first call. `count` is at most 65535; `images` has room for `floats` floats.
 * ddpm_rt_decoded_shape() fills `shape` with C, H and W of an image. */
DDPM_RT_API ddpm_rt_status ddpm_rt_decoded_shape(ddpm_rt_sampler* sampler, uint32_t shape[3]);
DDPM_RT_API ddpm_rt_status ddpm_rt_decode(ddpm_rt_sampler* sampler, const float* latents,
                                          uint64_t count, float* images, size_t floats);

/* Draws images into memory of the GPU. The model must be a TensorRT plan.
 *
 * `device_images` has room for `floats` floats, and is memory of the sampler's device from the CUDA
 * runtime or the primary context. `cuda_stream` is a cudaStream_t or CUstream of that device that
 * is not capturing, or NULL for the default stream. The images are written after the work that is
 * in the stream at the call, and before the work that is queued in it after the call.
 *
 * The call returns before the last batch is finished, unless there is a callback or step_seconds.
 * ddpm_rt_finish() reports an error that happens later, such as DDPM_RT_NOT_FINITE. If the program
 * does not call it, the next call that draws with this sampler reports the error and draws
 * nothing. */
DDPM_RT_API ddpm_rt_status ddpm_rt_sample_device(ddpm_rt_sampler* sampler,
                                                 const ddpm_rt_sample_options* options,
                                                 float* device_images, size_t floats,
                                                 void* cuda_stream);

/* Waits until all queued work is finished, and returns its status. */
DDPM_RT_API ddpm_rt_status ddpm_rt_finish(ddpm_rt_sampler* sampler);

/* Waits until all queued work is finished, and frees the sampler. NULL is allowed. As with free(),
 * the pointer is invalid afterwards: closing a sampler twice, or using it after it was closed, is
 * an error of the program that the library cannot detect. */
DDPM_RT_API void ddpm_rt_close(ddpm_rt_sampler* sampler);

/* The reason for the latest failure in this thread, and what to do: one line of at most 300
 * characters, in which control characters are escaped. "" before the first failure. */
DDPM_RT_API const char* ddpm_rt_last_error(void);

/* The version of the library: "0.1.0". */
DDPM_RT_API const char* ddpm_rt_version(void);

/* Returns the number of providers that this library was built with, and writes the first `room` of
 * them to `providers`, which may be NULL if `room` is 0. DDPM_RT_CUDA is included if the ONNX
 * Runtime library in use was built with CUDA. A GPU may still be missing. */
DDPM_RT_API size_t ddpm_rt_providers(ddpm_rt_provider* providers, size_t room);

/* "auto", "cpu", "cuda" or "tensorrt", as on the command line; NULL for any other number. */
DDPM_RT_API const char* ddpm_rt_provider_name(ddpm_rt_provider provider);

#ifdef __cplusplus
}
#endif

#endif
