/* ddpm-rt: draw images with an exported DDPM, the same ones as Python draws.
 *
 * An engine file (what `ddpm-rt export` wrote) and a steps file (what `ddpm-rt steps` wrote for it)
 * make a sampler. It draws into the caller's memory: sample 40 of seed 7 is one picture, whatever
 * batch and order it is drawn in.
 *
 * Every call that can fail returns a status, and ddpm_rt_last_error() has the sentence. Nothing
 * here exits, throws or keeps global state. Different samplers may be used by different threads at
 * once; one sampler by one thread at a time.
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

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ddpm_rt_sampler ddpm_rt_sampler;

typedef enum ddpm_rt_status {
  DDPM_RT_OK = 0,
  DDPM_RT_INVALID_ARGUMENT = 1, /* the caller's mistake */
  DDPM_RT_BAD_FILE = 2,         /* a file is missing, damaged, or does not belong to the other */
  DDPM_RT_ENGINE_FAILED = 3,    /* the engine or the machine: out of memory, say */
  DDPM_RT_NOT_FINITE = 4,       /* the network's output; the sentence names the step */
  DDPM_RT_CANCELLED = 5         /* by the progress callback */
} ddpm_rt_status;

/* Structs begin with their size, so that a program and a library of different age agree on what is
 * there. The macros set it, and the defaults: `ddpm_rt_sample_options options =
 * DDPM_RT_SAMPLE_OPTIONS;`. */

/* What runs the network. */
typedef enum ddpm_rt_provider {
  DDPM_RT_AUTO = 0,    /* by the file: an .onnx on the CPU, a .plan with TensorRT */
  DDPM_RT_CPU = 1,     /* ONNX Runtime on the CPU */
  DDPM_RT_CUDA = 2,    /* ONNX Runtime's CUDA provider, with the loop on the host */
  DDPM_RT_TENSORRT = 3 /* TensorRT, with the loop on the GPU */
} ddpm_rt_provider;

typedef struct ddpm_rt_open_options {
  size_t struct_size;
  int32_t threads;  /* inside one operation of the network on the CPU; 0: all cores */
  int32_t unused;   /* not looked at: it was padding once */
  int32_t provider; /* a ddpm_rt_provider; one that is not there is an error, never another */
  int32_t device;   /* of a GPU, by its number */
} ddpm_rt_open_options;

#define DDPM_RT_OPEN_OPTIONS {sizeof(ddpm_rt_open_options), 0, 0, DDPM_RT_AUTO, 0}

typedef struct ddpm_rt_info {
  size_t struct_size;
  uint32_t channels, height, width; /* of an image, in this order in memory */
  uint32_t steps;                   /* calls of the network for an image */
  int64_t classes;                  /* -1: the model is unconditional, and takes no label */
  int64_t null_class;  /* the label that stands for no class; -1: there is none, so no guidance */
  const char* sampler; /* in words; the sampler's, until it is closed */
} ddpm_rt_info;

#define DDPM_RT_INFO {sizeof(ddpm_rt_info), 0, 0, 0, 0, -1, -1, NULL}

/* What the progress callback is told after each step of a batch. On a GPU the steps go on
 * meanwhile, at most 48 of them or some 60 milliseconds, 2 with preview; that many run after a
 * cancel too. */
typedef struct ddpm_rt_step {
  size_t struct_size;
  uint32_t row, steps;   /* of the step table, from 0, and of how many */
  int64_t t;             /* what the network was told */
  uint64_t first, count; /* the samples of this batch, by number */
  uint64_t done, total;  /* steps of all batches */
  double seconds;        /* this step took; on a GPU the mean of a few */
  double engine_seconds; /* of them, the network; 0 on a GPU, where a step is one piece */
  const float*
      x0; /* where the images are going, [count, C, H, W] until the callback returns; or NULL */
} ddpm_rt_step;

/* Returns 0 to go on, anything else to cancel. */
typedef int (*ddpm_rt_progress)(const ddpm_rt_step* step, void* user);

typedef struct ddpm_rt_sample_options {
  size_t struct_size;
  uint64_t seed;
  uint64_t first, count; /* samples first .. first + count - 1 */
  uint64_t batch;        /* images to a call of the network; changes the speed, not the images */
  const int64_t* labels; /* sample n has labels[n mod label_count] */
  size_t label_count;
  double guidance;           /* 1: what the label says; above: more of it, at twice the cost */
  ddpm_rt_progress progress; /* or NULL */
  void* user;                /* handed to it */
  int32_t preview;           /* 1: the callback gets x0 */
  double* step_seconds;      /* NULL, or [steps]: the time of each step, of all batches together */
} ddpm_rt_sample_options;

#define DDPM_RT_SAMPLE_OPTIONS \
  {sizeof(ddpm_rt_sample_options), 0, 0, 1, 16, NULL, 0, 1.0, NULL, NULL, 0, NULL}

/* Opens both files and checks that they belong together. `options` may be NULL. On failure *sampler
 * is NULL. */
DDPM_RT_API ddpm_rt_status ddpm_rt_open(const char* engine, const char* steps,
                                        const ddpm_rt_open_options* options,
                                        ddpm_rt_sampler** sampler);

/* Fills `info`, whose struct_size the caller has set. */
DDPM_RT_API ddpm_rt_status ddpm_rt_describe(const ddpm_rt_sampler* sampler, ddpm_rt_info* info);

/* Draws float32 [count, C, H, W], in the model's range, into `images`, which has room for `floats`
 * of them. A batch is written when it is whole; those before it are there even if the call is
 * cancelled or fails. */
DDPM_RT_API ddpm_rt_status ddpm_rt_sample(ddpm_rt_sampler* sampler,
                                          const ddpm_rt_sample_options* options, float* images,
                                          size_t floats);

/* The same into device memory, for an engine that is a TensorRT plan: `device_images` is memory of
 * the sampler's device that the CUDA runtime or its primary context can use, `cuda_stream` a
 * cudaStream_t or CUstream of it, NULL for the default stream, and not capturing. The images are
 * written after what is in `cuda_stream` by now, and what is put into it after the call sees them.
 *
 * The call returns before the last batch is done, unless there is a callback or step_seconds. What
 * went wrong after that, DDPM_RT_NOT_FINITE say, ddpm_rt_finish() says; if nobody asks, the next
 * call that draws with this sampler says it, and draws nothing. */
DDPM_RT_API ddpm_rt_status ddpm_rt_sample_device(ddpm_rt_sampler* sampler,
                                                 const ddpm_rt_sample_options* options,
                                                 float* device_images, size_t floats,
                                                 void* cuda_stream);

/* Waits until all that was queued is done, and says whether it went well. */
DDPM_RT_API ddpm_rt_status ddpm_rt_finish(ddpm_rt_sampler* sampler);

/* Waits as well, for memory that is in use. NULL is allowed. */
DDPM_RT_API void ddpm_rt_close(ddpm_rt_sampler* sampler);

/* What is wrong and what to do, of the latest call of this thread that failed; "" before the first.
 */
DDPM_RT_API const char* ddpm_rt_last_error(void);

DDPM_RT_API const char* ddpm_rt_version(void);

#ifdef __cplusplus
}
#endif

#endif
