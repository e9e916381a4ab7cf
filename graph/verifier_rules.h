// What the files of the verifier share; for graph/verifier*.cc only.
#pragma once

#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "graph/error_list.h"
#include "graph/graph.h"
#include "graph/text.h"
#include "graph/verifier.h"

namespace sluice {

// A node in a message, printed only where the message is made.
struct NodeLine {
  const Node& node;
};

// What the rules find. Of each source and each node the first fault is kept; what is beyond the
// limit is counted, and its message is not made.
class Faults {
 public:
  // Faults from now on are of this rule.
  void BeginRule(absl::string_view title) {
    title_ = title;
    is_broken_ = false;
  }
  bool is_broken() const { return is_broken_; }  // the rule, whether or not that was told

  template <typename... What>
  void OfGraph(const What&... what) {
    is_broken_ = true;
    if (HasRoom()) Keep(nullptr, absl::StrCat("graph: ", Shown(what)...));
  }
  // For rules that cannot print a node.
  template <typename... What>
  void OfRef(const Value& value, const What&... what) {
    if (IsFirst(OwnerOf(value))) Keep(&value, absl::StrCat(value.ref(), ": ", Shown(what)...));
  }
  template <typename... What>
  void OfNode(const Node& node, const What&... what) {
    if (IsFirst(&node)) Keep(node.result(), absl::StrCat(Print(node), ": ", Shown(what)...));
  }
  template <typename... What>
  void OfValue(const Value& value, const What&... what) {
    if (value.producer() == nullptr) return OfRef(value, what...);
    OfNode(*value.producer(), value.ref(), ": ", what...);
  }
  // A fault that follows from another one: it is not told, and neither is what follows from it.
  void Silence(const Node& node) {
    is_broken_ = true;
    faulty_.insert(&node);
  }

  bool is_full() const { return found_.shown.size() >= ErrorList::kMaxShown; }
  bool Has(const Value& value) const { return faulty_.contains(OwnerOf(value)); }
  bool Has(const Node& node) const { return faulty_.contains(&node); }
  // Whether the node reads the value of a faulty node or source.
  bool HasOperandOf(const Node& node) const;

  Violations Take() && { return std::move(found_); }

 private:
  template <typename T>
  static const T& Shown(const T& what) {
    return what;
  }
  static std::string Shown(const NodeLine& line) { return Print(line.node); }

  static const void* OwnerOf(const Value& value) {
    return value.producer() != nullptr ? static_cast<const void*>(value.producer()) : &value;
  }
  bool HasRoom() {
    if (!is_full()) return true;
    ++found_.more;
    return false;
  }
  bool IsFirst(const void* owner) {
    is_broken_ = true;
    return faulty_.insert(owner).second && HasRoom();
  }
  void Keep(const Value* value, absl::string_view what) {
    found_.shown.push_back({absl::StrCat("rule ", title_, ": ", what), value});
  }

  absl::string_view title_;
  bool is_broken_ = false;
  Violations found_;
  absl::flat_hash_set<const void*> faulty_;  // nodes and sources
};

// Rules about storage, in verifier_storage.cc; the others are in verifier.cc.
void CheckInPlace(const Graph& graph, Faults& faults);  // V9
void CheckMemory(const Graph& graph, Faults& faults);   // V11

}  // namespace sluice
