#include "tools/inspect/metadata.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "models/files/tokenizer_keys.h"
#include "tools/terminal/units.h"

namespace sluice {
namespace {

std::string TextOf(const WeightSource& file, absl::string_view key) {
  const MetadataValue* value = file.Find(key);
  if (value == nullptr) return "";
  const absl::StatusOr<absl::string_view> text = value->AsString();
  return text.ok() ? Printable(*text) : "";
}

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

std::string ScalarText(const MetadataValue& value, bool full) {
  if (const auto text = value.AsString(); text.ok()) {
    return full ? Printable(*text, kNoLimit) : Printable(*text);
  }
  if (const auto flag = value.AsBool(); flag.ok()) return *flag ? "true" : "false";
  if (const auto number = value.AsInt(); number.ok()) return absl::StrCat(*number);
  if (const auto number = value.AsFloat(); number.ok()) return absl::StrCat(*number);
  return "?";  // beyond int64
}

template <typename T>
std::string Elements(const absl::StatusOr<std::vector<T>>& values, bool full) {
  if (!values.ok()) return "";
  const size_t count = full ? values->size() : std::min<size_t>(6, values->size());
  std::vector<std::string> shown;
  for (size_t i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<T, absl::string_view>) {
      shown.push_back(Printable((*values)[i], full ? kNoLimit : 24));
    } else {
      shown.push_back(absl::StrCat((*values)[i]));
    }
  }
  return absl::StrCat(absl::StrJoin(shown, ", "), values->size() > count ? ", ..." : "");
}

std::string ArrayText(const MetadataValue& value, bool full) {
  const std::string head = absl::StrCat("[", value.size(), " ", Name(value.element_type()), "] ");
  if (value.element_type() == MetadataType::kString) {
    return absl::StrCat(head, Elements(value.AsStrings(), full));
  }
  if (value.element_type() == MetadataType::kF32)
    return absl::StrCat(head, Elements(value.AsFloats(), full));
  return absl::StrCat(head, Elements(value.AsInts(), full));
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

std::string TensorBytesText(absl::Span<const std::unique_ptr<WeightSource>> files) {
  int64_t bytes = 0;
  for (const auto& file : files) {
    for (const StoredTensor& tensor : file->tensors()) bytes += tensor.bytes;
  }
  return absl::StrCat(BytesText(static_cast<double>(bytes)), " of tensors");
}

std::string FileText(const Model& model) {
  const size_t parts = model.files().size();
  return absl::StrCat(Printable(model.file().path(), 1000), ", ", TensorBytesText(model.files()),
                      parts > 1 ? absl::StrCat(" in ", parts, " parts") : "", ", ",
                      model.file().format());
}

// "" without adapters.
std::string AdaptersText(const Model& model) {
  return absl::StrJoin(model.adapters(), "; ", [](std::string* out, const auto& adapter) {
    absl::StrAppend(out, Printable(adapter->path(), 1000), ", ", TensorBytesText({&adapter, 1}));
  });
}

}  // namespace

NamedTexts KeyFacts(const Model& model) {
  const ModelConfig& config = model.config();
  const WeightSource& file = model.file();
  const auto heads = [](const LayerConfig& layer) { return layer.heads; };
  const auto kv_heads = [](const LayerConfig& layer) { return layer.kv_heads; };
  NamedTexts facts = {
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
      config.encoder.has_value() ? std::pair("pooling", std::string(Name(config.encoder->pooling)))
                                 : std::pair("rope", RopeText(config.rope)),
  };
  if (!model.adapters().empty()) facts.emplace_back("adapters", AdaptersText(model));
  return facts;
}

NamedTexts AllMetadata(const WeightSource& file, bool full) {
  NamedTexts texts;
  for (const auto& [key, value] : file.metadata()) {
    texts.emplace_back(Printable(key), value.type() == MetadataType::kArray
                                           ? ArrayText(value, full)
                                           : ScalarText(value, full));
  }
  return texts;
}

}  // namespace sluice
