// sluice make-model: model files of known shapes, empty or with random weights.
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "graph/status_macros.h"
#include "models/shapes/shaped_model.h"
#include "tools/commands.h"
#include "tools/terminal/progress.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

struct MakeModelOptions {
  std::string shape, path, type = "Q4_K_M";
  ShapedModelOptions shaped;
};

absl::Status MakeModel(MakeModelOptions options) {
  const ModelShape& shape = *FindModelShape(options.shape);
  options.shaped.mix = FindQuantisationMix(options.type);
  int64_t bytes = 0, parameters = 0;
  for (const ShapedTensor& tensor :
       ShapedTensors(shape, *options.shaped.mix, options.shaped.layers)) {
    bytes += tensor.bytes();
    parameters += tensor.elements();
  }
  Progress progress(absl::StrCat("writing ", options.path), bytes);
  options.shaped.on_written = [&progress](int64_t written) { progress.Advance(written); };
  SLUICE_RETURN_IF_ERROR(WriteShapedModel(shape, options.shaped, options.path));
  std::cout << absl::StreamFormat("%s: %s, %s, %d parameters, %.2f GiB%s\n", options.path,
                                  shape.title, options.type, parameters,
                                  static_cast<double>(bytes) / (1 << 30),
                                  options.shaped.metadata_only ? " (none of it on disk)" : "");
  return absl::OkStatus();
}

}  // namespace

void AddMakeModel(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<MakeModelOptions>();
  CLI::App* command = app.add_subcommand(
      "make-model", "Write a model file of a known shape, empty or with random weights");
  std::vector<std::string> shapes, mixes;
  for (const ModelShape& shape : ModelShapes()) shapes.emplace_back(shape.name);
  for (const QuantisationMix& mix : QuantisationMixes()) mixes.emplace_back(mix.name);
  command->add_option("SHAPE", options->shape, "the model to take the shape of")
      ->required()
      ->check(OneOf(shapes));
  command->add_option("OUT", options->path, "GGUF file to write")->required();
  command->add_option("--layers", options->shaped.layers, "layers; 0: the model's own")
      ->check(CLI::Range(int64_t{0}, int64_t{1024}))
      ->capture_default_str();
  command->add_option("--type", options->type, "which block formats the tensors get")
      ->transform(AnyCase(mixes))
      ->capture_default_str();
  command->add_flag("--metadata-only", options->shaped.metadata_only,
                    "no weights: a sparse file of the full size that takes a few MB of disk");
  command->add_option("-s,--seed", options->shaped.seed, "of the random weights")
      ->capture_default_str();
  AddExamples(command, {"make-model qwen3-0.6b q.gguf --type Q8_0 -s 1      random weights",
                        "make-model qwen3-0.6b q.gguf --metadata-only       for inspect and dump",
                        "make-model qwen3-0.6b q.gguf --layers 2 --type F32 a short one"});
  command->callback([command, options, status] {
    *status = Checked({CheckEffects(*command, {{"--seed", !options->shaped.metadata_only,
                                                "without --metadata-only"}})},
                      [&] { return MakeModel(*options); });
  });
}

}  // namespace sluice::tools
