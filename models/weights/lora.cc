#include "models/weights/lora.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "graph/formats/dequantize.h"
#include "graph/status_macros.h"
#include "models/unicode/printable.h"

namespace sluice {
namespace {

constexpr absl::string_view kSuffixA = ".weight.lora_a", kSuffixB = ".weight.lora_b";
constexpr absl::string_view kActivation = "adapter.alora.invocation_tokens";

// Tensors that the model takes apart, and their parts in the order of their rows.
struct FusedTensor {
  absl::string_view suffix;
  std::array<absl::string_view, 3> parts;
};
constexpr FusedTensor kFusedTensors[] = {
    {"attn_qkv", {"attn_q", "attn_k", "attn_v"}},
    {"ffn_gate_up_exps", {"ffn_gate_exps", "ffn_up_exps"}},
};

using Dims = std::vector<int64_t>;

// Leading dimensions of 1 come and go: writers differ in how many they store.
Dims WithRank(Dims dims, size_t rank) {
  while (dims.size() > rank && dims[0] == 1) dims.erase(dims.begin());
  if (dims.size() < rank) dims.insert(dims.begin(), rank - dims.size(), 1);
  return dims;
}

Dims DimsOf(const Value& weight) {
  Dims dims;
  for (const Dim& dim : weight.type().shape) dims.push_back(dim.factor());
  return dims;
}

TensorType TypeOf(DType dtype, const Dims& dims) {
  return {dtype, Shape(dims.begin(), dims.end())};
}

// The two tensors of one change.
struct Pair {
  const StoredTensor* a = nullptr;
  const StoredTensor* b = nullptr;
};

class LoraReader {
 public:
  LoraReader(const WeightSource& file, const Graph& model, int number, double scale)
      : file_(file), model_(model), number_(number), scale_(scale) {}

  absl::StatusOr<LoraAdapter> Run() && {
    SLUICE_RETURN_IF_ERROR(ExpectText("general.type", "adapter"));
    SLUICE_RETURN_IF_ERROR(ExpectText("adapter.type", "lora"));
    SLUICE_RETURN_IF_ERROR(ExpectText("general.architecture", model_.name()));
    if (file_.Find(kActivation) != nullptr) {
      return absl::UnimplementedError(absl::StrCat(file_.path(), ": key '", kActivation,
                                                   "': adapters that wait for certain tokens are "
                                                   "not supported"));
    }
    if (!std::isfinite(scale_)) return Error("the scale is ", scale_, ", expected a finite number");
    SLUICE_RETURN_IF_ERROR(ReadAlpha());
    SLUICE_RETURN_IF_ERROR(CollectPairs());
    for (const auto& [name, pair] : pairs_) SLUICE_RETURN_IF_ERROR(AddPair(name, pair));
    return std::move(adapter_);
  }

 private:
  template <typename... Args>
  absl::Status Error(const Args&... message) const {
    return absl::InvalidArgumentError(absl::StrCat(file_.path(), ": ", message...));
  }
  template <typename... Args>
  absl::Status TensorError(absl::string_view tensor, const Args&... message) const {
    return Error("tensor '", Printable(tensor), "': ", message...);
  }
  absl::Status ShapeError(const StoredTensor& tensor, absl::string_view expected) const {
    return TensorError(tensor.name, "expected the shape ", expected, ", got [",
                       absl::StrJoin(tensor.shape, ","), "]");
  }

  absl::Status ExpectText(absl::string_view key, absl::string_view expected) const {
    const MetadataValue* value = file_.Find(key);
    const absl::StatusOr<absl::string_view> text =
        value != nullptr ? value->AsString() : absl::NotFoundError("expected a string, got none");
    if (!text.ok()) return Error("no adapter: key '", key, "': ", text.status().message());
    if (*text == expected) return absl::OkStatus();
    return Error("key '", key, "': expected '", expected, "', got '", Printable(*text), "'");
  }

