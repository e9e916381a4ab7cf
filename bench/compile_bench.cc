// How long a big model takes to compile: the Qwen3-30B-A3B shape (48 layers, 128 experts), every
// pass, every bucket of step sizes, without packing weights. The file has no weights.
//
//   build/release/bench/compile_bench
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "backends/cpu/cpu_backend.h"
#include "models/model.h"
#include "models/shapes/shaped_model.h"
#include "passes/pipeline.h"
#include "passes/specialise.h"

namespace sluice {
namespace {

std::unique_ptr<Model> Load() {
  const std::string path =
      (std::filesystem::temp_directory_path() / "sluice.compile_bench.gguf").string();
  const absl::Status status =
      WriteShapedModel(*FindModelShape("qwen3-30b-a3b"),
                       {.mix = FindQuantisationMix("Q4_K_M"), .metadata_only = true}, path);
  absl::StatusOr<std::unique_ptr<Model>> model =
      status.ok() ? Model::Load(path) : absl::StatusOr<std::unique_ptr<Model>>(status);
  std::filesystem::remove(path);
  if (!model.ok()) {
    std::cerr << "compile_bench: " << model.status() << "\n";
    std::exit(1);
  }
  return *std::move(model);
}

absl::Status CompileAllBuckets(const Backend& backend, Graph graph, bool verify) {
  absl::Status status =
      Optimize(backend, {.verify = verify, .stop_before = std::string(kFirstBucketPass)}, &graph);
  for (const int64_t tokens : DefaultTokenBuckets(512)) {
    Graph bucket = graph.Clone();
    status.Update(Optimize(backend,
                           {.verify = verify,
                            .start_at = std::string(kFirstBucketPass),
                            .bucket = BucketBounds(tokens, 1)},
                           &bucket));
  }
  return status;
}

// Argument: whether the verifier runs after each pass.
void BM_CompileAllBuckets(benchmark::State& state) {
  const std::unique_ptr<Model> model = Load();
  const std::unique_ptr<Backend> backend = MakeCpuBackend({.threads = 2});
  for (auto _ : state) {
    absl::StatusOr<Graph> graph = model->BuildGraph({});
    const absl::Status status =
        graph.ok() ? CompileAllBuckets(*backend, *std::move(graph), state.range(0) != 0)
                   : graph.status();
    if (!status.ok()) state.SkipWithError(std::string(status.message()).c_str());
  }
}
BENCHMARK(BM_CompileAllBuckets)->ArgName("verify")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sluice

BENCHMARK_MAIN();
