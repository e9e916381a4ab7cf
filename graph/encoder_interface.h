// The contract between builders of encoders and the runtime. An encoder turns each text into one
// vector, or each of its tokens into one.
//
// Inputs, symbols and states are those of graph/decoder_interface.h, so that a session runs either.
// The differences:
//   - A token may see those after it: the tokens of a sequence are all in one step. What the
//     caches hold afterwards is of no use.
//   - For that reason layers take turns with one pair of caches.
//   - The first output is f32[outputs,width], the rows that are asked for; with mean pooling
//     f32[seqs,width], one row for each sequence of the step, and output_rows is not read.
// Several sequences of a step do not see each other.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "graph/graph.h"

namespace sluice {

// What becomes of the vectors of a text's tokens: they stay as they are, or one stands for the
// text: their mean, the first (the token [CLS] of BERT) or the last.
enum class Pooling { kNone, kMean, kCls, kLast };

// In the order of Pooling.
inline constexpr std::array<absl::string_view, 4> kPoolingNames = {"none", "mean", "cls", "last"};

inline constexpr absl::string_view Name(Pooling pooling) {
  return kPoolingNames[static_cast<size_t>(pooling)];
}
inline constexpr std::optional<Pooling> PoolingFromName(absl::string_view name) {
  for (size_t i = 0; i < kPoolingNames.size(); ++i) {
    if (kPoolingNames[i] == name) return static_cast<Pooling>(i);
  }
  return std::nullopt;
}

namespace encoder {

// Attributes of the graph. Only encoders have the first.
inline constexpr absl::string_view kPooling = "pooling";        // a name of Pooling
inline constexpr absl::string_view kContext = "context";        // tokens of a text at most
inline constexpr absl::string_view kVocabulary = "vocabulary";  // tokens that there are

// The value of the attribute kContext or kVocabulary.
inline absl::StatusOr<int64_t> NumberOf(const Graph& graph, absl::string_view name) {
  const AttrValue* value = graph.attrs().Find(name);
  const auto* number = value != nullptr ? std::get_if<int64_t>(value) : nullptr;
  if (number != nullptr && *number >= 1) return *number;
  return absl::InvalidArgumentError(absl::StrCat("the graph of an encoder has no attribute '", name,
                                                 "', a number of at least 1"));
}

}  // namespace encoder

// nullopt: the graph is no encoder.
inline std::optional<Pooling> PoolingOf(const Graph& graph) {
  const AttrValue* value = graph.attrs().Find(encoder::kPooling);
  const auto* name = value != nullptr ? std::get_if<std::string>(value) : nullptr;
  return name != nullptr ? PoolingFromName(*name) : std::nullopt;
}

}  // namespace sluice
