#include "tests/support/graph_composer.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "graph/decoder_interface.h"
#include "graph/formats/dequantize.h"

namespace sluice {

GraphComposer::GraphComposer(uint64_t seed)
    : random_(seed), builder_(absl::StrCat("random.", seed)) {
  const int64_t count = 1 + Below(5);
  builder_.Symbol(decoder::kTokens, count);
  builder_.Symbol(decoder::kOutputs, 1 + Below(3));
  builder_.Symbol(decoder::kSeqs, 1 + Below(3));
  builder_.Symbol(decoder::kTable, 1 + Below(3));
  builder_.Symbol(decoder::kBlocks, 3 + Below(3));
  tokens_ = Chance(75) ? Dim::Symbol(decoder::kTokens) : Dim(count);
  // 256 columns are a whole block of every format, and slow.
  hidden_ = Chance(8) ? 256 : Width();
}

DType GraphComposer::Format(int64_t columns) {
  if (Chance(40)) return Pick({DType::kF32, DType::kF16, DType::kBF16});
  std::vector<DType> fitting;
  for (const DTypeInfo& info : AllDTypes()) {
    if (CanDequantize(info.dtype) && columns % info.elements_per_block == 0) {
      fitting.push_back(info.dtype);
    }
  }
  return Pick(fitting);
}

std::string GraphComposer::UniqueName(absl::string_view base) {
  std::string name = absl::StrCat(prefix_, base);
  for (int i = 2; !names_.insert(name).second; ++i) name = absl::StrCat(prefix_, base, ".", i);
  return name;
}

Value* GraphComposer::Checked(Value* value) {
  if (value != nullptr) return value;
  std::fprintf(stderr, "%s\n", std::move(builder_).Build().status().ToString().c_str());
  std::abort();
}

Value* GraphComposer::Input(absl::string_view name, TensorType type) {
  Value* value = Checked(builder_.Input(UniqueName(name), std::move(type)));
  if (value->type().dtype != DType::kI32) values_.push_back(value);
  return value;
}

Value* GraphComposer::Weight(absl::string_view name, TensorType type) {
  return Checked(builder_.Weight(UniqueName(name), std::move(type)));
}

Value* GraphComposer::State(absl::string_view name, TensorType type) {
  type.is_state = true;
  states_.push_back(Checked(builder_.State(UniqueName(name), std::move(type))));
  return states_.back();
}

Value* GraphComposer::Shared(absl::string_view name, Shape shape) {
  const auto found = shared_.find(name);
  if (found != shared_.end()) return found->second;
  names_.insert(std::string(name));
  Value* input = Checked(builder_.Input(name, {DType::kI32, std::move(shape)}));
  return shared_[std::string(name)] = input;
}

Value* GraphComposer::Op(absl::string_view name, absl::string_view op, std::vector<Value*> operands,
                         Attributes attrs) {
  return Ops({std::string(name)}, op, std::move(operands), std::move(attrs))[0];
}

std::vector<Value*> GraphComposer::Ops(std::vector<std::string> names, absl::string_view op,
                                       std::vector<Value*> operands, Attributes attrs) {
  for (std::string& name : names) name = UniqueName(name);
  const std::vector<Value*> results =
      builder_.Ops(std::move(names), op, std::move(operands), std::move(attrs));
  for (Value* result : results) {
    const int aliased = Checked(result)
                            ->producer()
                            ->op()
                            .results[static_cast<size_t>(result->result_index())]
                            .aliases;
    if (aliased >= 0) {
      // What was updated in place is not to be read again.
      std::erase(states_, result->producer()->operand(static_cast<size_t>(aliased)));
      states_.push_back(result);
    } else if (result->type().dtype != DType::kI32) {
      values_.push_back(result);
    }
  }
  return results;
}

void GraphComposer::BeginLayer(int index) { prefix_ = absl::StrCat("l", index, "."); }

Value* GraphComposer::Inner(Value* value) {
  if (Rarely()) Output(value);
  if (value->type().dtype == DType::kF32 && Rarely()) Op("extra", "silu", {value});
  return value;
}

Value* GraphComposer::EitherWay(absl::string_view name, absl::string_view op, Value* a, Value* b) {
  if (Chance(50)) std::swap(a, b);
  return Op(name, op, {a, b});
}

Value* GraphComposer::OtherLike(const Value* value) {
  std::vector<Value*> others;
  std::copy_if(values_.begin(), values_.end(), std::back_inserter(others),
               [&](Value* v) { return v != value && v->type() == value->type(); });
  return others.empty() ? Input("other", value->type()) : Pick(others);
}

void GraphComposer::Output(Value* value) {
  if (value->producer() != nullptr && outputs_.insert(value).second) {
    builder_.Output(value);
  }
}

absl::StatusOr<Graph> GraphComposer::Finish(Value* last) && {
  for (Value* value : std::vector<Value*>(values_)) {
    // The rest is dead code.
    if (value->uses().empty() && Chance(70)) Output(value);
  }
  Output(last);
  return std::move(builder_).Build();
}

}  // namespace sluice
