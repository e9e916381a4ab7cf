// One op call on given numbers or types, for tests of op definitions. Ops are those of
// StandardOps(); a fused op is evaluated by its expansion.
//
//   auto out = EvalOp("add", {Floats({2}, {1, 2}), Floats({2}, {3, 4})});
//   EXPECT_THAT(FloatsOf(out, 0), ElementsAre(4, 6));
//   EXPECT_EQ(*InferOp("matmul", {"f32[t,4]", "q8_0[8,4]"}), "f32[t,8]");
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graph/attributes.h"
#include "graph/op_def.h"
#include "graph/type.h"

namespace sluice {

// A tensor with its storage. An empty `pieces` stands for an optional operand left out.
struct TestTensor {
  TensorType type;                             // with constant dimensions
  std::vector<std::vector<std::byte>> pieces;  // one, or one per index of the outermost dimension
};

TestTensor Floats(Shape shape, const std::vector<float>& values);
TestTensor Ints(Shape shape, const std::vector<int32_t>& values);
TestTensor Blocks(DType dtype, Shape shape, std::vector<std::byte> bytes);
TestTensor LeftOut();
// The same numbers as a state.
TestTensor AsState(TestTensor tensor);
// The same numbers in one piece per index of the outermost dimension.
TestTensor AsPieces(const TestTensor& tensor);

// The numbers of a tensor in one piece: decoded, whatever the dtype; or of an i32 tensor.
std::vector<float> FloatsOf(const TestTensor& tensor);
std::vector<int32_t> IntsOf(const TestTensor& tensor);

using EvalResults = absl::StatusOr<std::vector<TestTensor>>;
// Infers, allocates results filled with 0xff bytes (NaN, -1) and evaluates. An aliased operand
// comes back as the result.
EvalResults EvalOp(absl::string_view op, std::vector<TestTensor> operands,
                   const Attributes& attrs = {});

// Numbers of one result; a test failure and {} where evaluation failed.
std::vector<float> FloatsOf(const EvalResults& results, size_t index = 0);
std::vector<int32_t> IntsOf(const EvalResults& results, size_t index = 0);

// "f32[tokens*8,4]" or "state<f16[blocks,2]>"; a test failure where it is neither.
TensorType TypeFromText(absl::string_view text);

// The result types, joined by ", ". Operands as above, "_" for one left out.
absl::StatusOr<std::string> InferOp(absl::string_view op, const std::vector<std::string>& operands,
                                    const Attributes& attrs = {});

// The message of the failure; a test failure and "" where there is none.
std::string ErrorOf(const EvalResults& results);
std::string InferError(absl::string_view op, const std::vector<std::string>& operands,
                       const Attributes& attrs = {});

// The cost of a call that infers well. Operands as above, with constant dimensions.
OpCost CostOf(absl::string_view op, const std::vector<std::string>& operands,
              const Attributes& attrs = {}, int64_t context = 0);

}  // namespace sluice
