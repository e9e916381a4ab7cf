// Memory that device and host share: where a step's inputs come in and its outputs go out. Sizes,
// the step's own inputs and outputs of nodes that run once are there for good. What parts of a step
// take from other devices, and what they give, is there from one run to the next: parts follow each
// other in the same bytes, as many as the largest needs.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "backends/vulkan/memory.h"
#include "backends/vulkan/program.h"
#include "backends/vulkan/record.h"

namespace sluice::vulkan {

class Staging {
 public:
  // All three outlive it.
  Staging(const Device& device, const Graph& graph, const CompiledProgram& program);

  // Makes room for what these nodes take and give; other parts' is gone. True: there are other
  // buffers than before, and what was recorded with those is void.
  absl::StatusOr<bool> Reserve(const NodeRange& nodes);

  // Where a span of Region::kUpload or Region::kOutput is now. It must belong to the nodes that
  // room was made for.
  Location Locate(const Span& span) const;
  std::byte* HostOf(const Span& span) const;

  // Whether an input comes, or an output goes, with these nodes; outputs that are there for good go
  // with all.
  bool IsTaken(size_t input, const NodeRange& nodes) const;
  bool IsGiven(size_t output, const NodeRange& nodes) const;

  int64_t bytes() const { return upload_.bytes() + output_.bytes(); }

 private:
  // One direction. Spans up to `fixed` are where they say; of the others, those of a part lie side
  // by side, and the first of them behind the fixed ones.
  struct Direction {
    MemoryKind kind;
    const char* what;
    int64_t fixed;
    int64_t begin = 0, end = 0;  // of the part's spans
    std::unique_ptr<DeviceBuffer> buffer;

    int64_t bytes() const { return buffer != nullptr ? buffer->bytes() : 0; }
    int64_t OffsetOf(const Span& span) const {
      return span.offset < fixed ? span.offset : span.offset - begin + fixed;
    }
    void Add(const Span& span);
    absl::StatusOr<bool> Reserve(const Device& device);
  };
  const Direction& DirectionOf(const Span& span) const {
    return span.region == Region::kUpload ? upload_ : output_;
  }

  const Device& device_;
  const CompiledProgram& program_;
  // By input: the first node that reads it, 0 for the step's own; by output: the node that makes
  // it.
  std::vector<size_t> readers_, makers_;
  Direction upload_, output_;
};

}  // namespace sluice::vulkan
