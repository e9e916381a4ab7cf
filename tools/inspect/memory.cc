#include "tools/inspect/memory.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "graph/decoder_interface.h"
#include "graph/status_macros.h"
#include "models/files/tokenizer_keys.h"
#include "passes/pipeline.h"
#include "passes/specialise.h"
#include "runtime/likeliest.h"

namespace sluice {
namespace {

// A touched page of a mapped file brings those around it along, if they are in memory: 64 KiB is
// Linux's default (fault_around_bytes).
constexpr double kFaultAround = 64 * 1024;

// Measured: see docs/performance.md, "Memory: predicted and measured".
constexpr int64_t kBytesPerNode = 2048;  // of a graph, its executable and tables by name
constexpr int64_t kLibraryBytes = int64_t{4} << 20;

constexpr PeakField kPeakFields[] = {
    {"weights", &PeakMemory::weights},   {"packed", &PeakMemory::packed},
    {"cache", &PeakMemory::cache},       {"arenas", &PeakMemory::arenas},
    {"metadata", &PeakMemory::metadata}, {"vocabulary", &PeakMemory::vocabulary},
    {"compiled", &PeakMemory::compiled}, {"libraries", &PeakMemory::libraries},
};

absl::StatusOr<BucketPlan> PlanBucket(const Graph& shared, const Backend& backend, int64_t tokens,
                                      const PlanOptions& options, PackPlan* packs) {
  BucketPlan bucket{.tokens = tokens, .graph = shared.Clone()};
  PassOptions passes = options.passes;
  passes.start_at = std::string(kFirstBucketPass);
  passes.bucket = BucketBounds(tokens, options.max_outputs);
  passes.packs = packs;
  SLUICE_RETURN_IF_ERROR(Optimize(backend, passes, &bucket.graph));
  SLUICE_ASSIGN_OR_RETURN(bucket.memory, MemoryPlanOf(bucket.graph, backend.kernels()));
  return bucket;
}

// Only rows of it are read: nothing but embedding uses it.
bool IsLookupTable(const Value& weight) {
  return std::all_of(weight.uses().begin(), weight.uses().end(),
                     [](const Use& use) { return use.node->op().name == "embedding"; });
}

// The expected size of what `reads` reads at random places touch.
int64_t TouchedBytes(int64_t bytes, int64_t reads) {
  const double windows = std::ceil(static_cast<double>(bytes) / kFaultAround);
  const double untouched = std::pow(1 - 1 / windows, static_cast<double>(reads));
  return static_cast<int64_t>(static_cast<double>(bytes) * (1 - untouched));
}

// Those that some executable reads as they are in the file: of packed ones the pages are let go.
int64_t WeightBytes(const ModelPlan& plan, int64_t table_reads) {
  const Graph& graph = plan.buckets.back().graph;
  const SymbolValues bounds = graph.Bounds();
  int64_t total = 0;
  for (size_t i = 0; i < graph.weights().size(); ++i) {
    const auto& weight = graph.weights()[i];
    if (std::all_of(plan.buckets.begin(), plan.buckets.end(), [&](const BucketPlan& bucket) {
          return !bucket.graph.weights()[i]->layout().empty();
        })) {
      continue;
    }
    const int64_t bytes = bounds.EvaluateBytes(weight->type()).value_or(0);
    total += IsLookupTable(*weight) ? TouchedBytes(bytes, table_reads) : bytes;
  }
  return total;
}

int64_t MetadataBytes(const ModelFiles& files) {
  int64_t total = 0;
  for (const auto& file : files) {
    int64_t head = 0;
    for (const StoredTensor& tensor : file->tensors()) {
      head = head == 0 ? tensor.offset : std::min(head, tensor.offset);
    }
    total += head;
  }
  return total;
}

// A flat hash table doubles when it is 7/8 full, and has a control byte per slot.
int64_t HashTableBytes(int64_t entries, int64_t entry_bytes) {
  const auto needed = static_cast<uint64_t>(entries + entries / 7 + 1);
  return static_cast<int64_t>(std::bit_ceil(needed)) * (entry_bytes + 1);
}

int64_t ArraySize(const WeightSource& file, absl::string_view key) {
  const MetadataValue* value = file.Find(key);
  return value != nullptr && value->type() == MetadataType::kArray ? value->size() : 0;
}

// Texts are views into the file: what counts is the tables over them, and the lists that are there
// only while they are filled.
int64_t VocabularyBytes(const WeightSource& file) {
  constexpr int64_t kView = sizeof(absl::string_view), kId = sizeof(TokenId);
  const int64_t tokens = ArraySize(file, kTokensKey);
  const int64_t merges = ArraySize(file, kMergesKey);
  const int64_t lists = tokens * (kView + kId + static_cast<int64_t>(sizeof(float)));
  return lists + HashTableBytes(tokens, kView + 8) + HashTableBytes(merges, 24) + merges * kView;
}

// Those of single tokens, with which a session is opened, and of the steps of a prompt.
std::vector<const BucketPlan*> BucketsUsed(const ModelPlan& plan, int64_t prompt) {
  std::vector<const BucketPlan*> used;
  const auto takes = [&](const BucketPlan& bucket, int64_t tokens) {
    const bool is_first = &bucket == &plan.buckets.front();
    return tokens > 0 && tokens <= bucket.tokens && (is_first || (&bucket - 1)->tokens < tokens);
  };
  for (const BucketPlan& bucket : plan.buckets) {
    const bool is_used = prompt == 0 || takes(bucket, 1) ||
                         takes(bucket, prompt % plan.max_tokens) ||
                         (prompt >= plan.max_tokens && takes(bucket, plan.max_tokens));
    if (is_used) used.push_back(&bucket);
  }
  return used;
}

int64_t CompiledBytes(const ModelPlan& plan, const std::vector<const BucketPlan*>& buckets) {
  size_t nodes = plan.buckets.back().graph.nodes().size();  // the session's own graph
  for (const BucketPlan* bucket : buckets) nodes += bucket->graph.nodes().size();
  return static_cast<int64_t>(nodes) * kBytesPerNode;
}

}  // namespace

absl::Span<const PeakField> PeakFields() { return kPeakFields; }

int64_t PeakMemory::total() const {
  int64_t sum = 0;
  for (const PeakField& field : kPeakFields) sum += this->*field.field;
  return sum;
}

absl::StatusOr<ModelPlan> PlanModel(const Model& model, const Backend& backend,
                                    const PlanOptions& options) {
  const DecoderOptions& decoder = options.decoder;
  SLUICE_ASSIGN_OR_RETURN(Graph graph, model.BuildGraph(decoder));
  const SymbolValues bounds = graph.Bounds();
  ModelPlan plan{.context = bounds.Get(decoder::kTable) * decoder.block_size,
                 .block_size = decoder.block_size,
                 .max_tokens = decoder.max_tokens};
  PassOptions shared = options.passes;
  shared.stop_before = std::string(kFirstBucketPass);
  SLUICE_RETURN_IF_ERROR(Optimize(backend, shared, &graph));
  if (options.form == RowForm::kLikeliest && CopiesLogits(graph, backend)) {
    SLUICE_ASSIGN_OR_RETURN(graph, WithLikeliest(std::move(graph)));
  }
  PackPlan packs{.budget = options.prepack_bytes};
  std::vector<int64_t> buckets =
      options.buckets.empty() ? DefaultTokenBuckets(decoder.max_tokens) : options.buckets;
  if (buckets.back() < decoder.max_tokens) buckets.push_back(decoder.max_tokens);
  for (const int64_t tokens : buckets) {
    SLUICE_ASSIGN_OR_RETURN(BucketPlan bucket, PlanBucket(graph, backend, tokens, options, &packs));
    plan.buckets.push_back(std::move(bucket));
  }
  plan.packed_bytes = packs.used;
  plan.cache_bytes = plan.buckets.back().memory.states;
  plan.cache_bytes_per_token =
      static_cast<double>(plan.cache_bytes) /
      static_cast<double>(bounds.Get(decoder::kBlocks) * decoder.block_size);
  return plan;
}

PeakMemory PredictPeak(const Model& model, const ModelPlan& plan, const PeakOptions& options) {
  PeakMemory peak;
  const int64_t filled = options.prompt > 0 ? options.prompt : plan.context;
  peak.weights = WeightBytes(plan, options.tokens > 0 ? options.tokens : filled);
  peak.cache = plan.cache_bytes;
  if (options.prompt > 0) {
    const int64_t blocks = (filled + plan.block_size - 1) / plan.block_size;
    peak.cache = static_cast<int64_t>(static_cast<double>(blocks * plan.block_size) *
                                      plan.cache_bytes_per_token);
  }
  const std::vector<const BucketPlan*> buckets = BucketsUsed(plan, options.prompt);
  for (const BucketPlan* bucket : buckets) {
    peak.arenas += bucket->memory.arena + bucket->memory.constants;
  }
  peak.packed = plan.packed_bytes;
  peak.metadata = MetadataBytes(model.files());
  if (options.tokenizer) peak.vocabulary = VocabularyBytes(model.file());
  peak.compiled = CompiledBytes(plan, buckets);
  peak.libraries = kLibraryBytes;
  return peak;
}

}  // namespace sluice
