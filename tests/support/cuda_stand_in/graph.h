// Graphs: built by capture or node by node, cloned when instantiated, replayed in the worst
// legal order.
#pragma once
#include <algorithm>
#include <set>

#include "device.h"
#include "stream.h"

struct UserObject {  // an object that a graph keeps alive
  Handle handle = 0;
  void* pointer;
  void (*destroy)(void*);
  unsigned count;
  ~UserObject() { destroy(pointer); }
};

struct Node {
  Handle handle = 0;
  NodeType type = kEmptyNode;
  Work work;
  std::vector<Handle> after;
  std::vector<std::shared_ptr<Graph>> bodies;   // of a child graph or a condition
  std::shared_ptr<std::vector<Handle>> listed;  // the bodies of a condition, for its maker
  int kind = kIf;
  std::uint64_t condition = 0;
  bool enabled = true;
};

struct Graph {
  Handle handle = 0;
  bool is_body = false;  // the body of a condition, where only some kinds of nodes are allowed
  std::vector<std::shared_ptr<Node>> nodes;
  std::vector<std::uint64_t> conditions;
  std::map<Handle, std::shared_ptr<UserObject>> keeps;
};

struct Executable {
  Handle handle = 0;
  std::shared_ptr<Graph> graph;
};

struct Condition {
  unsigned value, at_launch;
  bool assign;
};

inline Table<Graph> graphs{"a graph"}, bodies{"a graph's body"};
inline Table<Node> nodes{"a graph's node"};
inline Table<Executable> executables{"an executable graph"};
inline Table<UserObject> user_objects{"a user object"};
inline std::map<std::uint64_t, Condition> conditions;
inline std::set<Handle>
    abandoned;  // graphs of failed captures: gone, although cuda.core destroys them again

inline std::shared_ptr<Graph> graph_of(Handle handle) {
  auto found = bodies.live.find(handle);
  return found != bodies.live.end() ? found->second : graphs.find(handle);
}

inline Node& append(Graph& graph, Node node) {
  auto added = nodes.add(std::make_shared<Node>(std::move(node)));
  graph.nodes.push_back(added);
  return *added;
}

inline int add_node(Capture& capture, Handle stream, Work work) {
  if (capture.invalid) return kCaptureInvalidated;
  if (capture.graph->is_body && work->type == kHostNode) return invalidate(capture, kNotSupported);
  Node node;
  node.type = work->type, node.work = work, node.after = capture.ends[stream];
  capture.ends[stream] = {append(*capture.graph, std::move(node)).handle};
  return kSuccess;
}

inline int wait_in_capture(Stream& stream, Event& event) {
  auto into = stream.capture;
  if (into && !event.capture) return invalidate(*into, kCaptureIsolation);
  if (into && into != event.capture) return invalidate(*into, 902);
  if (std::find(captures.begin(), captures.end(), event.capture) == captures.end())
    return kInvalidHandle;
  if (event.capture->invalid) return kCaptureInvalidated;
  stream.capture = event.capture;
  auto& ends = event.capture->ends[stream.handle];
  ends.insert(ends.end(), event.ends.begin(), event.ends.end());
  return kSuccess;
}

// All nodes before `ends`, and `ends` themselves.
inline std::set<Handle> ancestors(const Graph& graph, std::vector<Handle> ends) {
  std::map<Handle, Node*> of;
  for (auto& node : graph.nodes) of[node->handle] = node.get();
  std::set<Handle> seen;
  while (!ends.empty()) {
    Handle next = ends.back();
    ends.pop_back();
    if (seen.insert(next).second && of.count(next))
      ends.insert(ends.end(), of[next]->after.begin(), of[next]->after.end());
  }
  return seen;
}

inline bool is_joined(Capture& capture) {
  auto joined = ancestors(*capture.graph, capture.ends[capture.origin]);
  for (auto& [stream, ends] : capture.ends)
    for (Handle end : ends)
      if (!joined.count(end)) return false;
  return true;
}

