#include "bench/peers/llama_api.h"

#include <dlfcn.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"

namespace sluice::peers {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<std::string> LibraryIn(const std::string& folder) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    std::string name = entry.path().filename().string();
    if (absl::StartsWith(name, "libllama.") && absl::EndsWith(name, ".so")) return entry.path();
  }
  return absl::NotFoundError(absl::StrCat(
      folder, ": ", error ? error.message() : std::string("no libllama.*.so in this folder")));
}

template <typename Function>
absl::Status Bind(void* library, const std::string& name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name.c_str()));
  if (*function != nullptr) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("llama.cpp has no function ", name));
}

absl::Status OtherLayout(absl::string_view type, absl::string_view found,
                         absl::string_view expected) {
  return absl::FailedPreconditionError(absl::StrCat("this llama.cpp has another ", type, ": ",
                                                    found, ", expected ", expected,
                                                    "; bench/peers/llama_api.h has to follow it"));
}

// Calls a function that returns a struct by value. x86-64 passes the address of such a result like
// a first argument, so that the bytes the library writes can be counted.
template <typename Params>
absl::Status ReadDefaults(void* library, const std::string& type, Params* params) {
  void (*fill)(void*) = nullptr;
  SLUICE_RETURN_IF_ERROR(Bind(library, absl::StrCat("llama_", type, "_default_params"), &fill));
  constexpr unsigned char kUntouched = 0xA5;
  alignas(16) std::array<unsigned char, 1024> bytes;
  bytes.fill(kUntouched);
  fill(bytes.data());
  size_t written = bytes.size();
  while (written > 0 && bytes[written - 1] == kUntouched) --written;
  // The padding at the end may stay untouched.
  if (written > sizeof(Params) || written + alignof(Params) <= sizeof(Params)) {
    return OtherLayout(absl::StrCat(type, "_params"), absl::StrCat(written, " bytes"),
                       absl::StrCat(sizeof(Params)));
  }
  std::memcpy(params, bytes.data(), sizeof(Params));
  return absl::OkStatus();
}

// Defaults that are distinct enough to show a member that has moved.
absl::Status CheckDefaults(const LlamaModelParams& model, const LlamaContextParams& context) {
  if (model.n_gpu_layers != -1 || model.main_gpu != 0 || model.devices != nullptr ||
      model.vocab_only || model.check_tensors || !model.use_extra_buffers || model.no_alloc) {
    return OtherLayout("model_params", "other defaults", "those of version 0.5.0");
  }
  constexpr int32_t kF16 = 1;
  if (context.n_ctx != 512 || context.n_batch != 2048 || context.n_ubatch != 512 ||
      context.n_seq_max != 1 || context.n_threads < 1 || context.n_threads_batch < 1 ||
      context.flash_attention_type != -1 || context.yarn_ext_factor != -1 ||
      context.defrag_threshold != -1 || context.type_k != kF16 || context.type_v != kF16 ||
      context.embeddings || !context.offload_kqv || context.kv_unified) {
    return OtherLayout("context_params", "other defaults", "those of version 0.5.0");
  }
  return absl::OkStatus();
}

void PrintProblem(int level, const char* text, void*) {
  constexpr int kWarning = 3, kError = 4;
  if (level == kWarning || level == kError) std::fputs(text, stderr);
}

