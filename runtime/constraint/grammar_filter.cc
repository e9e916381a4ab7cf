#include "runtime/constraint/grammar_filter.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

constexpr int64_t kMostWork = 1 << 20;  // some tenths of a second

}  // namespace

GrammarFilter::GrammarFilter(std::shared_ptr<const Grammar> grammar,
                             std::shared_ptr<const TokenTrie> tokens)
    : tokens_(std::move(tokens)),
      automaton_(std::move(grammar)),
      state_(automaton_.start()),
      path_(tokens_->depth() + 1) {}

absl::StatusOr<absl::Span<const uint64_t>> GrammarFilter::Allowed() {
  constexpr size_t kMostMasks = 64;  // 1.2 MB for a vocabulary of 150,000
  if (automaton_.Trim(&state_) || masks_.size() > kMostMasks) masks_.clear();
  const Automaton::State state = automaton_.Alike(state_, tokens_->depth());
  auto known = masks_.find(state);
  if (known == masks_.end()) {
    SLUICE_ASSIGN_OR_RETURN(Mask mask, Find(state));
    known = masks_.emplace(state, std::move(mask)).first;
  }
  if (known->second.is_empty) {
    return absl::FailedPreconditionError(
        absl::StrCat("after ", bytes_,
                     " bytes of a constrained text, no token of the vocabulary "
                     "can come next: it lacks bytes that the text needs"));
  }
  return absl::MakeConstSpan(known->second.bits);
}

absl::StatusOr<GrammarFilter::Mask> GrammarFilter::Find(Automaton::State state) {
  automaton_.Allow(kMostWork);
  Mask mask;
  mask.bits.resize(static_cast<size_t>(tokens_->vocabulary() + 63) / 64);
  const auto allow = [&mask](int32_t token) {
    mask.bits[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token % 64);
    mask.is_empty = false;
  };
  if (automaton_.Accepts(state)) {
    for (const int32_t token : tokens_->ends()) allow(token);
  }
  const absl::Span<const TokenTrie::Node> nodes = tokens_->nodes();
  path_[0] = state;
  for (size_t i = 0; i + 1 < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const Automaton::State next = automaton_.Next(path_[node.depth], node.byte);
    if (next == Automaton::kDead) {
      i = static_cast<size_t>(node.end);
      continue;
    }
    path_[node.depth + size_t{1}] = next;
    ++i;
    for (int32_t t = node.first_token; t < nodes[i].first_token; ++t) {
      allow(tokens_->tokens()[static_cast<size_t>(t)]);
    }
  }
  if (!automaton_.exhausted()) return mask;
  return absl::ResourceExhaustedError(
      absl::StrCat("after ", bytes_,
                   " bytes of a constrained text, there are too many ways in "
                   "which it may go on: the constraint is too ambiguous"));
}

void GrammarFilter::Accept(int32_t token) {
  automaton_.Allow(kMostWork);
  const absl::string_view text = tokens_->TextOf(token);
  for (const char byte : text) state_ = automaton_.Next(state_, static_cast<uint8_t>(byte));
  bytes_ += static_cast<int64_t>(text.size());
  if (text.empty()) state_ = Automaton::kDead;  // nothing that the text may hold
}

bool GrammarFilter::IsComplete() const {
  return automaton_.Accepts(state_) && automaton_.IsLast(state_);
}

}  // namespace sluice
