// The driver's functions that build graphs node by node.
#pragma once
#include "copy.h"
#include "kernel.h"

inline int add(Handle* out, Handle graph_handle, const Handle* after, std::size_t count,
               Node node) {
  auto graph = graph_of(graph_handle);
  if (!graph) return kInvalidHandle;
  if (graph->is_body && node.type == kHostNode) return kNotSupported;
  if (count) node.after.assign(after, after + count);
  *out = append(*graph, std::move(node)).handle;
  return kSuccess;
}

inline int conditional_node(const Graph& graph, const ConditionalParams& params, Node& node) {
  if (!conditions.count(params.condition))
    return fault("a conditional node without a condition", kInvalidValue);
  if (!std::count(graph.conditions.begin(), graph.conditions.end(), params.condition))
    return fault("a conditional node with the condition of another graph", kInvalidValue);
  for (auto& other : graph.nodes)
    if (other->type == kConditionalNode && other->condition == params.condition)
      return fault("two conditional nodes with one condition", kInvalidValue);
  if (params.context != context_of(device_of_thread))
    return fault("a conditional node of another context", kInvalidContext);
  node.kind = params.type, node.condition = params.condition;
  for (unsigned i = 0; i < params.size; ++i) {
    auto body = std::make_shared<Graph>();
    body->is_body = true;
    node.bodies.push_back(bodies.add(body));
  }
  node.listed = std::make_shared<std::vector<Handle>>();
  for (auto& body : node.bodies) node.listed->push_back(body->handle);
  const_cast<ConditionalParams&>(params).bodies = node.listed->data();
  return kSuccess;
}

inline int node_from(const Graph& graph, const NodeParams& params, Node& node) {
  node.type = static_cast<NodeType>(params.type);
  if (node.type == kEmptyNode) return kSuccess;
  if (node.type == kConditionalNode) return conditional_node(graph, params.conditional, node);
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
    if (int error = since(12030, "cuGraphConditionalHandleCreate")) return error;
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
    if (int error = since(12030, "cuGraphAddNode")) return error;
    if (params->type == kGraphNode)
      return fault("a child graph added with cuGraphAddNode", kNotSupported);
    auto into = graph_of(graph);
    if (!into) return kInvalidHandle;
    int error = node_from(*into, *params, node);
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
}
