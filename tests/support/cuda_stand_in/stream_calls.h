// The driver's functions on streams and events.
#pragma once
#include "graph.h"

extern "C" {

int cuStreamCreateWithPriority(Handle* out, unsigned flags, int priority) {
  return in_context("cuStreamCreate", 0, 0, [&] {
    auto stream = std::make_shared<Stream>();
    stream->blocking = !(flags & 1), stream->priority = priority, stream->device = device_of_thread;
    *out = streams.add(stream)->handle;
    return kSuccess;
  });
}

int cuStreamCreate(Handle* out, unsigned flags) {
  return cuStreamCreateWithPriority(out, flags, 0);
}

// The driver lets the work continue. Here this is a fault, because nothing can wait for it any more.
// Freeing may come late.
int cuStreamDestroy_v2(Handle handle) {
  return call("cuStreamDestroy", handle, 0, [&]() -> int {
    auto found = streams.live.find(handle);
    if (found != streams.live.end()) {
      auto stream = found->second;
      if (stream->capture && stream->capture->origin == handle) stream->capture->invalid = true;
      for (auto& queued : stream->queue)
        if (queued.work->name != "free" && queued.work->name != "record" && !world.sticky)
          fault("a stream destroyed with work in its queue: " + queued.work->name, 0);
      run_all(*stream);
    }
    return streams.drop(handle);
  });
}

int cuStreamSynchronize(Handle handle) {
  return in_context("cuStreamSynchronize", handle, 0, [&] { return synchronize(handle); });
}

int cuStreamQuery(Handle handle) {  // runs one operation of the stream, so that polling ends
  return in_context("cuStreamQuery", handle, 0, [&]() -> int {
    auto stream = stream_of(handle);
    if (!stream) return kInvalidHandle;
    if (stream->capture) return invalidate(*stream->capture, kCaptureUnsupported);
    if (stream->queue.empty()) return kSuccess;
    step(*stream);
    return world.sticky ? world.sticky : kNotReady;
  });
}

int cuStreamGetFlags(Handle handle, unsigned* out) {
  return call("cuStreamGetFlags", handle, 0, [&] {
    auto stream = stream_of(handle);
    if (stream) *out = !stream->blocking;
    return stream ? kSuccess : kInvalidHandle;
  });
}

int cuStreamGetPriority(Handle handle, int* out) {
  return call("cuStreamGetPriority", handle, 0, [&] {
    auto stream = stream_of(handle);
    if (stream) *out = stream->priority;
    return stream ? kSuccess : kInvalidHandle;
  });
}

int cuStreamGetDevice(Handle handle, int* out) {
  return call("cuStreamGetDevice", handle, 0, [&] {
    auto stream = stream_of(handle);
    if (stream) *out = stream->device;
    return stream ? kSuccess : kInvalidHandle;
  });
}

int cuStreamGetCtx(Handle handle, Handle* out) {
  return call("cuStreamGetCtx", handle, 0, [&] {
    auto stream = stream_of(handle);
    if (stream) *out = context_of(stream->device);
    return stream ? kSuccess : kInvalidHandle;
  });
}

int cuStreamGetCtx_v2(Handle handle, Handle* out, Handle* green) {
  if (green) *green = 0;
  return cuStreamGetCtx(handle, out);
}

int cuStreamGetId(Handle handle, unsigned long long* out) {
  return call("cuStreamGetId", handle, 0, [&] {
    *out = handle;
    return kSuccess;
  });
}

int cuStreamWaitEvent(Handle handle, Handle event_handle, unsigned) {
  return in_context("cuStreamWaitEvent", handle, 0, [&]() -> int {
    auto stream = stream_of(handle);
    auto event = events.find(event_handle);
    if (!stream || !event) return kInvalidHandle;
    if (event->capture || stream->capture) return wait_in_capture(*stream, *event);
    auto ticket = event->ticket;
    if (!ticket) return kSuccess;
    return enqueue(handle, {"wait", kEmptyNode, 0, {}, [ticket] {
                              finish(*ticket);
                              return kSuccess;
                            }});
  });
}

int cuLaunchHostFunc(Handle stream, void (*function)(void*), void* user) {
  return in_context("cuLaunchHostFunc", stream, 0, [&] {
    return enqueue(stream, {"host function", kHostNode, 0, {}, [=] {
                              function(user);
                              return kSuccess;
                            }});
  });
}

int cuEventCreate(Handle* out, unsigned flags) {
  return in_context("cuEventCreate", 0, 0, [&] {
    auto event = std::make_shared<Event>();
    event->timing = !(flags & 2);
    *out = events.add(event)->handle;
    return kSuccess;
  });
}

int cuEventDestroy_v2(Handle event) {
  return call("cuEventDestroy", 0, 0, [&] { return events.drop(event); });
}

int cuEventRecord(Handle event_handle, Handle handle) {
  return in_context("cuEventRecord", handle, 0, [&]() -> int {
    auto stream = stream_of(handle);
    auto event = events.find(event_handle);
    if (!stream || !event) return kInvalidHandle;
    event->capture = stream->capture;
    if (stream->capture) {
      event->ends = stream->capture->ends[stream->handle];
      return stream->capture->invalid ? kCaptureInvalidated : kSuccess;
    }
    auto ticket = event->ticket = std::make_shared<Ticket>();
    ticket->stream = stream;
    return enqueue(handle, {"record", kEmptyNode, 0, {}, [ticket] {
                              ticket->done = true;
                              ticket->when = std::chrono::steady_clock::now();
                              return kSuccess;
                            }});
  });
}

int cuEventRecordWithFlags(Handle event, Handle stream, unsigned) {
  return cuEventRecord(event, stream);
}

int cuEventSynchronize(Handle handle) {
  return in_context("cuEventSynchronize", 0, 0, [&]() -> int {
    auto event = events.find(handle);
    if (!event) return kInvalidHandle;
    if (event->capture) return invalidate(*event->capture, kCapturedEvent);
    if (event->ticket) finish(*event->ticket);
    return world.sticky;
  });
}

int cuEventQuery(Handle handle) {  // like cuStreamQuery
  return in_context("cuEventQuery", 0, 0, [&]() -> int {
    auto event = events.find(handle);
    if (!event) return kInvalidHandle;
    if (event->capture) return invalidate(*event->capture, kCapturedEvent);
    if (!event->ticket || event->ticket->done) return world.sticky;
    if (!event->ticket->stream->queue.empty()) step(*event->ticket->stream);
    return world.sticky ? world.sticky : kNotReady;
  });
}

int cuEventElapsedTime_v2(float* out, Handle from, Handle to) {
  return in_context("cuEventElapsedTime", 0, 0, [&]() -> int {
    auto first = events.find(from), last = events.find(to);
    if (!first || !last || !first->timing || !last->timing || !first->ticket || !last->ticket)
      return kInvalidHandle;
    if (!first->ticket->done || !last->ticket->done) return kNotReady;
    *out =
        std::chrono::duration<float, std::milli>(last->ticket->when - first->ticket->when).count();
    return kSuccess;
  });
}
}
