#include "tools/analysis/inspect_metadata.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "models/tokenizer_keys.h"
#include "tools/analysis/inspect_units.h"

namespace sluice {
namespace {

std::string TextOf(const GgufFile& file, absl::string_view key) {
  const GgufValue* value = file.Find(key);
  if (value == nullptr) return "";
  const absl::StatusOr<absl::string_view> text = value->AsString();
  return text.ok() ? Printable(*text) : "";
}

std::string ScalarText(const GgufValue& value) {
  if (const auto text = value.AsString(); text.ok()) return Printable(*text);
  if (const auto flag = value.AsBool(); flag.ok()) return *flag ? "true" : "false";
  if (const auto number = value.AsInt(); number.ok()) return absl::StrCat(*number);
  if (const auto number = value.AsFloat(); number.ok()) return absl::StrCat(*number);
  return "?";  // beyond int64
}

template <typename T>
std::string Elements(const absl::StatusOr<std::vector<T>>& values) {
  constexpr size_t kShown = 6;
  if (!values.ok()) return "";
  std::vector<std::string> shown;
  for (size_t i = 0; i < std::min(kShown, values->size()); ++i) {
    if constexpr (std::is_same_v<T, absl::string_view>) {
      shown.push_back(Printable((*values)[i], 24));
    } else {
      shown.push_back(absl::StrCat((*values)[i]));
    }
  }
  return absl::StrCat(absl::StrJoin(shown, ", "), values->size() > kShown ? ", ..." : "");
}

std::string ArrayText(const GgufValue& value) {
  const std::string head = absl::StrCat("[", value.size(), " ", Name(value.element_type()), "] ");
  if (value.element_type() == GgufType::kString) {
    return absl::StrCat(head, Elements(value.AsStrings()));
  }
  if (value.element_type() == GgufType::kF32) return absl::StrCat(head, Elements(value.AsFloats()));
  return absl::StrCat(head, Elements(value.AsInts()));
}

template <typename Get>
std::string RangeText(const ModelConfig& config, const Get& get) {
  int64_t least = get(config.layers[0]), most = least;
  for (const LayerConfig& layer : config.layers) {
    least = std::min(least, get(layer));
    most = std::max(most, get(layer));
  }
  return least == most ? absl::StrCat(least) : absl::StrCat(least, " to ", most);
}

std::string FeedForwardText(const ModelConfig& config) {
  if (config.experts == 0) {
    return RangeText(config, [](const LayerConfig& layer) { return layer.feed_forward; });
  }
  return absl::StrCat(
      config.experts, " experts of ",
      RangeText(config, [](const LayerConfig& layer) { return layer.expert_feed_forward; }),
      ", a token uses ", config.experts_used);
}

std::string RopeText(const RopeConfig& rope) {
  std::string text = absl::StrCat("base ", rope.base, ", ", rope.dims, " dimensions");
  if (rope.scaling != RopeConfig::Scaling::kNone) {
    const bool yarn = rope.scaling == RopeConfig::Scaling::kYarn;
    absl::StrAppend(&text, yarn ? ", yarn" : ", linear", " factor ", rope.factor);
  }
  return text;
}

std::string FileText(const Model& model) {
  int64_t bytes = 0;
  for (const auto& file : model.files()) {
    for (const GgufTensor& tensor : file->tensors()) bytes += tensor.bytes;
  }
  const size_t parts = model.files().size();
  return absl::StrCat(Printable(model.file().path(), 1000), ", ",
                      BytesText(static_cast<double>(bytes)), " of tensors",
                      parts > 1 ? absl::StrCat(" in ", parts, " parts") : "", ", GGUF ",
                      model.file().version());
}

}  // namespace

NamedTexts KeyFacts(const Model& model) {
  const ModelConfig& config = model.config();
  const GgufFile& file = model.file();
  const auto heads = [](const LayerConfig& layer) { return layer.heads; };
  const auto kv_heads = [](const LayerConfig& layer) { return layer.kv_heads; };
  return {
      {"name", TextOf(file, "general.name")},
      {"file", FileText(model)},
      {"architecture", config.architecture},
      {"layers", absl::StrCat(config.layers.size())},
      {"hidden", absl::StrCat(config.hidden)},
      {"heads", absl::StrCat(RangeText(config, heads), " of ", config.key_length, ", ",
                             RangeText(config, kv_heads), " of keys and values")},
      {"feed-forward", FeedForwardText(config)},
      {"vocabulary", absl::StrCat(config.vocabulary, " tokens, ", TextOf(file, kModelKey), " ",
                                  TextOf(file, kPreKey))},
      {"context", absl::StrCat(config.context_length)},
      {"rope", RopeText(config.rope)},
  };
}

NamedTexts AllMetadata(const GgufFile& file) {
  NamedTexts texts;
  for (const auto& [key, value] : file.metadata()) {
    texts.emplace_back(Printable(key),
                       value.type() == GgufType::kArray ? ArrayText(value) : ScalarText(value));
  }
  return texts;
}

}  // namespace sluice
