// The driver's functions on captures.
#pragma once
#include "graph.h"

inline int begin_capture(Handle handle, std::shared_ptr<Graph> graph, std::vector<Handle> after,
                         int mode) {
  auto stream = stream_of(handle);
  if (!stream || !graph) return kInvalidHandle;
  if (handle < 2) return kCaptureUnsupported;  // the default stream cannot
  if (stream->capture) return invalidate(*stream->capture, kIllegalState);
  auto capture = std::make_shared<Capture>();
  capture->graph = graph, capture->origin = handle, capture->mode = mode;
  capture->thread = std::this_thread::get_id(), capture->ends[handle] = std::move(after);
  captures.push_back(capture);
  stream->capture = capture;
  return kSuccess;
}

extern "C" {

int cuStreamBeginCapture_v2(Handle stream, int mode) {
  return in_context("cuStreamBeginCapture", stream, 0, [&]() -> int {
    auto graph = std::make_shared<Graph>();
    return begin_capture(stream, graph, {}, mode);
  });
}

int cuStreamBeginCaptureToGraph(Handle stream, Handle graph, const Handle* after, const void*,
                                std::size_t count, int mode) {
  return in_context("cuStreamBeginCaptureToGraph", stream, 0, [&] {
    if (int error = since(12030, "cuStreamBeginCaptureToGraph")) return error;
    return begin_capture(stream, graph_of(graph), std::vector<Handle>(after, after + count), mode);
  });
}

int cuStreamEndCapture(Handle handle, Handle* out) {
  return in_context("cuStreamEndCapture", handle, 0, [&]() -> int {
    *out = 0;
    auto stream = stream_of(handle);
    if (!stream) return kInvalidHandle;
    auto capture = stream->capture;
    if (!capture)
      return kIllegalState;  // cuda.core ends a capture again when it drops a failed builder
    if (capture->origin != handle) return invalidate(*capture, kCaptureUnmatched);
    if (capture->mode != 2 && capture->thread != std::this_thread::get_id())
      return kCaptureWrongThread;
    int error = capture->invalid      ? kCaptureInvalidated
                : is_joined(*capture) ? kSuccess
                                      : kCaptureUnjoined;
    end_capture(capture);
    if (error && !capture->graph->is_body && graphs.live.count(capture->graph->handle)) {
      forget(*capture->graph);
      abandoned.insert(capture->graph->handle);
      graphs.drop(capture->graph->handle);
    }
    if (error) return error;
    if (!capture->graph->handle) graphs.add(capture->graph);
    *out = capture->graph->handle;
    return kSuccess;
  });
}

int cuStreamIsCapturing(Handle handle, int* out) {
  return in_context("cuStreamIsCapturing", handle, 0, [&]() -> int {
    auto stream = stream_of(handle);
    if (!stream) return kInvalidHandle;
    *out = !stream->capture ? 0 : stream->capture->invalid ? 2 : 1;
    return kSuccess;
  });
}

int cuStreamGetCaptureInfo_v3(Handle handle, int* status, std::uint64_t* id, Handle* graph,
                              const Handle** after, const void** edges, std::size_t* count) {
  return in_context("cuStreamGetCaptureInfo", handle, 0, [&]() -> int {
    auto stream = stream_of(handle);
    if (!stream) return kInvalidHandle;
    auto capture = stream->capture;
    *status = !capture ? 0 : capture->invalid ? 2 : 1;
    if (!capture) return kSuccess;
    if (!capture->graph->handle) graphs.add(capture->graph);
    capture->answer = capture->ends[handle];
    capture->plain.resize(capture->answer.size());
    if (id) *id = capture->graph->handle;
    if (graph) *graph = capture->graph->handle;
    if (after) *after = capture->answer.data();
    if (edges) *edges = capture->plain.data();
    if (count) *count = capture->answer.size();
    return kSuccess;
  });
}

int cuStreamGetCaptureInfo_v2(Handle stream, int* status, std::uint64_t* id, Handle* graph,
                              const Handle** after, std::size_t* count) {
  return cuStreamGetCaptureInfo_v3(stream, status, id, graph, after, nullptr, count);
}

int cuStreamUpdateCaptureDependencies_v2(Handle handle, Handle* after, const void*,
                                         std::size_t count, unsigned set) {
  return in_context("cuStreamUpdateCaptureDependencies", handle, 0, [&]() -> int {
    auto stream = stream_of(handle);
    if (!stream) return kInvalidHandle;
    if (!stream->capture || stream->capture->invalid) return kIllegalState;
    auto& ends = stream->capture->ends[handle];
    if (set) ends.clear();
    ends.insert(ends.end(), after, after + count);
    return kSuccess;
  });
}

int cuThreadExchangeStreamCaptureMode(int* mode) {
  return call("cuThreadExchangeStreamCaptureMode", 0, 0, [&] {
    std::swap(*mode, capture_mode);
    return kSuccess;
  });
}
}
