// A language of byte strings: a pushdown automaton as a graph of nodes.
//
// A node matches something and goes on at its `next`. What is used in several places, or within
// itself, is a body: nodes that end in kReturn, called by kRepeat. So a call is a repetition of
// exactly one, an option one of at most one, and a counter is part of a call's frame, which keeps
// {"maxLength": 1000000} small.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

using GrammarNodeId = int32_t;

struct GrammarNode {
  enum class Kind : uint8_t {
    kReturn,  // the end of the body; outside of any, of the text
    kByte,    // one of first to last
    kSplit,   // what `next` or what `other` matches
    kRepeat,  // what the body `other` matches, min to max times
  };
  Kind kind = Kind::kReturn;
  uint8_t first = 0, last = 0;
  GrammarNodeId next = -1;
  GrammarNodeId other = -1;  // -1: of a split, no other way
  uint32_t min = 0, max = 0;
};

class Grammar {
 public:
  static constexpr uint32_t kUnlimited = std::numeric_limits<uint32_t>::max();
  // Frames that calls within calls may take: more than 60 levels of JSON. Ways that could not end
  // without more are never begun, so that every beginning of a text has an end.
  static constexpr int32_t kMaxDepth = 128;

  const GrammarNode& node(GrammarNodeId id) const { return nodes_[static_cast<size_t>(id)]; }
  // Frames that it takes at least from here to the end of the body.
  int32_t need(GrammarNodeId id) const { return needs_[static_cast<size_t>(id)]; }
  GrammarNodeId start() const { return start_; }

  // Bytes of one class are alike to every node.
  int32_t classes() const { return static_cast<int32_t>(first_of_class_.size()); }
  uint8_t ClassOf(uint8_t byte) const { return class_of_[byte]; }
  uint8_t FirstOf(int32_t byte_class) const {
    return first_of_class_[static_cast<size_t>(byte_class)];
  }

 private:
  friend class GrammarBuilder;
  void FindNeeds();
  int32_t NeedOf(const GrammarNode& node) const;
  void FindClasses();

  std::vector<GrammarNode> nodes_;
  std::vector<int32_t> needs_;
  GrammarNodeId start_ = 0;
  std::array<uint8_t, 256> class_of_ = {};
  std::vector<uint8_t> first_of_class_;
};

// Builds a grammar from its end to its start: what comes next is there first.
class GrammarBuilder {
 public:
  GrammarBuilder();

  GrammarNodeId Return() const { return 0; }
  // Matches nothing.
  GrammarNodeId Never() const { return 1; }
  GrammarNodeId Bytes(uint8_t first, uint8_t last, GrammarNodeId next);
  GrammarNodeId Literal(absl::string_view text, GrammarNodeId next);
  GrammarNodeId Either(GrammarNodeId one, GrammarNodeId other);
  GrammarNodeId Repeat(GrammarNodeId body, uint32_t min, uint32_t max, GrammarNodeId next);
  GrammarNodeId Call(GrammarNodeId body, GrammarNodeId next) { return Repeat(body, 1, 1, next); }
  // One of `texts`, which are sorted and differ. What they begin with alike is there once.
  GrammarNodeId OneOf(absl::Span<const std::string> texts, GrammarNodeId next);
  // A node that is used before it is known what it stands for.
  GrammarNodeId Reserve();
  void Define(GrammarNodeId reserved, GrammarNodeId node);

  // InvalidArgument: nothing fits, or there are too many nodes. The builder is empty afterwards.
  absl::StatusOr<std::shared_ptr<const Grammar>> Build(GrammarNodeId start);

 private:
  GrammarNodeId Add(const GrammarNode& node);
  GrammarNodeId Branches(absl::Span<const std::string> texts, size_t begin, GrammarNodeId next);

  std::vector<GrammarNode> nodes_;
  bool full_ = false;
};

}  // namespace sluice
