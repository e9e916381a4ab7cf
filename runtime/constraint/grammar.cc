#include "runtime/constraint/grammar.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

namespace sluice {
namespace {

using Kind = GrammarNode::Kind;

constexpr size_t kMaxNodes = size_t{1} << 17;
constexpr int32_t kEndless = std::numeric_limits<int32_t>::max() / 2;

}  // namespace

int32_t Grammar::NeedOf(const GrammarNode& node) const {
  switch (node.kind) {
    case Kind::kReturn:
      return 0;
    case Kind::kByte:
      return need(node.next);
    case Kind::kSplit:
      return std::min(node.next < 0 ? kEndless : need(node.next),
                      node.other < 0 ? kEndless : need(node.other));
    case Kind::kRepeat:
      if (node.min > node.max) return kEndless;
      if (node.min == 0) return need(node.next);
      return std::min(kEndless, std::max(need(node.next), need(node.other) + 1));
  }
  return kEndless;
}

// A node's need follows from those of the nodes that it uses: so this begins at the ends of bodies,
// and what is found to be less may make its users less.
void Grammar::FindNeeds() {
  needs_.assign(nodes_.size(), kEndless);
  std::vector<std::vector<GrammarNodeId>> users(nodes_.size());
  std::vector<GrammarNodeId> todo;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const auto id = static_cast<GrammarNodeId>(i);
    for (const GrammarNodeId used : {nodes_[i].next, nodes_[i].other}) {
      if (used >= 0) users[static_cast<size_t>(used)].push_back(id);
    }
    if (nodes_[i].kind == Kind::kReturn) todo.push_back(id);
  }
  while (!todo.empty()) {
    const auto id = static_cast<size_t>(todo.back());
    todo.pop_back();
    const int32_t need = NeedOf(nodes_[id]);
    if (need >= needs_[id]) continue;
    needs_[id] = need;
    todo.insert(todo.end(), users[id].begin(), users[id].end());
  }
}

void Grammar::FindClasses() {
  std::array<bool, 257> begins = {};
  begins[0] = true;
  for (const GrammarNode& node : nodes_) {
    if (node.kind == Kind::kByte) begins[node.first] = begins[node.last + 1] = true;
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    if (begins[byte]) first_of_class_.push_back(static_cast<uint8_t>(byte));
    class_of_[byte] = static_cast<uint8_t>(first_of_class_.size() - 1);
  }
}

GrammarBuilder::GrammarBuilder() {
  Add({.kind = Kind::kReturn});
  Add({.kind = Kind::kSplit});
}

GrammarNodeId GrammarBuilder::Add(const GrammarNode& node) {
  if (nodes_.size() == kMaxNodes) {
    full_ = true;  // Build says so
    return Never();
  }
  nodes_.push_back(node);
  return static_cast<GrammarNodeId>(nodes_.size() - 1);
}

GrammarNodeId GrammarBuilder::Bytes(uint8_t first, uint8_t last, GrammarNodeId next) {
  return Add({.kind = Kind::kByte, .first = first, .last = last, .next = next});
}

GrammarNodeId GrammarBuilder::Literal(absl::string_view text, GrammarNodeId next) {
  for (auto byte = text.rbegin(); byte != text.rend(); ++byte) {
    next = Bytes(static_cast<uint8_t>(*byte), static_cast<uint8_t>(*byte), next);
  }
  return next;
}

GrammarNodeId GrammarBuilder::Either(GrammarNodeId one, GrammarNodeId other) {
  if (one == Never()) return other;
  return other == Never() ? one : Add({.kind = Kind::kSplit, .next = one, .other = other});
}

GrammarNodeId GrammarBuilder::Repeat(GrammarNodeId body, uint32_t min, uint32_t max,
                                     GrammarNodeId next) {
  return Add({.kind = Kind::kRepeat, .next = next, .other = body, .min = min, .max = max});
}

GrammarNodeId GrammarBuilder::OneOf(absl::Span<const std::string> texts, GrammarNodeId next) {
  return texts.empty() ? Never() : Branches(texts, 0, next);
}

// For the parts of `texts` from `begin` on; before it they are alike.
GrammarNodeId GrammarBuilder::Branches(absl::Span<const std::string> texts, size_t begin,
                                       GrammarNodeId next) {
  const absl::string_view first = texts.front();
  const absl::string_view last = texts.back();
  size_t parted = begin;  // of sorted texts, the first and the last are the least alike
  while (parted < std::min(first.size(), last.size()) && first[parted] == last[parted]) ++parted;
  if (texts.size() == 1) parted = first.size();
  GrammarNodeId ways = Never();
  if (first.size() == parted) {  // one ends where the others go on
    ways = next;
    texts.remove_prefix(1);
  }
  while (!texts.empty()) {
    const auto end = std::find_if(texts.begin(), texts.end(), [&](const std::string& text) {
      return text[parted] != texts.front()[parted];
    });
    const auto count = static_cast<size_t>(end - texts.begin());
    ways = Either(ways, Branches(texts.first(count), parted, next));
    texts.remove_prefix(count);
  }
  return Literal(first.substr(begin, parted - begin), ways);
}

GrammarNodeId GrammarBuilder::Reserve() { return Add({.kind = Kind::kSplit}); }

void GrammarBuilder::Define(GrammarNodeId reserved, GrammarNodeId node) {
  if (reserved != Never()) nodes_[static_cast<size_t>(reserved)].next = node;
}

absl::StatusOr<std::shared_ptr<const Grammar>> GrammarBuilder::Build(GrammarNodeId start) {
  if (full_) {
    return absl::InvalidArgumentError(
        absl::StrCat("too large: it makes more than ", kMaxNodes, " nodes of a grammar"));
  }
  const auto grammar = std::make_shared<Grammar>();
  grammar->nodes_ = std::move(nodes_);
  grammar->start_ = start;
  grammar->FindNeeds();
  grammar->FindClasses();
  if (grammar->need(start) > Grammar::kMaxDepth) {
    return absl::InvalidArgumentError("no value fits, or only ones that are nested too deeply");
  }
  return grammar;
}

}  // namespace sluice
