// The driver's functions on executable graphs, and on objects that graphs keep alive.
#pragma once
#include "graph.h"

extern "C" {

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
    auto at = std::make_shared<Place>();
    return enqueue(handle, {"graph", kGraphNode, graph->nodes.size(), {}, [graph, handle, at] {
                              const bool more = run_on(*graph, handle, *at);
                              return more && !world.sticky ? kMore : world.sticky;
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
