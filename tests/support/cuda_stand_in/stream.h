// Streams are lazy queues: work runs when the host synchronises, one operation at a time, in the
// stream's order. A turn of a while node is an operation of its own.
#pragma once
#include <chrono>
#include <deque>
#include <thread>

#include "memory.h"

struct Touch {
  Address at;
  std::size_t size;
};

struct Operation {
  std::string name;
  NodeType type;
  std::size_t size;
  std::vector<Touch> touches;
  std::function<int()> run;
};

using Work = std::shared_ptr<const Operation>;

struct Graph;
struct Node;

struct Capture {
  std::shared_ptr<Graph> graph;
  Handle origin;
  int mode;  // 0 global, 1 of the thread, 2 relaxed
  std::thread::id thread;
  bool invalid = false;
  std::map<Handle, std::vector<Handle>>
      ends;                    // for each participating stream: the nodes before its next node
  std::vector<Handle> answer;  // what cuStreamGetCaptureInfo points to
  std::vector<std::uint64_t> plain;  // the data of the edges, which is 0
};

struct Queued {
  std::uint64_t order;  // order over all streams
  Work work;
};

struct Stream {
  Handle handle = 0;
  bool blocking = true;  // synchronises with the default stream
  int device = 0, priority = 0;
  std::deque<Queued> queue;
  std::shared_ptr<Capture> capture;
};

struct Ticket {  // one recording of an event
  bool done = false;
  std::chrono::steady_clock::time_point when;
  std::shared_ptr<Stream> stream;
};

struct Event {
  Handle handle = 0;
  bool timing = true;
  std::shared_ptr<Ticket> ticket;
  std::shared_ptr<Capture> capture;  // if the event was recorded in a capture
  std::vector<Handle> ends;
};

inline Table<Stream> streams{"a stream"};
inline Table<Event> events{"an event"};
inline std::map<Handle, std::shared_ptr<Stream>> default_streams;
inline std::vector<std::shared_ptr<Capture>> captures;  // in progress
inline std::uint64_t queued = 0;
inline thread_local int capture_mode = 0;

inline std::shared_ptr<Stream> stream_of(Handle handle) {
  if (handle > 2) return streams.find(handle);
  auto& stream = default_streams[handle == 0 ? 1 : handle];
  if (!stream) stream = std::make_shared<Stream>();
  stream->handle = handle == 0 ? 1 : handle;
  return stream;
}

// Runs one operation now, and returns whether it has more to do. An invalid access breaks the device,
// as on a real device, and is also a fault.
inline bool perform(const Operation& work, Handle stream) {
  if (world.sticky) return false;
  std::size_t index = world.records.size();
  world.records.push_back({'r', work.name, stream, work.size, 0});
  int error = failure_of("run:" + work.name);
  for (auto& touch : work.touches) {
    std::string wrong = error ? "" : trouble(touch.at, touch.size);
    if (!wrong.empty()) error = fault(work.name + " touches " + wrong, kIllegalAddress);
  }
  if (!error) error = work.run();
  const bool more = error == kMore;
  if (more) error = kSuccess;
  if (error) world.sticky = error;
  for (auto& touch : work.touches)
    if (Block* block = is_ours(touch.at) ? block_of(touch.at) : nullptr) check_guards(*block);
  if (index < world.records.size()) world.records[index].result = error;
  return more;
}

inline void step(Stream& stream);

inline void run_before(Stream& stream, std::uint64_t order) {
  while (!stream.queue.empty() && stream.queue.front().order < order) step(stream);
}

inline void step(Stream& stream) {
  Queued next = stream.queue.front();
  stream.queue.pop_front();
  auto legacy = stream_of(0);
  if (&stream == legacy.get()) {
    auto all = streams.live;
    for (auto& [handle, other] : all)
      if (other->blocking) run_before(*other, next.order);
  } else if (stream.blocking) {
    run_before(*legacy, next.order);
  }
  if (perform(*next.work, stream.handle)) stream.queue.push_front(next);
}

inline void run_all(Stream& stream) { run_before(stream, UINT64_MAX); }

inline int invalidate(Capture& capture, int error) {
  capture.invalid = true;
  return error;
}

// For calls that the driver forbids while a stream captures: an error that also ends this
// capture.
inline int not_while_capturing() {
  int error = kSuccess;
  for (auto& capture : captures) {
    bool own = capture->thread == std::this_thread::get_id();
    if (capture_mode == 2 || capture->mode == 2) continue;
    if (own || (capture->mode == 0 && capture_mode == 0))
      error = invalidate(*capture, kCaptureUnsupported);
  }
  return error;
}

inline int add_node(Capture& capture, Handle stream, Work work);

inline int enqueue(Handle handle, Operation operation) {
  auto stream = stream_of(handle);
  if (!stream) return kInvalidHandle;
  auto work = std::make_shared<const Operation>(std::move(operation));
  if (stream->capture) return add_node(*stream->capture, handle, work);
  if (stream->handle == 1)
    for (auto& capture : captures)
      for (auto& [other, ends] : capture->ends)
        if (auto found = streams.live.find(other);
            found != streams.live.end() && found->second->blocking)
          return invalidate(*capture, kCaptureImplicit);
  stream->queue.push_back({++queued, work});
  if (world.settings.eager) run_all(*stream);
  return kSuccess;
}

inline int synchronize(Handle handle) {
  auto stream = stream_of(handle);
  if (!stream) return kInvalidHandle;
  if (stream->capture) return invalidate(*stream->capture, kCaptureUnsupported);
  run_all(*stream);
  return world.sticky;
}

inline int synchronize_all() {
  if (!captures.empty()) {
    for (auto& capture : captures) capture->invalid = true;
    return kCaptureUnsupported;
  }
  auto all = streams.live;
  for (auto& [handle, stream] : all) run_all(*stream);
  auto defaults = default_streams;
  for (auto& [handle, stream] : defaults) run_all(*stream);
  return world.sticky;
}

inline void finish(Ticket& ticket) {
  while (!ticket.done && !ticket.stream->queue.empty()) step(*ticket.stream);
}