// Loads the backends in `folder` and binds the functions that belong to the CPU's.
absl::Status BindCpu(void* library, const std::string& folder, LlamaApi* api) {
  void (*log_set)(void (*)(int, const char*, void*), void*) = nullptr;
  void (*load_all)(const char*) = nullptr;
  void (*backend_init)() = nullptr;
  GgmlDevice* (*device_by_type)(int) = nullptr;
  GgmlRegistry* (*registry_of)(GgmlDevice*) = nullptr;
  void* (*address)(GgmlRegistry*, const char*) = nullptr;
  SLUICE_RETURN_IF_ERROR(Bind(library, "llama_log_set", &log_set));
  SLUICE_RETURN_IF_ERROR(Bind(library, "ggml_backend_load_all_from_path", &load_all));
  SLUICE_RETURN_IF_ERROR(Bind(library, "llama_backend_init", &backend_init));
  SLUICE_RETURN_IF_ERROR(Bind(library, "ggml_backend_dev_by_type", &device_by_type));
  SLUICE_RETURN_IF_ERROR(Bind(library, "ggml_backend_dev_backend_reg", &registry_of));
  SLUICE_RETURN_IF_ERROR(Bind(library, "ggml_backend_reg_get_proc_address", &address));
  log_set(PrintProblem, nullptr);
  load_all(folder.c_str());
  backend_init();
  constexpr int kCpu = 0;
  GgmlDevice* cpu = device_by_type(kCpu);
  if (cpu == nullptr) {
    return absl::NotFoundError(absl::StrCat(folder, ": no CPU backend that fits this machine"));
  }
  void* make_pool = address(registry_of(cpu), "ggml_threadpool_new");
  void* free_pool = address(registry_of(cpu), "ggml_threadpool_free");
  Dl_info place;
  if (make_pool == nullptr || free_pool == nullptr || dladdr(make_pool, &place) == 0) {
    return absl::NotFoundError("llama.cpp's CPU backend has no thread pool");
  }
  api->threadpool_new = reinterpret_cast<GgmlThreadPool* (*)(void*)>(make_pool);
  api->threadpool_free = reinterpret_cast<void (*)(GgmlThreadPool*)>(free_pool);
  api->cpu_backend = fs::path(place.dli_fname).filename();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LlamaApi> LlamaApi::Load(const std::string& folder) {
  SLUICE_ASSIGN_OR_RETURN(const std::string path, LibraryIn(folder));
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);  // stays open: threads run in it
  if (library == nullptr) return absl::UnavailableError(dlerror());
  LlamaApi api = {};
  SLUICE_RETURN_IF_ERROR(ReadDefaults(library, "model", &api.model_defaults));
  SLUICE_RETURN_IF_ERROR(ReadDefaults(library, "context", &api.context_defaults));
  SLUICE_RETURN_IF_ERROR(CheckDefaults(api.model_defaults, api.context_defaults));
  SLUICE_RETURN_IF_ERROR(Bind(library, "llama_version", &api.version));
  SLUICE_RETURN_IF_ERROR(Bind(library, "llama_model_load_from_file", &api.model_load_from_file));
  SLUICE_RETURN_IF_ERROR(Bind(library, "llama_model_free", &api.model_free));
  SLUICE_RETURN_IF_ERROR(Bind(library, "llama_init_from_model", &api.init_from_model));
  SLUICE_RETURN_IF_ERROR(Bind(library, "llama_free", &api.free));
  SLUICE_RETURN_IF_ERROR(Bind(library, "llama_model_get_vocab", &api.model_get_vocab));
  SLUICE_RETURN_IF_ERROR(Bind(library, "llama_vocab_n_tokens", &api.vocab_n_tokens));
  SLUICE_RETURN_IF_ERROR(Bind(library, "llama_get_memory", &api.get_memory));
  SLUICE_RETURN_IF_ERROR(Bind(library, "llama_memory_seq_rm", &api.memory_seq_rm));
  SLUICE_RETURN_IF_ERROR(Bind(library, "llama_decode", &api.decode));
  SLUICE_RETURN_IF_ERROR(Bind(library, "llama_synchronize", &api.synchronize));
  SLUICE_RETURN_IF_ERROR(Bind(library, "llama_attach_threadpool", &api.attach_threadpool));
  SLUICE_RETURN_IF_ERROR(Bind(library, "ggml_threadpool_params_init", &api.threadpool_params_init));
  SLUICE_RETURN_IF_ERROR(BindCpu(library, folder, &api));
  return api;
}

}  // namespace sluice::peers
