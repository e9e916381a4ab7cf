#include "tests/support/eval.h"

#include <gtest/gtest.h>

#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "graph/evaluate.h"
#include "graph/formats/dequantize.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

template <typename T>
TestTensor Plain(DType dtype, Shape shape, const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return Blocks(dtype, std::move(shape), std::move(bytes));
}

absl::StatusOr<const OpDef*> FindOp(absl::string_view name) {
  const OpDef* op = StandardOps().Find(name);
  if (op == nullptr) return absl::NotFoundError(absl::StrCat("no op '", name, "'"));
  return op;
}

std::vector<const TensorType*> Pointers(const std::vector<TestTensor>& operands) {
  std::vector<const TensorType*> types;
  for (const TestTensor& t : operands) types.push_back(t.pieces.empty() ? nullptr : &t.type);
  return types;
}

// A view of a tensor in one piece or several. `slices` keeps the pieces' addresses.
absl::StatusOr<TensorView> ViewTensor(TestTensor& tensor, std::vector<const std::byte*>* slices) {
  SLUICE_ASSIGN_OR_RETURN(TensorView view, ViewOf(tensor.type, {}));
  if (tensor.pieces.size() == 1) {
    view.data = tensor.pieces[0].data();
  } else {
    for (const auto& piece : tensor.pieces) slices->push_back(piece.data());
    view.slices = *slices;
  }
  return view;
}

// Operand types from text, with the storage that OpCall's pointers need.
struct TypedOperands {
  explicit TypedOperands(const std::vector<std::string>& texts) {
    types.reserve(texts.size());
    for (const std::string& text : texts) {
      types.push_back(text == "_" ? TensorType{} : TypeFromText(text));
      pointers.push_back(text == "_" ? nullptr : &types.back());
    }
  }
  std::vector<TensorType> types;
  std::vector<const TensorType*> pointers;
};

}  // namespace

TestTensor Floats(Shape shape, const std::vector<float>& values) {
  return Plain(DType::kF32, std::move(shape), values);
}

TestTensor Ints(Shape shape, const std::vector<int32_t>& values) {
  return Plain(DType::kI32, std::move(shape), values);
}

TestTensor Blocks(DType dtype, Shape shape, std::vector<std::byte> bytes) {
  TestTensor tensor{{dtype, std::move(shape)}, {std::move(bytes)}};
  const absl::StatusOr<int64_t> expected = SymbolValues().EvaluateBytes(tensor.type);
  EXPECT_TRUE(expected.ok()) << expected.status();
  EXPECT_EQ(static_cast<int64_t>(tensor.pieces[0].size()), expected.value_or(-1))
      << "bytes of " << tensor.type.ToString();
  return tensor;
}

TestTensor LeftOut() { return {}; }

TestTensor AsState(TestTensor tensor) {
  tensor.type.is_state = true;
  return tensor;
}

TestTensor AsPieces(const TestTensor& tensor) {
  const std::vector<std::byte>& whole = tensor.pieces[0];
  TestTensor result{tensor.type, {}};
  const int64_t pieces = tensor.type.shape[0].factor();
  const int64_t bytes = static_cast<int64_t>(whole.size()) / pieces;
  for (int64_t i = 0; i < pieces; ++i) {
    result.pieces.emplace_back(whole.begin() + i * bytes, whole.begin() + (i + 1) * bytes);
  }
  return result;
}

std::vector<float> FloatsOf(const TestTensor& tensor) {
  const DequantizeFn decode = DequantizerFor(tensor.type.dtype);
  const auto view = ViewOf(tensor.type, {});
  if (decode == nullptr || !view.ok() || tensor.pieces.size() != 1) {
    ADD_FAILURE() << tensor.type.ToString() << " has no floats in one piece";
    return {};
  }
  std::vector<float> values(static_cast<size_t>(view->elements()));
  decode(tensor.pieces[0].data(), view->elements(), values.data());
  return values;
}

std::vector<int32_t> IntsOf(const TestTensor& tensor) {
  if (tensor.type.dtype != DType::kI32 || tensor.pieces.size() != 1) {
    ADD_FAILURE() << tensor.type.ToString() << " has no ints in one piece";
    return {};
  }
  std::vector<int32_t> values(tensor.pieces[0].size() / sizeof(int32_t));
  if (!values.empty()) std::memcpy(values.data(), tensor.pieces[0].data(), tensor.pieces[0].size());
  return values;
}

