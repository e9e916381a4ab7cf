// The states of a grammar, made as they are met, with what each byte leads to.
//
// A state is a set of places in the grammar, each with the calls that it is within: the way that
// the text so far has gone, or the ways, as long as it may be any of several. States and calls are
// numbered, so that a byte that was seen before is one look into a table.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/types/span.h"
#include "runtime/constraint/grammar.h"

namespace sluice {

// For use by one thread.
class Automaton {
 public:
  using State = int32_t;
  static constexpr State kDead = -1;  // no text of the grammar begins so

  explicit Automaton(std::shared_ptr<const Grammar> grammar);

  State start() const { return start_; }
  State Next(State state, uint8_t byte) {
    if (state == kDead) return kDead;
    const auto byte_class = static_cast<size_t>(grammar_->ClassOf(byte));
    const State known = next_[static_cast<size_t>(state) * classes_ + byte_class];
    return known == kUnknown ? FindNext(state, byte_class) : known;
  }
  // The text may end here.
  bool Accepts(State state) const { return state != kDead && DataOf(state).accepts; }
  // No byte leads on from here.
  bool IsLast(State state) const { return state == kDead || DataOf(state).places.empty(); }

  // A grammar by a stranger can have as many ways through a text as it likes. After a quantity of
  // work, new bytes lead to kDead, and exhausted() says why, until there is a new allowance.
  void Allow(int64_t work) { work_left_ = work; }
  bool exhausted() const { return work_left_ < 0; }

  // A state from which the same texts of up to `bytes` bytes lead on. It is one state for all that
  // differ only in counts that are farther than that from where they matter.
  State Alike(State state, size_t bytes);

  // If there are many states, forgets all but `state`, renumbers it and returns true.
  bool Trim(State* state);

 private:
  static constexpr State kUnknown = -2;
  static constexpr int32_t kNoFrame = -1;

  // A call: where it returns to, and how often its body has been entered, as far as that matters.
  struct Frame {
    GrammarNodeId node;
    uint32_t count;
    int32_t caller;
    int32_t depth;
    friend bool operator==(const Frame&, const Frame&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const Frame& f) {
      return H::combine(std::move(h), f.node, f.count, f.caller);
    }
  };
  using Place = std::pair<GrammarNodeId, int32_t>;  // a byte to match, within a frame
  struct StateData {
    std::vector<Place> places;  // sorted
    bool accepts = false;
    friend bool operator==(const StateData&, const StateData&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const StateData& s) {
      return H::combine(std::move(h), s.places, s.accepts);
    }
  };
  struct Visit {
    GrammarNodeId node;
    uint32_t count;  // of a repetition: how often its body was entered before
    int32_t frame;
    friend bool operator==(const Visit&, const Visit&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const Visit& v) {
      return H::combine(std::move(h), v.node, v.count, v.frame);
    }
  };

  const StateData& DataOf(State state) const { return states_[static_cast<size_t>(state)]; }
  int32_t DepthOf(int32_t frame) const {
    return frame == kNoFrame ? 0 : frames_[static_cast<size_t>(frame)].depth;
  }
  State FindNext(State state, size_t byte_class);
  bool Close(StateData* state);
  void Enter(const Visit& visit, StateData* state);
  int32_t FrameOf(GrammarNodeId node, uint32_t count, int32_t caller);
  int32_t AlikeFrame(int32_t frame, size_t bytes);
  int32_t CopyFrame(const Automaton& from, int32_t frame);
  State Intern(StateData state);

  std::shared_ptr<const Grammar> grammar_;
  size_t classes_;
  std::vector<Frame> frames_;
  absl::flat_hash_map<Frame, int32_t> frame_numbers_;
  std::vector<StateData> states_;
  absl::flat_hash_map<StateData, State> state_numbers_;
  std::vector<State> next_;  // of each state, by class of byte
  State start_ = kDead;
  int64_t work_left_ = std::numeric_limits<int64_t>::max();
  std::vector<Visit> todo_;  // of the current Close
  absl::flat_hash_set<Visit> seen_;
};

}  // namespace sluice
