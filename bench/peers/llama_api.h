// The part of llama.cpp's C interface that the comparison calls, found at run time: the npm package
// holds shared libraries and no headers. Function names are those of the libraries without
// "llama_".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace sluice::peers {

struct LlamaModel;
struct LlamaContext;
struct LlamaVocab;
struct LlamaMemory;
struct GgmlDevice;
struct GgmlRegistry;
struct GgmlThreadPool;

// Passed by value, so that the layout must be the library's. LlamaApi::Load checks that.
struct LlamaModelParams {
  void* devices;
  const void* buffer_overrides;
  int32_t n_gpu_layers;
  int32_t split_mode;
  int32_t load_mode;
  int32_t lazy_mode;
  int32_t main_gpu;
  const float* tensor_split;
  void* progress_callback;
  void* progress_user_data;
  const void* kv_overrides;
  bool vocab_only, check_tensors, use_extra_buffers, no_host, no_alloc, load_mtp;
};

struct LlamaContextParams {
  uint32_t n_ctx, n_batch, n_ubatch, n_seq_max;
  uint32_t n_rs_seq, n_outputs_max, n_outputs_max_per_seq;
  int32_t n_threads, n_threads_batch;
  int32_t context_type, rope_scaling_type, pooling_type, attention_type, flash_attention_type;
  float rope_base, rope_scale;
  float yarn_ext_factor, yarn_attention_factor, yarn_beta_fast, yarn_beta_slow;
  uint32_t yarn_original_context;
  float defrag_threshold;
  void* eval_callback;
  void* eval_user_data;
  int32_t type_k, type_v;
  void* abort_callback;
  void* abort_user_data;
  bool embeddings, offload_kqv, no_perf, op_offload, swa_full, kv_unified;
  void* unused[3];
};

struct LlamaBatch {
  int32_t n_tokens;
  int32_t* tokens;
  float* embeddings;
  int32_t* positions;
  int32_t* n_seq_ids;
  int32_t** seq_ids;
  int8_t* wants_logits;
};

struct LlamaApi {
  // Opens libllama.*.so in `folder` and its CPU backend that fits this machine best. Errors: no
  // such library, a function that it lacks, structs whose size or known defaults are others than
  // these.
  static absl::StatusOr<LlamaApi> Load(const std::string& folder);

  LlamaModelParams model_defaults;
  LlamaContextParams context_defaults;
  std::string cpu_backend;  // file name

  const char* (*version)();
  LlamaModel* (*model_load_from_file)(const char* path, LlamaModelParams);
  void (*model_free)(LlamaModel*);
  LlamaContext* (*init_from_model)(LlamaModel*, LlamaContextParams);
  void (*free)(LlamaContext*);
  const LlamaVocab* (*model_get_vocab)(const LlamaModel*);
  int32_t (*vocab_n_tokens)(const LlamaVocab*);
  LlamaMemory* (*get_memory)(const LlamaContext*);
  bool (*memory_seq_rm)(LlamaMemory*, int32_t sequence, int32_t begin, int32_t end);
  int32_t (*decode)(LlamaContext*, LlamaBatch);
  void (*synchronize)(LlamaContext*);
  void (*attach_threadpool)(LlamaContext*, GgmlThreadPool*, GgmlThreadPool* for_batches);
  // Fills a ggml_threadpool_params, which is smaller than 1 KiB, with defaults.
  void (*threadpool_params_init)(void* params, int threads);
  GgmlThreadPool* (*threadpool_new)(void* params);
  void (*threadpool_free)(GgmlThreadPool*);
};

}  // namespace sluice::peers
