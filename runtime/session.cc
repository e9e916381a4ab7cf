#include "runtime/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/decoder_interface.h"
#include "graph/encoder_interface.h"
#include "graph/evaluate.h"
#include "graph/status_macros.h"
#include "passes/memory_plan.h"
#include "passes/pipeline.h"
#include "passes/specialise.h"
#include "runtime/likeliest.h"
#include "runtime/machine_memory.h"

namespace sluice {
namespace {

absl::StatusOr<int64_t> BoundOf(const Graph& graph, absl::string_view symbol) {
  const int64_t bound = graph.Bounds().Get(symbol);
  if (bound >= 1) return bound;
  return absl::InvalidArgumentError(
      absl::StrCat("the graph is no decoder: it has no symbol '", symbol, "'"));
}

// The token ids that there are: a decoder has a logit for each, an encoder says.
absl::StatusOr<int64_t> VocabularyOf(const Graph& graph) {
  if (!PoolingOf(graph).has_value()) return graph.outputs()[0]->type().shape[1].factor();
  return encoder::NumberOf(graph, encoder::kVocabulary);
}

}  // namespace

// Packed weights take the place of the file's, whose memory is let go: they cost what they need
// beside the cache and the activations of a step, and a tenth is left to others, because unlike a
// file's pages they cannot be taken away for a while.
absl::StatusOr<int64_t> DefaultPrepackBytes(const Graph& graph) {
  SLUICE_ASSIGN_OR_RETURN(const MemoryPlan plan, MemoryPlanOf(graph));
  const absl::StatusOr<MachineMemory> machine = ReadMachineMemory();
  if (!machine.ok()) return 0;  // an unusual system: nothing that can be spared is known
  return std::max<int64_t>(0, machine->available / 10 * 9 - plan.states - plan.activations);
}

Session::Session(Graph graph, const WeightTable& weights, Backend& backend,
                 const SessionOptions& options)
    : graph_(std::move(graph)), weights_(weights), backend_(backend), options_(options) {}

absl::StatusOr<std::unique_ptr<Session>> Session::Create(Graph graph, const WeightTable& weights,
                                                         Backend& backend,
                                                         const SessionOptions& options) {
  auto session = std::unique_ptr<Session>(new Session(std::move(graph), weights, backend, options));
  SLUICE_RETURN_IF_ERROR(session->Initialise());
  return session;
}

absl::Status Session::Initialise() {
  SLUICE_RETURN_IF_ERROR(ReadLimits());
  batch_.emplace(limits_);
  for (const auto& input : graph_.inputs()) {
    if (batch_->Input(input->name()) == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("the graph is no decoder: unknown input ", input->ref()));
    }
  }
  if (options_.prepack_bytes.has_value()) {
    packs_.budget = *options_.prepack_bytes;
  } else {
    SLUICE_ASSIGN_OR_RETURN(packs_.budget, DefaultPrepackBytes(graph_));
  }
  SLUICE_RETURN_IF_ERROR(MakeBuckets());
  PassOptions shared = options_.passes;
  if (shared.stop_before.empty() && shared.stop_after.empty())
    shared.stop_before = std::string(kFirstBucketPass);
  SLUICE_RETURN_IF_ERROR(Optimize(backend_, shared, &graph_));
  chooses_likeliest_ = options_.chooses_likeliest.value_or(CopiesLogits(graph_, backend_));
  return AllocateStates();
}

absl::Status Session::ReadLimits() {
  SLUICE_ASSIGN_OR_RETURN(limits_.max_tokens, BoundOf(graph_, decoder::kTokens));
  SLUICE_ASSIGN_OR_RETURN(limits_.max_seqs, BoundOf(graph_, decoder::kSeqs));
  SLUICE_ASSIGN_OR_RETURN(const int64_t table, BoundOf(graph_, decoder::kTable));
  SLUICE_ASSIGN_OR_RETURN(const int64_t blocks, BoundOf(graph_, decoder::kBlocks));
  SLUICE_RETURN_IF_ERROR(BoundOf(graph_, decoder::kOutputs).status());
  if (graph_.states().empty() || graph_.states()[0]->type().rank() != 4 ||
      graph_.outputs().empty() || graph_.outputs()[0]->type().rank() != 2) {
    return absl::InvalidArgumentError(
        "the graph is no decoder: expected states [blocks,kv_heads,block_size,head_dim] and an "
        "output [outputs,vocabulary]");
  }
  limits_.max_outputs = std::clamp<int64_t>(options_.max_outputs, 1, limits_.max_tokens);
  limits_.block_size = graph_.states()[0]->type().shape[2].factor();
  SLUICE_ASSIGN_OR_RETURN(limits_.vocabulary, VocabularyOf(graph_));
  limits_.max_context = std::min(table, blocks) * limits_.block_size;
  pool_ = BlockPool(blocks);
  return absl::OkStatus();
}

absl::Status Session::MakeBuckets() {
  if (options_.buckets.empty()) options_.buckets = DefaultTokenBuckets(limits_.max_tokens);
  int64_t last = 0;
  for (const int64_t tokens : options_.buckets) {
    if (tokens <= last || tokens > limits_.max_tokens) {
      return absl::InvalidArgumentError(
          absl::StrCat("token buckets ", absl::StrJoin(options_.buckets, ","),
                       ", expected rising numbers from 1 to ", limits_.max_tokens));
    }
    buckets_.push_back({.tokens = last = tokens});
  }
  if (last < limits_.max_tokens) buckets_.push_back({.tokens = limits_.max_tokens});
  return absl::OkStatus();
}

