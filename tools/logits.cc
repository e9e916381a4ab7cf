// sluice logits: the logits of every position of a given token sequence, for comparisons.
#include <cmath>
#include <memory>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "models/files/output_file.h"
#include "tools/commands.h"
#include "tools/options.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

struct LogitsOptions {
  ModelOptions model;
  BackendOptions backend;
  CacheOptions cache;
  CompileOptions compile;
  std::string ids, out;
  int64_t chunk = 0;
};

// Evaluates `ids` chunk by chunk and writes [ids, vocabulary] little-endian float32.
absl::Status WriteLogits(Session& session, const std::vector<int32_t>& ids, int64_t chunk,
                         OutputFile& file, int64_t* non_finite) {
  const std::unique_ptr<Sequence> sequence = session.NewSequence();
  std::vector<StepToken> step;
  for (size_t begin = 0; begin < ids.size(); begin += static_cast<size_t>(chunk)) {
    const size_t end = std::min(ids.size(), begin + static_cast<size_t>(chunk));
    step.clear();
    for (size_t i = begin; i < end; ++i) step.push_back({sequence.get(), ids[i], true});
    SLUICE_ASSIGN_OR_RETURN(const absl::Span<const float> logits, session.Step(step));
    for (float logit : logits) *non_finite += !std::isfinite(logit);
    SLUICE_RETURN_IF_ERROR(file.Write(logits.data(), logits.size() * sizeof(float)));
  }
  return absl::OkStatus();
}

absl::Status Logits(const LogitsOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ParseIds(options.ids));
  // One piece unless asked otherwise, up to a size whose logits still fit in memory.
  const auto count = static_cast<int64_t>(ids.size());
  const int64_t chunk = std::min<int64_t>(options.chunk > 0 ? options.chunk : 2048, count);
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, options.model.Load());
  WarnBeyond(model->config(), count);
  const int64_t vocabulary = model->config().vocabulary;
  SLUICE_ASSIGN_OR_RETURN(
      const std::unique_ptr<OutputFile> file,
      OutputFile::Open(options.out, {.inputs = model->paths(),
                                     .bytes = count * vocabulary * int64_t{sizeof(float)}}));
  SLUICE_ASSIGN_OR_RETURN(LoadedSession loaded,
                          OpenSession(std::move(model), options.backend, options.cache,
                                      {.compile = options.compile,
                                       .context = count,
                                       .max_tokens = chunk,
                                       .max_outputs = chunk,
                                       .events = OnTerminal()}));
  int64_t non_finite = 0;
  SLUICE_RETURN_IF_ERROR(WriteLogits(*loaded.session, ids, chunk, *file, &non_finite));
  SLUICE_RETURN_IF_ERROR(file->Commit());
  if (non_finite > 0) {
    Warn(absl::StrCat(non_finite, " of ", count * vocabulary,
                      " logits are not finite (NaN or inf)"));
  }
  return absl::OkStatus();
}

}  // namespace

void AddLogits(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<LogitsOptions>();
  CLI::App* command = app.add_subcommand(
      "logits", "Write the logits of every position: little-endian float32 [ids, vocabulary]");
  Declare(command, &options->model);
  DeclareLora(command, &options->model);
  command->add_option("--ids", options->ids, "token ids: 1,2,3")->required();
  command->add_option("--out", options->out, "file to write")->required();
  command->add_option("--chunk", options->chunk, "tokens of one step; 0: all in one piece")
      ->check(CLI::Range(int64_t{0}, int64_t{65536}))
      ->capture_default_str();
  Declare(command, &options->backend);
  Declare(command, &options->cache);
  Declare(command, &options->compile);
  AddExamples(command, {"logits model.gguf --ids 1,2,3 --out l.f32",
                        "logits model.gguf --ids 1,2,3 --out l.f32 --backend ref --chunk 1"});
  command->callback([command, options, status] {
    *status = Checked({CheckBackend(*command, options->backend),
                       CheckCompile(*command, options->backend, options->compile)},
                      [&] { return Logits(*options); });
  });
}

}  // namespace sluice::tools