  absl::Status ReadAlpha() {
    constexpr absl::string_view kKey = "adapter.lora.alpha";
    const MetadataValue* value = file_.Find(kKey);
    if (value == nullptr) return absl::OkStatus();
    const absl::StatusOr<double> alpha = value->AsFloat();
    if (!alpha.ok()) return Error("key '", kKey, "': ", alpha.status().message());
    if (!std::isfinite(*alpha)) {
      return Error("key '", kKey, "': expected a finite number, got ", *alpha);
    }
    alpha_ = *alpha;
    return absl::OkStatus();
  }

  absl::Status CollectPairs() {
    for (const StoredTensor& tensor : file_.tensors()) {
      absl::string_view name = tensor.name;
      if (absl::ConsumeSuffix(&name, kSuffixA)) {
        pairs_[std::string(name)].a = &tensor;
      } else if (absl::ConsumeSuffix(&name, kSuffixB)) {
        pairs_[std::string(name)].b = &tensor;
      } else if (absl::EndsWith(name, "_norm.weight")) {
        // Converters copy trained norms along. They would take the place of the model's, which no
        // program does; the rest of the adapter works without them.
        adapter_.warnings.push_back(
            absl::StrCat(file_.path(), ": tensor '", Printable(name), "' is not used"));
      } else {
        return TensorError(name, "expected a name that ends in '", kSuffixA, "' or '", kSuffixB,
                           "'");
      }
    }
    return pairs_.empty() ? Error("the adapter changes no weight") : absl::OkStatus();
  }

  // The model's weights that the rows of a tensor belong to, in their order; none if it lacks one.
  std::vector<const Value*> PartsOf(absl::string_view name) const {
    if (const Value* whole = model_.Find(absl::StrCat("@", name))) return {whole};
    std::vector<const Value*> parts;
    for (const FusedTensor& fused : kFusedTensors) {
      absl::string_view layer = name;
      if (!absl::ConsumeSuffix(&layer, fused.suffix)) continue;
      for (const absl::string_view part : fused.parts) {
        if (part.empty()) continue;
        const Value* weight = model_.Find(absl::StrCat("@", layer, part));
        if (weight == nullptr) return {};
        parts.push_back(weight);
      }
    }
    return parts;
  }

  // Sets `is_table` to whether rows of the weight are looked up, and not multiplied.
  absl::Status CheckUse(absl::string_view tensor, const Value& weight, bool* is_table) const {
    const auto is_used_by = [&weight](absl::string_view op) {
      return std::any_of(weight.uses().begin(), weight.uses().end(),
                         [&](const Use& use) { return use.node->op().name == op; });
    };
    *is_table = is_used_by("embedding");
    const bool is_factor = is_used_by("matmul") || is_used_by("expert_matmul");
    if (*is_table && is_factor) {
      return absl::UnimplementedError(
          absl::StrCat(file_.path(), ": tensor '", Printable(tensor), "': the model's '",
                       weight.name(), "' is its output matrix, too: a change is not supported"));
    }
    if (*is_table || is_factor) return absl::OkStatus();
    return TensorError(tensor, "the model's '", weight.name(), "' is no matrix of a product");
  }

  absl::Status CheckPair(absl::string_view name, const Pair& pair) const {
    if (pair.a == nullptr || pair.b == nullptr) {
      return TensorError(absl::StrCat(name, pair.a == nullptr ? kSuffixA : kSuffixB),
                         "missing, though the other one of the pair is there");
    }
    for (const StoredTensor* tensor : {pair.a, pair.b}) {
      if (CanDequantize(tensor->dtype)) continue;
      return absl::UnimplementedError(absl::StrCat(file_.path(), ": tensor '",
                                                   Printable(tensor->name), "': the format ",
                                                   Name(tensor->dtype), " is not supported"));
    }
    return absl::OkStatus();
  }

