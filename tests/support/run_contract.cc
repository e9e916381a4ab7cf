#include "tests/support/run_contract.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "graph/text.h"
#include "passes/pipeline.h"

namespace sluice {
namespace {

using testing::HasSubstr;

// Inputs of two dtypes, states, two symbols; `outputs` is the end of the text.
std::unique_ptr<Executable> Compile(Backend& backend, const std::string& outputs) {
  auto graph = Parse(
      "graph g\nsymbol t <= 4\nsymbol blocks <= 2\ninput %k : f32[t,1,8]\ninput %slots : i32[t]\n"
      "state %kc : state<f32[blocks,1,16,8]>\nstate %vc : state<f32[blocks,1,16,8]>\n"
      "%y = scale(%k) {factor=2.0} : f32[t,1,8]\n"
      "%kn, %vn = kv_append(%kc, %vc, %k, %y, %slots) : state<f32[blocks,1,16,8]>, "
      "state<f32[blocks,1,16,8]>\n" +
      outputs);
  EXPECT_TRUE(graph.ok()) << graph.status();
  const absl::Status optimised = Optimize(backend, {}, &*graph);
  EXPECT_TRUE(optimised.ok()) << optimised;
  auto executable = backend.Compile(*std::move(graph), {});
  EXPECT_TRUE(executable.ok()) << executable.status();
  return *std::move(executable);
}

// A call that is right, of which a test spoils one thing.
class Call {
 public:
  Call(Backend& backend, const Graph& graph) {
    args.symbols.Set("t", 3);
    args.symbols.Set("blocks", 2);
    inputs.push_back({DType::kF32, {3, 1, 8}, reinterpret_cast<std::byte*>(k_.data()), {}});
    inputs.push_back({DType::kI32, {3}, reinterpret_cast<std::byte*>(slots_.data()), {}});
    for (const auto& state : graph.states()) {
      auto buffer = AllocateState(*state, 2 * 16 * 8 * 4, backend);
      EXPECT_TRUE(buffer.ok()) << buffer.status();
      states.push_back(buffers_.emplace_back(*std::move(buffer)).get());
    }
  }
  absl::Status Run(Executable& executable) {
    args.inputs = inputs;
    args.states = states;
    return executable.Run(args);
  }

  RunArgs args;
  std::vector<TensorView> inputs;
  std::vector<Buffer*> states;

 private:
  std::vector<float> k_ = std::vector<float>(3 * 8, 1.5F);
  std::vector<int32_t> slots_ = {0, 1, 17};
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

void ExpectOutput(const Executable& executable) {
  const absl::StatusOr<TensorView> y = executable.output(0);
  ASSERT_TRUE(y.ok()) << y.status();
  ASSERT_EQ(y->elements(), 24);
  for (int64_t i = 0; i < y->elements(); ++i) EXPECT_EQ(y->f32()[i], 3);
}

void ExpectOutputsAreChecked(Backend& backend) {
  const auto none = Compile(backend, "");
  Call call(backend, none->graph());
  EXPECT_TRUE(call.Run(*none).ok());
  for (const size_t i : {size_t{0}, size_t{1}, std::numeric_limits<size_t>::max()}) {
    EXPECT_EQ(none->output(i).status().code(), absl::StatusCode::kOutOfRange);
  }
  EXPECT_THAT(std::string(none->output(0).status().message()),
              HasSubstr("the graph 'g' has 0 outputs"));
  const auto one = Compile(backend, "output %y\n");
  EXPECT_THAT(std::string(one->output(0).status().message()),
              HasSubstr("output %y has no data: expected a Run before"));
  EXPECT_EQ(one->output(1).status().code(), absl::StatusCode::kOutOfRange);
  Call right(backend, one->graph());
  ASSERT_EQ(right.Run(*one), absl::OkStatus());
  ExpectOutput(*one);
  EXPECT_EQ(one->output(1).status().code(), absl::StatusCode::kOutOfRange);
}

struct Spoilt {
  std::function<void(Call&)> spoil;
  std::string message;
};

std::vector<Spoilt> SpoiltCalls() {
  return {
      {[](Call& c) { c.inputs.pop_back(); }, "got 1 inputs and 2 states, the graph has 2 and 2"},
      {[](Call& c) { c.inputs.clear(); }, "got 0 inputs"},
      {[](Call& c) { c.inputs.push_back(c.inputs[0]); }, "got 3 inputs"},
      {[](Call& c) { c.states.clear(); }, "got 2 inputs and 0 states"},
      {[](Call& c) { c.states[1] = nullptr; }, "state %vc has 0 bytes, expected 1024"},
      {[](Call& c) { c.inputs[0].data = nullptr; }, "input %k is absent, expected f32[3,1,8]"},
      {[](Call& c) {
         c.inputs[0].dims = {2, 1, 8};
       },
       "input %k is f32[2,1,8], expected f32[3,1,8]"},
      {[](Call& c) {
         c.inputs[0].dims = {3, 8};
       },
       "input %k is f32[3,8], expected f32[3,1,8]"},
      {[](Call& c) { c.inputs[1].dtype = DType::kF32; }, "input %slots is f32[3], expected i32[3]"},
      {[](Call& c) { c.args.symbols.Set("t", 5); }, "symbol 't' is 5, expected 1 to 4"},
      {[](Call& c) { c.args.symbols.Set("t", 0); }, "symbol 't' is 0, expected 1 to 4"},
      {[](Call& c) { c.args.symbols.Set("blocks", 3); }, "symbol 'blocks' is 3, expected 1 to 2"},
      {[](Call& c) { c.args.symbols = {}; }, "symbol 't' is -1, expected 1 to 4"},
      {[](Call& c) {
         static const std::byte* const kPieces[3] = {};
         c.inputs[0].data = nullptr;
         c.inputs[0].slices = kPieces;
       },
       "input %k is absent"},
  };
}

}  // namespace

void ExpectRunContract(Backend& backend) {
  SCOPED_TRACE(std::string(backend.name()));
  ExpectOutputsAreChecked(backend);
  const auto executable = Compile(backend, "output %y\n");
  for (const Spoilt& spoilt : SpoiltCalls()) {
    Call call(backend, executable->graph());
    spoilt.spoil(call);
    const absl::Status status = call.Run(*executable);
    EXPECT_FALSE(status.ok()) << spoilt.message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(spoilt.message));
  }
  Call right(backend, executable->graph());
  ASSERT_EQ(right.Run(*executable), absl::OkStatus());
  ExpectOutput(*executable);
}

}  // namespace sluice