std::vector<int64_t> Session::buckets() const {
  std::vector<int64_t> tokens;
  for (const Bucket& bucket : buckets_) tokens.push_back(bucket.tokens);
  return tokens;
}

absl::Status Session::AllocateStates() {
  for (const auto& state : graph_.states()) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, graph_.Bounds().EvaluateBytes(state->type()));
    absl::StatusOr<std::unique_ptr<Buffer>> buffer = AllocateState(*state, bytes, backend_);
    if (!buffer.ok()) {
      return absl::Status(
          buffer.status().code(),
          absl::StrCat("KV cache ", state->ref(), " : ", state->type().ToString(), ": ",
                       buffer.status().message(), "; a smaller context (-c) needs less"));
    }
    states_.push_back(*std::move(buffer));
    state_pointers_.push_back(states_.back().get());
  }
  return absl::OkStatus();
}

std::unique_ptr<Sequence> Session::NewSequence() {
  auto sequence = std::make_unique<Sequence>(&pool_, limits_.block_size);
  sequence->Reserve(limits_.max_context);
  return sequence;
}

absl::StatusOr<Executable*> Session::ExecutableFor(int64_t tokens, RowForm form) {
  auto bucket = std::find_if(buckets_.begin(), buckets_.end(),
                             [&](const Bucket& b) { return b.tokens >= tokens; });
  form = FormFor(form);
  auto& executable = form == RowForm::kWhole ? bucket->whole : bucket->likeliest;
  if (executable == nullptr) {
    SLUICE_ASSIGN_OR_RETURN(executable, Compile(bucket->tokens, form));
  }
  return executable.get();
}

absl::StatusOr<std::unique_ptr<Executable>> Session::Compile(int64_t tokens, RowForm form) {
  Graph graph = graph_.Clone();
  if (form == RowForm::kLikeliest) {
    SLUICE_ASSIGN_OR_RETURN(graph, WithLikeliest(std::move(graph)));
  }
  PassOptions passes = options_.passes;
  passes.start_at = std::string(kFirstBucketPass);
  passes.packs = &packs_;
  passes.bucket = BucketBounds(tokens, limits_.max_outputs);
  SLUICE_RETURN_IF_ERROR(Optimize(backend_, passes, &graph));
  return backend_.Compile(std::move(graph), weights_);
}

absl::StatusOr<Executable*> Session::RunStep(RowForm form) {
  SLUICE_ASSIGN_OR_RETURN(Executable * executable, ExecutableFor(batch_->tokens(), form));
  args_.symbols.Set(decoder::kTokens, batch_->tokens());
  args_.symbols.Set(decoder::kOutputs, batch_->outputs());
  args_.symbols.Set(decoder::kSeqs, batch_->sequences());
  args_.symbols.Set(decoder::kTable, batch_->table());
  args_.symbols.Set(decoder::kBlocks, pool_.size());
  input_views_.clear();
  for (const auto& input : executable->graph().inputs()) {
    SLUICE_ASSIGN_OR_RETURN(TensorView view, ViewOf(input->type(), args_.symbols));
    view.data = reinterpret_cast<std::byte*>(batch_->Input(input->name())->data());
    input_views_.push_back(std::move(view));
  }
  args_.inputs = input_views_;
  args_.states = state_pointers_;
  args_.observer = observer_;
  SLUICE_RETURN_IF_ERROR(executable->Run(args_));
  return executable;
}

absl::StatusOr<absl::Span<const float>> Session::Step(absl::Span<const StepToken> tokens) {
  SLUICE_ASSIGN_OR_RETURN(const LogitRows rows, StepRows(tokens, RowForm::kWhole));
  return rows.values;
}

absl::StatusOr<LogitRows> Session::StepRows(absl::Span<const StepToken> tokens, RowForm form) {
  SLUICE_RETURN_IF_ERROR(batch_->Fill(tokens));
  absl::StatusOr<Executable*> executable = RunStep(form);
  if (!executable.ok()) {
    batch_->RollBack();
    return executable.status();
  }
  const bool wanted =
      std::any_of(tokens.begin(), tokens.end(), [](const StepToken& t) { return t.want_logits; });
  if (!wanted) return LogitRows{};
  SLUICE_ASSIGN_OR_RETURN(const TensorView values, (*executable)->output(0));
  const auto count = static_cast<size_t>(values.elements());
  LogitRows rows{{values.f32(), count}};
  if (FormFor(form) == RowForm::kLikeliest) {
    SLUICE_ASSIGN_OR_RETURN(const TensorView tokens_view, (*executable)->output(1));
    rows.tokens = {tokens_view.i32(), count};
  }
  return rows;
}

absl::StatusOr<absl::Span<const float>> Session::Prefill(Sequence& sequence,
                                                         absl::Span<const int32_t> tokens,
                                                         int64_t chunk) {
  const auto step =
      static_cast<size_t>(chunk > 0 ? std::min(chunk, limits_.max_tokens) : limits_.max_tokens);
  absl::Span<const float> logits;
  std::vector<StepToken> batch;
  for (size_t begin = 0; begin < tokens.size(); begin += step) {
    const size_t end = std::min(tokens.size(), begin + step);
    batch.clear();
    for (size_t i = begin; i < end; ++i) {
      batch.push_back({&sequence, tokens[i], i + 1 == tokens.size()});
    }
    SLUICE_ASSIGN_OR_RETURN(logits, Step(batch));
  }
  return logits;
}

}  // namespace sluice
