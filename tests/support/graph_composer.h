// What the parts of the random graph generator share: random choices, and values that fit.
#pragma once

#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "graph/builder.h"

namespace sluice {

// A node that is not valid is a bug of the generator: the process ends with the reason.
class GraphComposer {
 public:
  explicit GraphComposer(uint64_t seed);

  // --- Choices
  int64_t Below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
  bool Chance(int percent) { return Below(100) < percent; }
  template <typename Container>
  auto Pick(const Container& from) {
    return from[static_cast<size_t>(Below(static_cast<int64_t>(std::size(from))))];
  }
  template <typename T>
  T Pick(std::initializer_list<T> from) {
    return from.begin()[Below(static_cast<int64_t>(from.size()))];
  }
  // For what spoils an idiom in one of its many places.
  bool Rarely() { return Chance(4); }

  // --- Sizes: small, so that a graph runs within a millisecond
  const Dim& tokens() const { return tokens_; }  // `tokens`, or a constant
  int64_t hidden() const { return hidden_; }     // width of the residual stream
  int64_t Width() { return Chance(15) ? 64 : 32; }
  // A dtype for weights with rows of that length.
  DType Format(int64_t columns);

  // --- Sources
  Value* Input(absl::string_view name, TensorType type);
  Value* Weight(absl::string_view name, TensorType type);
  Value* State(absl::string_view name, TensorType type);
  // One of the inputs that all layers share, by its name in graph/decoder_interface.h.
  Value* Shared(absl::string_view name, Shape shape);

  // --- Nodes. Names get a prefix for the layer, and a number if taken.
  Value* Op(absl::string_view name, absl::string_view op, std::vector<Value*> operands,
            Attributes attrs = {});
  std::vector<Value*> Ops(std::vector<std::string> names, absl::string_view op,
                          std::vector<Value*> operands, Attributes attrs = {});
  void BeginLayer(int index);

  // `value`, which may have got a second user or become an output.
  Value* Inner(Value* value);
  // `op`(a, b) in either order.
  Value* EitherWay(absl::string_view name, absl::string_view op, Value* a, Value* b);
  // A value of the type of `value` that is another one.
  Value* OtherLike(const Value* value);

  // Results so far that can be operands, inputs included: no states that were updated since.
  const std::vector<Value*>& values() const { return values_; }
  const std::vector<Value*>& states() const { return states_; }
  Value* AnyValue() { return Pick(values_); }

  // Makes `last` and most values without users outputs, and builds.
  absl::StatusOr<Graph> Finish(Value* last) &&;

 private:
  std::string UniqueName(absl::string_view base);
  Value* Checked(Value* value);
  void Output(Value* value);

  std::mt19937_64 random_;
  GraphBuilder builder_;
  Dim tokens_ = 1;
  int64_t hidden_;
  std::string prefix_;
  std::set<std::string> names_;
  std::map<std::string, Value*, std::less<>> shared_;
  std::vector<Value*> values_, states_;
  std::set<const Value*> outputs_;
};

}  // namespace sluice
