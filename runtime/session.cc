#include "runtime/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/decoder_interface.h"
#include "graph/encoder_interface.h"
#include "graph/evaluate.h"
#include "graph/status_macros.h"
#include "passes/pipeline.h"
#include "passes/specialise.h"

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
  SLUICE_ASSIGN_OR_RETURN(max_tokens_, BoundOf(graph_, decoder::kTokens));
  SLUICE_ASSIGN_OR_RETURN(max_seqs_, BoundOf(graph_, decoder::kSeqs));
  SLUICE_ASSIGN_OR_RETURN(const int64_t table, BoundOf(graph_, decoder::kTable));
  SLUICE_ASSIGN_OR_RETURN(const int64_t blocks, BoundOf(graph_, decoder::kBlocks));
  SLUICE_RETURN_IF_ERROR(BoundOf(graph_, decoder::kOutputs).status());
  for (const auto& input : graph_.inputs()) {
    if (InputNamed(input->name()) == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("the graph is no decoder: unknown input ", input->ref()));
    }
  }
  if (graph_.states().empty() || graph_.states()[0]->type().rank() != 4 ||
      graph_.outputs().empty() || graph_.outputs()[0]->type().rank() != 2) {
    return absl::InvalidArgumentError(
        "the graph is no decoder: expected states [blocks,kv_heads,block_size,head_dim] and an "
        "output [outputs,vocabulary]");
  }
  block_size_ = graph_.states()[0]->type().shape[2].factor();
  SLUICE_ASSIGN_OR_RETURN(vocabulary_, VocabularyOf(graph_));
  max_context_ = std::min(table, blocks) * block_size_;
  pool_ = BlockPool(blocks);
  options_.max_outputs = std::clamp<int64_t>(options_.max_outputs, 1, max_tokens_);
  packs_.budget = options_.prepack_bytes;
  SLUICE_RETURN_IF_ERROR(MakeBuckets());
  SLUICE_RETURN_IF_ERROR(AllocateStates());
  ReserveInputs(table);
  PassOptions shared = options_.passes;
  if (shared.stop_before.empty() && shared.stop_after.empty())
    shared.stop_before = std::string(kFirstBucketPass);
  return Optimize(backend_, shared, &graph_);
}

