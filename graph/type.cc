#include "graph/type.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/nearest_name.h"

namespace sluice {

Dim Dim::Symbol(absl::string_view name, int64_t factor) {
  Dim dim(factor);
  dim.symbol_ = std::string(name);
  return dim;
}

absl::StatusOr<Dim> Dim::Product(const Dim& a, const Dim& b) {
  if (!a.is_constant() && !b.is_constant()) {
    return absl::InvalidArgumentError(absl::StrCat("dimension ", a.ToString(), " times ",
                                                   b.ToString(),
                                                   ": a product of symbols has no dimension"));
  }
  Dim result = a.is_constant() ? b : a;
  if (__builtin_mul_overflow(a.factor_, b.factor_, &result.factor_)) {
    return absl::InvalidArgumentError(
        absl::StrCat("dimension ", a.ToString(), " times ", b.ToString(), " overflows 64 bits"));
  }
  return result;
}

absl::StatusOr<Dim> Dim::Quotient(const Dim& a, int64_t divisor) {
  if (divisor <= 0 || a.factor_ % divisor != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("dimension ", a.ToString(), " is not a multiple of ", divisor));
  }
  Dim result = a;
  result.factor_ /= divisor;
  return result;
}

std::string Dim::ToString() const {
  if (is_constant()) return absl::StrCat(factor_);
  return factor_ == 1 ? symbol_ : absl::StrCat(symbol_, "*", factor_);
}

std::string ToString(const Shape& shape) {
  return absl::StrCat(
      "[",
      absl::StrJoin(shape, ",",
                    [](std::string* out, const Dim& dim) { absl::StrAppend(out, dim.ToString()); }),
      "]");
}

absl::StatusOr<Dim> ElementCount(const Shape& shape) {
  Dim count = 1;
  for (const Dim& dim : shape) {
    absl::StatusOr<Dim> product = Dim::Product(count, dim);
    if (!product.ok()) return product.status();
    count = *product;
  }
  return count;
}

std::string TensorType::ToString() const {
  const std::string tensor = absl::StrCat(Name(dtype), sluice::ToString(shape));
  return is_state ? absl::StrCat("state<", tensor, ">") : tensor;
}

void SymbolValues::Set(absl::string_view name, int64_t value) {
  for (auto& entry : entries_) {
    if (entry.first == name) {
      entry.second = value;
      return;
    }
  }
  entries_.emplace_back(std::string(name), value);
}

int64_t SymbolValues::Get(absl::string_view name) const {
  for (const auto& entry : entries_) {
    if (entry.first == name) return entry.second;
  }
  return -1;
}

absl::StatusOr<int64_t> SymbolValues::Evaluate(const Dim& dim) const {
  if (dim.is_constant()) return dim.factor();
  const int64_t value = Get(dim.symbol());
  if (value < 0) {
    return absl::InvalidArgumentError(absl::StrCat("symbol '", dim.symbol(), "' has no value"));
  }
  int64_t result;
  if (__builtin_mul_overflow(value, dim.factor(), &result)) {
    return absl::InvalidArgumentError(absl::StrCat("dimension ", dim.ToString(), " with ",
                                                   dim.symbol(), "=", value, " overflows 64 bits"));
  }
  return result;
}

absl::StatusOr<absl::InlinedVector<int64_t, 4>> SymbolValues::Evaluate(const Shape& shape) const {
  absl::InlinedVector<int64_t, 4> dims;
  for (const Dim& dim : shape) {
    absl::StatusOr<int64_t> value = Evaluate(dim);
    if (!value.ok()) return value.status();
    dims.push_back(*value);
  }
  return dims;
}

absl::StatusOr<int64_t> SymbolValues::EvaluateBytes(const TensorType& type) const {
  int64_t elements = 1;
  for (const Dim& dim : type.shape) {
    absl::StatusOr<int64_t> value = Evaluate(dim);
    if (!value.ok()) return value.status();
    if (__builtin_mul_overflow(elements, *value, &elements)) {
      return absl::InvalidArgumentError(
          absl::StrCat("size of ", type.ToString(), " overflows 64 bits"));
    }
  }
  const std::optional<int64_t> bytes = ByteSize(type.dtype, elements);
  if (!bytes.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("size of ", type.ToString(), " (", elements,
                                                   " elements) is no whole number of ",
                                                   Name(type.dtype), " blocks or overflows"));
  }
  return *bytes;
}

namespace {

std::vector<absl::string_view> SymbolsOf(const SymbolValues& values) {
  std::vector<absl::string_view> names;
  for (const auto& entry : values.entries()) names.emplace_back(entry.first);
  return names;
}

}  // namespace

absl::Status CheckType(const TensorType& type, const SymbolValues& bounds) {
  const auto fail = [&](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat(type.ToString(), ": ", what...));
  };
  if (type.shape.size() > kMaxRank) {
    return fail("has ", type.shape.size(), " dimensions, expected at most ", kMaxRank);
  }
  for (const Dim& dim : type.shape) {
    if (dim.factor() < 1) return fail("the dimension ", dim.ToString(), " is not positive");
    if (!dim.is_constant() && bounds.Get(dim.symbol()) < 0) {
      return fail("the graph has no symbol '", dim.symbol(), "'",
                  DidYouMean(dim.symbol(), SymbolsOf(bounds)));
    }
  }
  const DTypeInfo& info = Info(type.dtype);
  if (IsBlockFormat(type.dtype) &&
      (type.shape.empty() || type.shape.back().factor() % info.elements_per_block != 0)) {
    return fail("the innermost dimension is not a multiple of the ", info.elements_per_block,
                " elements of a ", info.name, " block");
  }
  return bounds.EvaluateBytes(type).status();
}

}  // namespace sluice
