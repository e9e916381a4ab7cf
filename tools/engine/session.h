// The one way from a model file and options to a session that is ready to run steps.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "backends/backend.h"
#include "backends/cpu/cpu_backend.h"
#include "models/model.h"
#include "runtime/session.h"
#include "tools/engine/context_fit.h"
#include "tools/engine/options.h"

namespace sluice::tools {

// What is told meanwhile; any may be null.
struct SessionEvents {
  std::function<void(const PackEvent&)> on_packed = nullptr;
  // What was odd about the model. Called once it is known to be usable: a failure stays one line.
  std::function<void(const std::string&)> on_warning = nullptr;
  // The context of a decoder, and what it will take, before memory is taken for it.
  std::function<void(const ContextFit&)> on_context = nullptr;
};

struct SessionSetup {
  CompileOptions compile = {};
  int64_t context = 0;  // 0: the model's own
  // Set: `context` does not count, and is as long as fits into memory, but not less than this.
  std::optional<int64_t> least_context = {};
  int64_t max_tokens = 512;  // of a step
  int64_t max_outputs = 1;
  int64_t max_seqs = 1;  // of a step, each with a context of its own
  // Commands without it refuse encoders, which write no text.
  bool takes_encoders = false;
  std::optional<Pooling> pooling = {};  // as in DecoderOptions
  RowForm form = RowForm::kWhole;       // of rows that the command's steps will mostly want
  SessionEvents events = {};
};

// A model on a backend, ready to run steps. Members outlive each other in this order.
struct LoadedSession {
  std::unique_ptr<Model> model;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Session> session;
};

// With the executable of single tokens compiled and weights packed, so that the first step is as
// fast as others. Memory of a file whose weights are packed is let go.
absl::StatusOr<LoadedSession> OpenSession(const ModelOptions& model, const BackendOptions& backend,
                                          const CacheOptions& cache, const SessionSetup& setup);
absl::StatusOr<LoadedSession> OpenSession(std::unique_ptr<Model> model,
                                          const BackendOptions& backend, const CacheOptions& cache,
                                          const SessionSetup& setup);

// A session of a model and a backend that are there already, and outlive it: builds the graph for
// `decoder` and creates the session, nothing more.
absl::StatusOr<std::unique_ptr<Session>> OpenSession(const Model& model, Backend& backend,
                                                     const DecoderOptions& decoder,
                                                     const SessionOptions& options = {});

}  // namespace sluice::tools