absl::Status Session::MakeBuckets() {
  if (options_.buckets.empty()) options_.buckets = DefaultTokenBuckets(max_tokens_);
  int64_t last = 0;
  for (const int64_t tokens : options_.buckets) {
    if (tokens <= last || tokens > max_tokens_) {
      return absl::InvalidArgumentError(
          absl::StrCat("token buckets ", absl::StrJoin(options_.buckets, ","),
                       ", expected rising numbers from 1 to ", max_tokens_));
    }
    buckets_.push_back({.tokens = last = tokens});
  }
  if (last < max_tokens_) buckets_.push_back({.tokens = max_tokens_});
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
    absl::StatusOr<std::unique_ptr<Buffer>> buffer = backend_.Allocate(bytes);
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

// What steps need at most, so that none of them allocates. Bounded by the graph's symbols.
void Session::ReserveInputs(int64_t table) {
  const auto tokens = static_cast<size_t>(max_tokens_), seqs = static_cast<size_t>(max_seqs_);
  for (auto* list : {&in_.token_ids, &in_.positions, &in_.seq_ids, &in_.slots}) {
    list->reserve(tokens);
  }
  in_.output_rows.reserve(static_cast<size_t>(options_.max_outputs));
  in_.context_lens.reserve(seqs);
  in_.block_tables.reserve(seqs * static_cast<size_t>(table));
  in_.sequences.reserve(seqs);
  in_.old_lengths.reserve(seqs);
  in_.next_positions.reserve(seqs);
}

std::unique_ptr<Sequence> Session::NewSequence() {
  auto sequence = std::make_unique<Sequence>(&pool_, block_size_);
  sequence->Reserve(max_context_);
  return sequence;
}

absl::StatusOr<Executable*> Session::ExecutableFor(int64_t tokens) {
  auto bucket = std::find_if(buckets_.begin(), buckets_.end(),
                             [&](const Bucket& b) { return b.tokens >= tokens; });
  if (bucket->executable == nullptr) {
    Graph graph = graph_.Clone();
    PassOptions passes = options_.passes;
    passes.start_at = std::string(kFirstBucketPass);
    passes.packs = &packs_;
    passes.bucket = BucketBounds(bucket->tokens, options_.max_outputs);
    SLUICE_RETURN_IF_ERROR(Optimize(backend_, passes, &graph));
    SLUICE_ASSIGN_OR_RETURN(bucket->executable, backend_.Compile(std::move(graph), weights_));
  }
  return bucket->executable.get();
}

std::vector<int32_t>* Session::InputNamed(absl::string_view name) {
  if (name == decoder::kTokenIds) return &in_.token_ids;
  if (name == decoder::kPositions) return &in_.positions;
  if (name == decoder::kSeqIds) return &in_.seq_ids;
  if (name == decoder::kSlots) return &in_.slots;
  if (name == decoder::kBlockTables) return &in_.block_tables;
  if (name == decoder::kContextLens) return &in_.context_lens;
  if (name == decoder::kOutputRows) return &in_.output_rows;
  return nullptr;
}

absl::Status Session::CheckStep(absl::Span<const StepToken> tokens) const {
  const auto count = static_cast<int64_t>(tokens.size());
  const int64_t wanted =
      std::count_if(tokens.begin(), tokens.end(), [](const StepToken& t) { return t.want_logits; });
  if (count < 1 || count > max_tokens_ || wanted > options_.max_outputs) {
    return absl::InvalidArgumentError(absl::StrCat("a step of ", count, " tokens with ", wanted,
                                                   " rows of logits, expected 1 to ", max_tokens_,
                                                   " and at most ", options_.max_outputs));
  }
  for (const StepToken& t : tokens) {
    if (t.token < 0 || t.token >= vocabulary_) {
      return absl::InvalidArgumentError(absl::StrCat("token id ", t.token, " is not in 0 to ",
                                                     vocabulary_ - 1, ", the vocabulary"));
    }
  }
  return absl::OkStatus();
}

// Collects the step's sequences and makes room in each. All or nothing.
absl::Status Session::ExtendSequences(absl::Span<const StepToken> tokens) {
  in_.sequences.clear();
  in_.old_lengths.clear();
  for (const StepToken& t : tokens) {
    const auto& known = in_.sequences;
    if (std::find(known.begin(), known.end(), t.sequence) != known.end()) continue;
    if (static_cast<int64_t>(known.size()) == max_seqs_) {
      RollBack();
      return absl::InvalidArgumentError(
          absl::StrCat("a step of more than ", max_seqs_, " sequences"));
    }
    const int64_t length = t.sequence->length();
    const int64_t added = std::count_if(
        tokens.begin(), tokens.end(), [&](const StepToken& u) { return u.sequence == t.sequence; });
    absl::Status status =
        length + added > max_context_
            ? absl::OutOfRangeError(absl::StrCat("the context is full: ", length, " + ", added,
                                                 " tokens, expected at most ", max_context_))
            : t.sequence->Extend(added);
    if (!status.ok()) {
      RollBack();
      return status;
    }
    in_.sequences.push_back(t.sequence);
    in_.old_lengths.push_back(length);
  }
  return absl::OkStatus();
}

// Gives back what ExtendSequences took.
void Session::RollBack() {
  for (size_t i = 0; i < in_.sequences.size(); ++i) {
    in_.sequences[i]->Truncate(in_.old_lengths[i]);
  }
}

void Session::FillInputs(absl::Span<const StepToken> tokens) {
  for (auto* list : {&in_.token_ids, &in_.positions, &in_.seq_ids, &in_.slots, &in_.context_lens,
                     &in_.output_rows}) {
    list->clear();
  }
  std::vector<int64_t>& next = in_.next_positions;
  next.assign(in_.old_lengths.begin(), in_.old_lengths.end());
  for (const StepToken& t : tokens) {
    const auto it = std::find(in_.sequences.begin(), in_.sequences.end(), t.sequence);
    const auto s = static_cast<size_t>(it - in_.sequences.begin());
    if (t.want_logits) in_.output_rows.push_back(static_cast<int32_t>(in_.token_ids.size()));
    in_.token_ids.push_back(t.token);
    in_.seq_ids.push_back(static_cast<int32_t>(s));
    in_.positions.push_back(static_cast<int32_t>(next[s]));
    in_.slots.push_back(t.sequence->Slot(next[s]));
    ++next[s];
  }
  if (in_.output_rows.empty()) in_.output_rows.push_back(0);  // a dimension is at least 1
  in_.table = 1;
  for (const Sequence* sequence : in_.sequences) {
    in_.context_lens.push_back(static_cast<int32_t>(sequence->length()));
    in_.table = std::max(in_.table, static_cast<int64_t>(sequence->blocks().size()));
  }
  in_.block_tables.assign(in_.sequences.size() * static_cast<size_t>(in_.table), 0);
  for (size_t s = 0; s < in_.sequences.size(); ++s) {
    const auto blocks = in_.sequences[s]->blocks();
    std::copy(blocks.begin(), blocks.end(),
              in_.block_tables.begin() + static_cast<ptrdiff_t>(s) * in_.table);
  }
}

absl::StatusOr<Executable*> Session::RunStep() {
  SLUICE_ASSIGN_OR_RETURN(Executable * executable,
                          ExecutableFor(static_cast<int64_t>(in_.token_ids.size())));
  args_.symbols.Set(decoder::kTokens, static_cast<int64_t>(in_.token_ids.size()));
  args_.symbols.Set(decoder::kOutputs, static_cast<int64_t>(in_.output_rows.size()));
  args_.symbols.Set(decoder::kSeqs, static_cast<int64_t>(in_.sequences.size()));
  args_.symbols.Set(decoder::kTable, in_.table);
  args_.symbols.Set(decoder::kBlocks, pool_.size());
  input_views_.clear();
  for (const auto& input : executable->graph().inputs()) {
    SLUICE_ASSIGN_OR_RETURN(TensorView view, ViewOf(input->type(), args_.symbols));
    view.data = reinterpret_cast<std::byte*>(InputNamed(input->name())->data());
    input_views_.push_back(std::move(view));
  }
  args_.inputs = input_views_;
  args_.states = state_pointers_;
  args_.observer = observer_;
  SLUICE_RETURN_IF_ERROR(executable->Run(args_));
  return executable;
}

absl::StatusOr<absl::Span<const float>> Session::Step(absl::Span<const StepToken> tokens) {
  SLUICE_RETURN_IF_ERROR(CheckStep(tokens));
  SLUICE_RETURN_IF_ERROR(ExtendSequences(tokens));
  FillInputs(tokens);
  absl::StatusOr<Executable*> executable = RunStep();
  if (!executable.ok()) {
    RollBack();
    return executable.status();
  }
  const bool wanted =
      std::any_of(tokens.begin(), tokens.end(), [](const StepToken& t) { return t.want_logits; });
  if (!wanted) return absl::Span<const float>();
  const TensorView logits = (*executable)->output(0);
  return absl::MakeConstSpan(logits.f32(), static_cast<size_t>(logits.elements()));
}

absl::StatusOr<absl::Span<const float>> Session::Prefill(Sequence& sequence,
                                                         absl::Span<const int32_t> tokens,
                                                         int64_t chunk) {
  const auto step = static_cast<size_t>(chunk > 0 ? std::min(chunk, max_tokens_) : max_tokens_);
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
