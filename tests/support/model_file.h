// Small model files for tests: a valid one to begin with, of which any key or tensor can be
// changed, added or removed before it is written.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "graph/dtype.h"
#include "models/files/gguf.h"
#include "models/files/gguf_writer.h"

namespace sluice {

class ModelFile {
 public:
  // hidden 32, 4 heads of 8, 2 KV heads, feed-forward 64, context 128, 6 tokens; the output is
  // tied to the embedding. `architecture` also prefixes keys that begin with a dot.
  explicit ModelFile(std::string architecture, int64_t layers = 1);
  // The same with 4 experts of feed-forward 32, 2 used, in layers from `first_routed` on.
  static ModelFile WithExperts(std::string architecture, int64_t layers = 1,
                               int64_t first_routed = 0);
  // An encoder, "bert": hidden 32, 4 heads of 8, feed-forward 64, context 40, 2 token types, mean
  // pooling, 10 tokens: the four that texts have besides words, and "hello world , a b ##s".
  static ModelFile Bert(int64_t layers = 1);

  // Replace the key if it is there. Returned for chaining.
  ModelFile& Int(absl::string_view key, uint32_t value);
  ModelFile& Ints(absl::string_view key, std::vector<int32_t> values);
  ModelFile& Float(absl::string_view key, float value);
  ModelFile& Floats(absl::string_view key, std::vector<float> values);
  ModelFile& Bool(absl::string_view key, bool value);
  ModelFile& Text(absl::string_view key, std::string value);
  ModelFile& Texts(absl::string_view key, std::vector<std::string> values);
  ModelFile& Remove(absl::string_view key);

  // Adds or replaces. The data reads as zeros, unless there are random weights.
  ModelFile& Tensor(std::string name, std::vector<int64_t> shape, DType dtype = DType::kF32);
  ModelFile& RemoveTensor(absl::string_view name);
  // Numbers of a trained model's size: a tensor's are the same in every file and format, but for
  // rounding.
  ModelFile& RandomWeights();

  void Write(const std::string& path) const;
  // Writes the file and opens it; it is gone from the disk afterwards.
  std::unique_ptr<GgufFile> Open() const;
  // Its path while it was there, which messages name.
  static std::string Path();

 private:
  ModelFile() = default;
  using Setter = std::function<void(GgufWriter&)>;
  struct TensorRecord {
    std::string name;
    std::vector<int64_t> shape;
    DType dtype;
  };
  std::string Full(absl::string_view key) const;
  ModelFile& Set(absl::string_view key, std::function<void(GgufWriter&, const std::string&)> set);

  std::string architecture_;
  std::vector<std::pair<std::string, Setter>> keys_;
  std::vector<TensorRecord> tensors_;
  bool random_ = false;
};

}  // namespace sluice