  absl::Status AddPair(const std::string& name, const Pair& pair) {
    SLUICE_RETURN_IF_ERROR(CheckPair(name, pair));
    const std::vector<const Value*> parts = PartsOf(name);
    if (parts.empty()) {
      return TensorError(pair.a->name, "the model has no weight '", Printable(name), "'");
    }
    bool is_table = false;
    for (const Value* part : parts) {
      SLUICE_RETURN_IF_ERROR(CheckUse(pair.a->name, *part, &is_table));
    }
    Dims whole = DimsOf(*parts[0]);
    const size_t row = whole.size() - 2, column = whole.size() - 1;
    for (size_t i = 1; i < parts.size(); ++i) whole[row] += DimsOf(*parts[i])[row];

    // The rank is the number of A's rows; where A is looked up by row (a table), of its columns.
    Dims a = WithRank(pair.a->shape, whole.size());
    const size_t rank_at = is_table ? column : row;
    const int64_t rank = a.size() == whole.size() ? a[rank_at] : 0;
    Dims expected_a = whole;
    expected_a[rank_at] = rank;
    if (rank < 1 || a != expected_a) {
      std::vector<std::string> texts;
      for (const int64_t dim : whole) texts.push_back(absl::StrCat(dim));
      texts[rank_at] = "rank";
      return ShapeError(*pair.a, absl::StrCat("[", absl::StrJoin(texts, ","), "]"));
    }
    Dims b = whole;
    b[column] = rank;
    if (is_table) b[row] = whole[column];
    if (WithRank(pair.b->shape, b.size()) != b) {
      return ShapeError(*pair.b, absl::StrCat("[", absl::StrJoin(b, ","), "]"));
    }
    return AddUpdates(name, pair, parts, a, b);
  }

  // One update for each part, which has its share of the rows of B, in each expert if there are
  // several; A is the same for all. `a` and `b` are shapes.
  absl::Status AddUpdates(absl::string_view name, const Pair& pair,
                          const std::vector<const Value*>& parts, const Dims& a, const Dims& b) {
    const size_t row = b.size() - 2;
    const int64_t rank = b.back();
    const double factor = alpha_ != 0 ? scale_ * alpha_ / static_cast<double>(rank) : scale_;
    if (!std::isfinite(static_cast<float>(factor))) {
      return TensorError(pair.a->name, "the factor ", factor, " is not finite as an f32");
    }
    const std::string suffix = number_ == 1 ? ".lora" : absl::StrCat(".lora", number_);
    int64_t first = 0;
    for (const Value* part : parts) {
      Dims part_b = b;
      if (parts.size() > 1) part_b[row] = DimsOf(*part)[row];
      LowRankUpdate update = {.weight = part->name(),
                              .a = absl::StrCat(name, suffix, "_a"),
                              .b = absl::StrCat(part->name(), suffix, "_b"),
                              .a_type = TypeOf(pair.a->dtype, a),
                              .b_type = TypeOf(pair.b->dtype, part_b),
                              .factor = factor};
      if (adapter_.weights.contains(update.b)) {
        return TensorError(pair.b->name, "the adapter changes '", update.weight, "' twice");
      }
      adapter_.weights[update.a] = {file_.Data(*pair.a)};
      adapter_.weights[update.b] = RowsOf(*pair.b, b, first, part_b[row]);
      adapter_.updates.push_back(std::move(update));
      first += part_b[row];
    }
    return absl::OkStatus();
  }

  // Rows are whole blocks, so that ranges of them are ranges of bytes.
  WeightPieces RowsOf(const StoredTensor& tensor, const Dims& dims, int64_t first,
                      int64_t count) const {
    const absl::Span<const std::byte> data = file_.Data(tensor);
    const int64_t rows = dims[dims.size() - 2];
    if (count == rows) return {data};
    const int64_t experts = dims.size() == 3 ? dims[0] : 1;
    const int64_t row_bytes = tensor.bytes / (experts * rows);
    WeightPieces pieces;
    for (int64_t expert = 0; expert < experts; ++expert) {
      pieces.push_back(data.subspan(static_cast<size_t>((expert * rows + first) * row_bytes),
                                    static_cast<size_t>(count * row_bytes)));
    }
    return pieces;
  }

  const WeightSource& file_;
  const Graph& model_;
  const int number_;
  const double scale_;
  double alpha_ = 0;
  std::map<std::string, Pair> pairs_;  // by the weight's name
  LoraAdapter adapter_;
};

}  // namespace

absl::StatusOr<LoraAdapter> ReadLora(const WeightSource& file, const Graph& model, int number,
                                     double scale) {
  return LoraReader(file, model, number, scale).Run();
}

}  // namespace sluice