EvalResults EvalOp(absl::string_view name, std::vector<TestTensor> operands,
                   const Attributes& attrs) {
  SLUICE_ASSIGN_OR_RETURN(const OpDef* op, FindOp(name));
  const std::vector<const TensorType*> types = Pointers(operands);
  const OpCall call{*op, types, attrs};
  SLUICE_ASSIGN_OR_RETURN(std::vector<TensorType> result_types, InferResults(call));

  std::vector<TensorView> views(operands.size());
  std::vector<std::vector<const std::byte*>> slices(operands.size());
  for (size_t i = 0; i < operands.size(); ++i) {
    if (types[i] == nullptr) continue;
    SLUICE_ASSIGN_OR_RETURN(views[i], ViewTensor(operands[i], &slices[i]));
  }
  std::vector<TestTensor> results(result_types.size());
  std::vector<TensorView> result_views(results.size());
  for (size_t i = 0; i < results.size(); ++i) {
    const int aliased = op->results[i].aliases;
    if (aliased >= 0) {
      result_views[i] = views[static_cast<size_t>(aliased)];
      continue;
    }
    SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, SymbolValues().EvaluateBytes(result_types[i]));
    results[i] = {result_types[i], {std::vector(static_cast<size_t>(bytes), std::byte{0xff})}};
    SLUICE_ASSIGN_OR_RETURN(result_views[i], ViewTensor(results[i], nullptr));
  }
  SLUICE_RETURN_IF_ERROR(Evaluate({call, views, result_views}, StandardOps()));
  for (size_t i = 0; i < results.size(); ++i) {
    const int aliased = op->results[i].aliases;
    if (aliased >= 0) results[i] = operands[static_cast<size_t>(aliased)];
  }
  return results;
}

std::vector<float> FloatsOf(const EvalResults& results, size_t index) {
  EXPECT_TRUE(results.ok()) << results.status();
  return results.ok() ? FloatsOf(results->at(index)) : std::vector<float>{};
}

std::vector<int32_t> IntsOf(const EvalResults& results, size_t index) {
  EXPECT_TRUE(results.ok()) << results.status();
  return results.ok() ? IntsOf(results->at(index)) : std::vector<int32_t>{};
}

TensorType TypeFromText(absl::string_view text) {
  TensorType type;
  absl::string_view rest = text;
  type.is_state = absl::ConsumePrefix(&rest, "state<") && absl::ConsumeSuffix(&rest, ">");
  const std::vector<absl::string_view> parts = absl::StrSplit(rest, absl::MaxSplits('[', 1));
  const auto dtype = DTypeFromName(parts[0]);
  EXPECT_TRUE(dtype.has_value() && parts.size() == 2 && parts[1].back() == ']') << text;
  if (!dtype.has_value() || parts.size() != 2) return type;
  type.dtype = *dtype;
  const absl::string_view dims = absl::StripSuffix(parts[1], "]");
  for (absl::string_view dim : absl::StrSplit(dims, ',', absl::SkipEmpty())) {
    const std::vector<absl::string_view> factors = absl::StrSplit(dim, '*');
    int64_t number = 1;
    if (absl::SimpleAtoi(factors.back(), &number) && factors.size() == 1) {
      type.shape.push_back(number);
    } else {
      type.shape.push_back(Dim::Symbol(factors[0], factors.size() == 2 ? number : 1));
    }
  }
  return type;
}

absl::StatusOr<std::string> InferOp(absl::string_view name,
                                    const std::vector<std::string>& operands,
                                    const Attributes& attrs) {
  SLUICE_ASSIGN_OR_RETURN(const OpDef* op, FindOp(name));
  const TypedOperands typed(operands);
  SLUICE_ASSIGN_OR_RETURN(const std::vector<TensorType> types,
                          InferResults({*op, typed.pointers, attrs}));
  return absl::StrJoin(types, ", ", [](std::string* out, const TensorType& type) {
    absl::StrAppend(out, type.ToString());
  });
}

std::string ErrorOf(const EvalResults& results) {
  EXPECT_FALSE(results.ok()) << "expected an error";
  return std::string(results.status().message());
}

std::string InferError(absl::string_view name, const std::vector<std::string>& operands,
                       const Attributes& attrs) {
  const absl::StatusOr<std::string> types = InferOp(name, operands, attrs);
  EXPECT_FALSE(types.ok()) << "expected an error, got " << *types;
  return std::string(types.status().message());
}

OpCost CostOf(absl::string_view name, const std::vector<std::string>& operands,
              const Attributes& attrs, int64_t context) {
  const absl::StatusOr<const OpDef*> op = FindOp(name);
  EXPECT_TRUE(op.ok() && (*op)->cost != nullptr) << name << " has no cost";
  if (!op.ok() || (*op)->cost == nullptr) return {};
  const TypedOperands typed(operands);
  const OpCall call{**op, typed.pointers, attrs};
  const auto types = InferResults(call);
  EXPECT_TRUE(types.ok()) << types.status();
  if (!types.ok()) return {};
  std::vector<TensorView> operand_views, result_views;
  for (const TensorType* type : typed.pointers) {
    operand_views.push_back(type == nullptr ? TensorView{} : *ViewOf(*type, {}));
  }
  for (const TensorType& type : *types) result_views.push_back(*ViewOf(type, {}));
  return (*op)->cost({call, operand_views, result_views, context});
}

}  // namespace sluice
