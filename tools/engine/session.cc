#include "tools/engine/session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/memory_for.h"
#include "graph/status_macros.h"
#include "passes/memory_plan.h"

namespace sluice::tools {

absl::StatusOr<LoadedSession> OpenSession(const ModelOptions& model, const BackendOptions& backend,
                                          const CacheOptions& cache, const SessionSetup& setup) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Model> loaded, model.Load());
  return OpenSession(std::move(loaded), backend, cache, setup);
}

namespace {

absl::StatusOr<LoadedSession> Open(std::unique_ptr<Model> model, const BackendOptions& backend,
                                   const CacheOptions& cache, const SessionSetup& setup) {
  const ModelConfig& config = model->config();
  if (config.encoder.has_value() && !setup.takes_encoders) {
    return absl::InvalidArgumentError(
        absl::StrCat(model->file().path(), ": '", config.architecture,
                     "' is an encoder, which writes no text: use `sluice embed`"));
  }
  LoadedSession loaded;
  loaded.model = std::move(model);
  SLUICE_ASSIGN_OR_RETURN(
      loaded.backend, backend.Make([model = loaded.model.get(),
                                    on_packed = setup.events.on_packed](const PackEvent& event) {
        model->Release(event.part);
        if (on_packed) on_packed(event);
      }));
  DecoderOptions options;
  SLUICE_RETURN_IF_ERROR(cache.Apply(&options));
  options.context = setup.context;
  options.max_tokens = setup.max_tokens;
  options.max_seqs = setup.max_seqs;
  options.pooling = setup.pooling;
  ContextFit fit;
  if (setup.least_context.has_value()) {
    SLUICE_ASSIGN_OR_RETURN(const MachineMemory memory, MemoryOf(*loaded.backend));
    SLUICE_ASSIGN_OR_RETURN(fit, FitContext(*loaded.model, options, memory, *setup.least_context));
    options.context = fit.context;
  }
  SLUICE_ASSIGN_OR_RETURN(Graph graph, loaded.model->BuildGraph(options));
  if (setup.events.on_context && !config.encoder.has_value()) {
    SLUICE_ASSIGN_OR_RETURN(const MemoryPlan plan, MemoryPlanOf(graph));
    fit.context = options.context > 0 ? options.context : config.context_length;
    fit.own = config.context_length;
    fit.cache_bytes = plan.states;
    setup.events.on_context(fit);
  }
  SessionOptions session{.max_outputs = setup.max_outputs, .buckets = setup.compile.buckets};
  SLUICE_ASSIGN_OR_RETURN(session.prepack_bytes, setup.compile.PrepackBytes(graph));
  SLUICE_ASSIGN_OR_RETURN(session.passes, setup.compile.Passes(*loaded.model));
  SLUICE_ASSIGN_OR_RETURN(loaded.session, Session::Create(std::move(graph), loaded.model->weights(),
                                                          *loaded.backend, session));
  // Compiling now finds what no kernel can run before anything is printed or written.
  SLUICE_RETURN_IF_ERROR(loaded.session->ExecutableFor(1, setup.form).status());
  if (setup.events.on_warning) {
    for (const std::string& warning : loaded.model->warnings()) setup.events.on_warning(warning);
  }
  return loaded;
}

}  // namespace

absl::StatusOr<LoadedSession> OpenSession(std::unique_ptr<Model> model,
                                          const BackendOptions& backend, const CacheOptions& cache,
                                          const SessionSetup& setup) {
  const std::string path = model->file().path();
  absl::StatusOr<LoadedSession> loaded =
      WithMemoryFor(path, [&] { return Open(std::move(model), backend, cache, setup); });
  if (!absl::IsResourceExhausted(loaded.status())) return loaded;
  return absl::ResourceExhaustedError(absl::StrCat(path, ": ", loaded.status().message()));
}

absl::StatusOr<std::unique_ptr<Session>> OpenSession(const Model& model, Backend& backend,
                                                     const DecoderOptions& decoder,
                                                     const SessionOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(Graph graph, model.BuildGraph(decoder));
  return Session::Create(std::move(graph), model.weights(), backend, options);
}

}  // namespace sluice::tools