inline void end_capture(const std::shared_ptr<Capture>& capture) {
  for (auto& [handle, stream] : streams.live)
    if (stream->capture == capture) stream->capture = nullptr;
  captures.erase(std::find(captures.begin(), captures.end(), capture));
}

// The nodes in an order that their edges allow, newest first, so that a missing edge has an effect.
inline std::vector<std::shared_ptr<Node>> inconvenient_order(
    const std::vector<std::shared_ptr<Node>>& given) {
  std::map<Handle, std::size_t> index;
  std::vector<std::size_t> waits(given.size());
  std::vector<std::vector<std::size_t>> followers(given.size());
  for (std::size_t i = 0; i < given.size(); ++i) index[given[i]->handle] = i;
  std::set<std::size_t> ready;
  for (std::size_t i = 0; i < given.size(); ++i) {
    for (Handle before : given[i]->after)
      if (index.count(before)) followers[index[before]].push_back(i), ++waits[i];
    if (!waits[i]) ready.insert(i);
  }
  std::vector<std::shared_ptr<Node>> order;
  while (!ready.empty()) {
    std::size_t next = *ready.rbegin();
    ready.erase(next);
    order.push_back(given[next]);
    for (std::size_t follower : followers[next])
      if (!--waits[follower]) ready.insert(follower);
  }
  return order;
}

inline std::shared_ptr<Graph> instantiated(const Graph& graph) {
  auto clone = std::make_shared<Graph>(graph);
  clone->nodes = inconvenient_order(graph.nodes);
  for (auto& node : clone->nodes) {
    node = std::make_shared<Node>(*node);
    for (auto& body : node->bodies) body = instantiated(*body);
  }
  return clone;
}

// Where the run of a graph is: a node, and a turn of it if it is a while node.
struct Place {
  std::size_t node = 0;
  unsigned turn = 0;
};

inline void run(const Graph& graph, Handle stream);

// Runs a graph up to its end or to the end of the next turn of a while node. Returns whether it has
// more to do.
inline bool run_on(const Graph& graph, Handle stream, Place& at) {
  if (at.node == 0 && at.turn == 0)
    for (std::uint64_t condition : graph.conditions)
      if (conditions[condition].assign)
        conditions[condition].value = conditions[condition].at_launch;
  for (; at.node < graph.nodes.size(); ++at.node, at.turn = 0) {
    auto& node = graph.nodes[at.node];
    if (world.sticky || !node->enabled) continue;
    if (node->work) perform(*node->work, stream);
    if (node->type == kGraphNode) run(*node->bodies[0], stream);
    if (node->type != kConditionalNode) continue;
    auto& value = conditions[node->condition].value;
    if (node->kind == kIf && (value || node->bodies.size() > 1))
      run(*node->bodies[value ? 0 : 1], stream);
    if (node->kind == kSwitch && value < node->bodies.size()) run(*node->bodies[value], stream);
    if (node->kind != kWhile || !value) continue;
    if (at.turn == world.settings.while_limit)
      world.sticky = fault("a while graph that does not end", kLaunchTimeout);
    else
      run(*node->bodies[0], stream);
    ++at.turn;
    return true;
  }
  return false;
}

inline void run(const Graph& graph, Handle stream) {
  Place at;
  while (run_on(graph, stream, at)) continue;
}

inline void forget(const Graph& graph) {
  for (auto& node : graph.nodes) {
    nodes.live.erase(node->handle);
    for (auto& body : node->bodies) {
      bodies.live.erase(body->handle);
      forget(*body);
    }
  }
}

// Whether the graph or a nested graph uses this block.
inline bool works_on(const Graph& graph, const Block& block) {
  for (auto& node : graph.nodes) {
    if (node->work)
      for (auto& touch : node->work->touches)
        if (touch.at >= block.start && touch.at < block.start + block.size) return true;
    for (auto& body : node->bodies)
      if (works_on(*body, block)) return true;
  }
  return false;
}
