// The driver's functions on captures and graphs.
#pragma once
#include "copy.h"
#include "kernel.h"

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

inline int add(Handle* out, Handle graph_handle, const Handle* after, std::size_t count,
               Node node) {
  auto graph = graph_of(graph_handle);
  if (!graph) return kInvalidHandle;
  if (graph->is_body && node.type == kHostNode) return kNotSupported;
  if (count) node.after.assign(after, after + count);
  *out = append(*graph, std::move(node)).handle;
  return kSuccess;
}

inline int conditional_node(const ConditionalParams& params, Node& node) {
  if (!conditions.count(params.condition))
    return fault("a conditional node without a condition", kInvalidValue);
  node.kind = params.type, node.condition = params.condition;
  for (unsigned i = 0; i < params.size; ++i) {
    auto body = std::make_shared<Graph>();
    body->is_body = true;
    node.bodies.push_back(bodies.add(body));
  }
  // The driver owns the list of bodies; it lives as long as the process here.
  auto list = new std::vector<Handle>;
  for (auto& body : node.bodies) list->push_back(body->handle);
  const_cast<ConditionalParams&>(params).bodies = list->data();
  return kSuccess;
}

inline int node_from(const NodeParams& params, Node& node) {
  node.type = static_cast<NodeType>(params.type);
  if (node.type == kEmptyNode) return kSuccess;
  if (node.type == kConditionalNode) return conditional_node(params.conditional, node);
  std::unique_ptr<Operation> work;
  if (node.type == kKernelNode) {
    auto& kernel = params.kernel;
    work = launch_of(kernel.function ? kernel.function : kernel.kernel, kernel.grid, kernel.block,
                     kernel.params);
  } else if (node.type == kMemsetNode && params.memset.height <= 1) {
    work = std::make_unique<Operation>(
        fill_of(params.memset.to, params.memset.value, params.memset.element, params.memset.width));
  } else if (node.type == kMemcpyNode && params.memcpy.height <= 1 && params.memcpy.depth <= 1) {
    auto address = [](const Side& side) {
      return (side.type == 1 ? side.host : side.device) + side.x;
    };
    work = std::make_unique<Operation>(
        copy_of(address(params.memcpy.to), address(params.memcpy.from), params.memcpy.width));
  } else {
    return fault("a kind of graph node that the stand-in does not know", kNotSupported);
  }
  if (!work) return kInvalidValue;
  node.work = std::make_shared<const Operation>(std::move(*work));
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
      return kIllegalState;  // cuda.core ends a capture again when it drops a builder that failed
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
    if (id) *id = capture->graph->handle;
    if (graph) *graph = capture->graph->handle;
    if (after) *after = capture->answer.data();
    if (edges) *edges = nullptr;
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

int cuGraphCreate(Handle* out, unsigned) {
  return in_context("cuGraphCreate", 0, 0, [&] {
    *out = graphs.add(std::make_shared<Graph>())->handle;
    return kSuccess;
  });
}

int cuGraphDestroy(Handle handle) {
  return call("cuGraphDestroy", 0, 0, [&]() -> int {
    auto found = graphs.live.find(handle);
    if (found == graphs.live.end() && abandoned.count(handle)) return kInvalidHandle;
    if (found != graphs.live.end()) forget(*found->second);
    return graphs.drop(handle);
  });
}

int cuGraphConditionalHandleCreate(std::uint64_t* out, Handle handle, Handle, unsigned value,
                                   unsigned flags) {
  return in_context("cuGraphConditionalHandleCreate", 0, 0, [&]() -> int {
    auto graph = graph_of(handle);
    if (!graph) return kInvalidHandle;
    *out = new_handle();
    conditions[*out] = {0, value, (flags & 1) != 0};
    graph->conditions.push_back(*out);
    return kSuccess;
  });
}

int cuGraphAddNode_v2(Handle* out, Handle graph, const Handle* after, const void*,
                      std::size_t count, NodeParams* params) {
  return in_context("cuGraphAddNode", 0, 0, [&]() -> int {
    Node node;
    if (params->type == kGraphNode)
      return fault("a child graph added with cuGraphAddNode", kNotSupported);
    int error = node_from(*params, node);
    return error ? error : add(out, graph, after, count, std::move(node));
  });
}

int cuGraphAddChildGraphNode(Handle* out, Handle graph, const Handle* after, std::size_t count,
                             Handle child) {
  return in_context("cuGraphAddChildGraphNode", 0, 0, [&]() -> int {
    auto inside = graph_of(child);
    if (!inside) return kInvalidHandle;
    Node node;
    node.type = kGraphNode, node.bodies = {instantiated(*inside)};
    return add(out, graph, after, count, std::move(node));
  });
}

int cuGraphGetNodes(Handle handle, Handle* out, std::size_t* count) {
  return call("cuGraphGetNodes", 0, 0, [&]() -> int {
    auto graph = graph_of(handle);
    if (!graph) return kInvalidHandle;
    for (std::size_t i = 0; out && i < *count && i < graph->nodes.size(); ++i)
      out[i] = graph->nodes[i]->handle;
    *count = graph->nodes.size();
    return kSuccess;
  });
}

int cuGraphNodeGetType(Handle handle, int* out) {
  return call("cuGraphNodeGetType", 0, 0, [&]() -> int {
    auto node = nodes.find(handle);
    if (node) *out = node->type;
    return node ? kSuccess : kInvalidHandle;
  });
}

int cuGraphInstantiateWithParams(Handle* out, Handle handle, InstantiateParams* params) {
  return in_context("cuGraphInstantiate", params->upload_stream, 0, [&]() -> int {
    auto graph = graph_of(handle);
    if (!graph) return kInvalidHandle;
    params->result = 0, params->failed_node = 0;
    auto executable = std::make_shared<Executable>();
    executable->graph = instantiated(*graph);
    *out = executables.add(executable)->handle;
    return kSuccess;
  });
}

int cuGraphInstantiateWithFlags(Handle* out, Handle graph, unsigned long long flags) {
  InstantiateParams params{flags, 0, 0, 0};
  return cuGraphInstantiateWithParams(out, graph, &params);
}

int cuGraphExecUpdate_v2(Handle executable_handle, Handle handle, UpdateResult* result) {
  return in_context("cuGraphExecUpdate", 0, 0, [&]() -> int {
    auto executable = executables.find(executable_handle);
    auto graph = graph_of(handle);
    if (!executable || !graph) return kInvalidHandle;
    auto updated = instantiated(*graph);
    bool same = updated->nodes.size() == executable->graph->nodes.size();
    for (std::size_t i = 0; same && i < updated->nodes.size(); ++i)
      same = updated->nodes[i]->type == executable->graph->nodes[i]->type;
    result->result = same ? 0 : 2;
    if (same) executable->graph = updated;
    return same ? kSuccess : 910;
  });
}

int cuGraphExecDestroy(Handle executable) {
  return call("cuGraphExecDestroy", 0, 0, [&] { return executables.drop(executable); });
}

int cuGraphUpload(Handle executable, Handle stream) {
  return in_context("cuGraphUpload", stream, 0, [&]() -> int {
    return executables.find(executable) && stream_of(stream) ? kSuccess : kInvalidHandle;
  });
}

int cuGraphLaunch(Handle executable_handle, Handle handle) {
  return in_context("cuGraphLaunch", handle, 0, [&]() -> int {
    auto executable = executables.find(executable_handle);
    if (!executable) return kInvalidHandle;
    auto graph = executable->graph;
    if (auto stream = stream_of(handle); stream && stream->capture) {
      Node node;
      node.type = kGraphNode, node.bodies = {graph}, node.after = stream->capture->ends[handle];
      stream->capture->ends[handle] = {append(*stream->capture->graph, std::move(node)).handle};
      return kSuccess;
    }
    return enqueue(handle, {"graph", kGraphNode, graph->nodes.size(), {}, [graph, handle] {
                              run(*graph, handle);
                              return world.sticky;
                            }});
  });
}

int cuUserObjectCreate(Handle* out, void* pointer, void (*destroy)(void*), unsigned count,
                       unsigned) {
  return call("cuUserObjectCreate", 0, 0, [&] {
    auto object = std::make_shared<UserObject>();
    object->pointer = pointer, object->destroy = destroy, object->count = count;
    *out = user_objects.add(object)->handle;
    return kSuccess;
  });
}

int cuUserObjectRelease(Handle handle, unsigned count) {
  return call("cuUserObjectRelease", 0, 0, [&]() -> int {
    auto object = user_objects.find(handle);
    if (!object) return kInvalidHandle;
    if (object->count > count)
      object->count -= count;
    else
      user_objects.drop(handle);
    return kSuccess;
  });
}

int cuGraphRetainUserObject(Handle graph_handle, Handle handle, unsigned count, unsigned flags) {
  return call("cuGraphRetainUserObject", 0, 0, [&]() -> int {
    auto graph = graph_of(graph_handle);
    auto object = user_objects.find(handle);
    if (!graph || !object) return kInvalidHandle;
    graph->keeps[handle] = object;
    return flags & 1 ? cuUserObjectRelease(handle, count)
                     : kSuccess;  // 1: the caller's reference moves to the graph
  });
}

int cuGraphReleaseUserObject(Handle graph_handle, Handle handle, unsigned) {
  return call("cuGraphReleaseUserObject", 0, 0, [&]() -> int {
    auto graph = graph_of(graph_handle);
    if (!graph) return kInvalidHandle;
    graph->keeps.erase(handle);
    return kSuccess;
  });
}
}
