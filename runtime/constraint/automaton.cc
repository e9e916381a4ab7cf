#include "runtime/constraint/automaton.h"

#include <algorithm>

namespace sluice {
namespace {

using Kind = GrammarNode::Kind;

// The count that stands for `count` where that is near no limit: each time through the body takes
// a byte at least, so that within `bytes` neither count gets to min or max.
uint32_t AlikeCount(const GrammarNode& repeat, uint32_t count, size_t bytes) {
  if (repeat.max != Grammar::kUnlimited && repeat.max - count <= bytes) return count;
  if (count >= repeat.min) return repeat.min;
  return repeat.min - count > bytes ? 0 : count;
}

}  // namespace

Automaton::Automaton(std::shared_ptr<const Grammar> grammar)
    : grammar_(std::move(grammar)), classes_(static_cast<size_t>(grammar_->classes())) {
  StateData start;
  todo_.push_back({grammar_->start(), 0, kNoFrame});
  Close(&start);
  start_ = Intern(std::move(start));
}

Automaton::State Automaton::FindNext(State state, size_t byte_class) {
  const uint8_t byte = grammar_->FirstOf(static_cast<int32_t>(byte_class));
  for (const auto& [id, frame] : DataOf(state).places) {
    const GrammarNode& node = grammar_->node(id);
    if (node.first <= byte && byte <= node.last) todo_.push_back({node.next, 0, frame});
  }
  StateData reached;
  if (!Close(&reached)) return kDead;
  const bool is_dead = reached.places.empty() && !reached.accepts;
  const State next = is_dead ? kDead : Intern(std::move(reached));
  return next_[static_cast<size_t>(state) * classes_ + byte_class] = next;
}

// Goes from the visits to do to all bytes that may come next. False if that is too much work.
bool Automaton::Close(StateData* state) {
  seen_.clear();
  while (!todo_.empty()) {
    const Visit visit = todo_.back();
    todo_.pop_back();
    if (DepthOf(visit.frame) + grammar_->need(visit.node) > Grammar::kMaxDepth) continue;
    if (!seen_.insert(visit).second) continue;
    if (--work_left_ < 0) {
      todo_.clear();
      return false;
    }
    Enter(visit, state);
  }
  std::sort(state->places.begin(), state->places.end());
  return true;
}

void Automaton::Enter(const Visit& visit, StateData* state) {
  const GrammarNode& node = grammar_->node(visit.node);
  switch (node.kind) {
    case Kind::kByte:
      state->places.emplace_back(visit.node, visit.frame);
      break;
    case Kind::kSplit:
      for (const GrammarNodeId way : {node.next, node.other}) {
        if (way >= 0) todo_.push_back({way, 0, visit.frame});
      }
      break;
    case Kind::kRepeat:
      if (visit.count >= node.min) todo_.push_back({node.next, 0, visit.frame});
      if (visit.count < node.max) {
        // Without a limit it only matters whether there were enough, so that states recur.
        const bool matters = node.max != Grammar::kUnlimited || visit.count < node.min;
        const int32_t frame = FrameOf(visit.node, visit.count + (matters ? 1U : 0U), visit.frame);
        todo_.push_back({node.other, 0, frame});
      }
      break;
    case Kind::kReturn:
      if (visit.frame == kNoFrame) {
        state->accepts = true;
      } else {
        const Frame& frame = frames_[static_cast<size_t>(visit.frame)];
        todo_.push_back({frame.node, frame.count, frame.caller});
      }
      break;
  }
}

int32_t Automaton::FrameOf(GrammarNodeId node, uint32_t count, int32_t caller) {
  const Frame frame = {node, count, caller, DepthOf(caller) + 1};
  const auto [it, is_new] = frame_numbers_.emplace(frame, static_cast<int32_t>(frames_.size()));
  if (is_new) frames_.push_back(frame);
  return it->second;
}

Automaton::State Automaton::Intern(StateData state) {
  const auto [it, is_new] = state_numbers_.emplace(state, static_cast<State>(states_.size()));
  if (is_new) {
    states_.push_back(std::move(state));
    next_.insert(next_.end(), classes_, kUnknown);
  }
  return it->second;
}

Automaton::State Automaton::Alike(State state, size_t bytes) {
  if (state == kDead) return kDead;
  StateData alike = DataOf(state);
  for (auto& [node, frame] : alike.places) frame = AlikeFrame(frame, bytes);
  std::sort(alike.places.begin(), alike.places.end());
  alike.places.erase(std::unique(alike.places.begin(), alike.places.end()), alike.places.end());
  return Intern(std::move(alike));
}

int32_t Automaton::AlikeFrame(int32_t frame, size_t bytes) {
  if (frame == kNoFrame) return kNoFrame;
  const Frame old = frames_[static_cast<size_t>(frame)];
  return FrameOf(old.node, AlikeCount(grammar_->node(old.node), old.count, bytes),
                 AlikeFrame(old.caller, bytes));
}

int32_t Automaton::CopyFrame(const Automaton& from, int32_t frame) {
  if (frame == kNoFrame) return kNoFrame;
  const Frame& old = from.frames_[static_cast<size_t>(frame)];
  return FrameOf(old.node, old.count, CopyFrame(from, old.caller));
}

bool Automaton::Trim(State* state) {
  constexpr size_t kManyStates = 4096, kManyFrames = size_t{1} << 16;
  if (*state == kDead || (states_.size() < kManyStates && frames_.size() < kManyFrames)) {
    return false;
  }
  Automaton fresh(grammar_);
  StateData kept = DataOf(*state);
  for (auto& [node, frame] : kept.places) frame = fresh.CopyFrame(*this, frame);
  std::sort(kept.places.begin(), kept.places.end());
  *state = fresh.Intern(std::move(kept));
  *this = std::move(fresh);
  return true;
}

}  // namespace sluice
