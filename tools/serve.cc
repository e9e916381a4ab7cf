// sluice serve: an OpenAI-compatible server.

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "graph/status_macros.h"
#include "tools/commands.h"
#include "tools/json_output.h"
#include "tools/options.h"
#include "tools/server/api_server.h"
#include "tools/server/http_addresses.h"
#include "tools/server/http_key.h"
#include "tools/terminal/end_signals.h"
#include "tools/terminal/units.h"
#include "tools/usage.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace sluice::tools {
namespace {

// The story model reads well up to about this temperature, as in `run`.
constexpr double kEmbeddedTemperature = 0.4;
// Tokens of one prompt in a step: others do not wait for much longer than that for their next one.
constexpr int64_t kPrefillChunk = 256;
// Texts of one step of an encoder.
constexpr int64_t kStepTexts = 64;

struct ServeOptions {
  ModelOptions model;
  BackendOptions backend;
  CacheOptions cache;
  CompileOptions compile;
  server::ApiOptions api;
  std::string alias, chat_template, pooling, key_file, log_format = "text", unknown_fields = "warn";
  ContextOptions context;
  int64_t batch = 512;
  int64_t timeout_seconds = 600, shutdown_seconds = 10;
  int64_t body_mib = 4;
  bool prefix_cache = true;
  const CLI::App* command = nullptr;  // which options were given
};

// What acts on models of the other kind only.
absl::Status CheckKind(const ServeOptions& options, const Model& model) {
  const ModelConfig& config = model.config();
  const bool is_decoder = !config.encoder.has_value();
  SLUICE_RETURN_IF_ERROR(CheckCache(*options.command, model));
  const std::string decoders = "on decoders, and this model is an encoder";
  SLUICE_RETURN_IF_ERROR(CheckEffects(
      *options.command, {{"--pooling", !is_decoder, "on encoders, and this model is a decoder"},
                         {"--chat-template", is_decoder, decoders},
                         {"--no-prefix-cache", is_decoder, decoders},
                         {"--parallel", is_decoder, decoders},
                         {"--n-predict", is_decoder, decoders},
                         {"--draft-ngram", is_decoder, decoders}}));
  return absl::OkStatus();
}

// Adds a file's keys, one a line. A key is asked for, so that none is as wrong as a bad one.
absl::Status ReadKeys(const std::string& path, std::vector<std::string>* keys) {
  SLUICE_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  std::vector<std::string> found;
  int64_t number = 0;
  for (const absl::string_view line : absl::StrSplit(content, '\n')) {
    ++number;
    const absl::string_view key = absl::StripAsciiWhitespace(line);
    if (key.empty()) continue;
    if (const std::string fault = server::FaultOfKey(key); !fault.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", number, ": this is no API key: ", fault));
    }
    found.emplace_back(key);
  }
  if (found.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": there is no key in it"));
  }
  keys->insert(keys->end(), found.begin(), found.end());
  return absl::OkStatus();
}

// None if the model has no template that is known: it can still complete texts.
absl::StatusOr<std::optional<ChatTemplate>> TemplateOf(const ServeOptions& options,
                                                       const WeightSource& file) {
  if (!options.chat_template.empty()) {
    SLUICE_ASSIGN_OR_RETURN(ChatTemplate named, ChatTemplate::Named(options.chat_template));
    return named;
  }
  absl::StatusOr<ChatTemplate> own = ChatTemplate::Load(file);
  if (own.ok()) return *std::move(own);
  if (!absl::IsNotFound(own.status())) {
    Warn(absl::StrCat(own.status().message(),
                      ". There are no chats unless --chat-template names "
                      "one of them"));
  }
  return std::nullopt;
}

// How much a client may send, why, and what it costs.
std::string ContextLine(const ContextFit& fit, int64_t answers, bool is_asked) {
  std::string why = is_asked ? "as -c says" : "the model's own";
  if (!fit.limited_by.empty()) {
    why = absl::StrCat("not the model's ", fit.own, ", which would take more than half of the ",
                       fit.limited_by, " (-c asks for it)");
  }
  return absl::StrCat("context of ", fit.context, " tokens, ", why, "; the cache of ", answers,
                      answers == 1 ? " answer" : " answers", " takes up to ",
                      BytesText(static_cast<double>(fit.cache_bytes)), "\n");
}

SessionSetup SetupOf(const ServeOptions& options, const ModelConfig& config) {
  SessionSetup setup = {.compile = options.compile, .takes_encoders = true, .events = OnTerminal()};
  if (config.encoder.has_value()) {
    setup.max_tokens = setup.max_outputs = std::max(options.batch, config.context_length);
    setup.max_seqs = kStepTexts;
    setup.pooling = PoolingFromName(options.pooling);
    return setup;
  }
  if (options.context.asked.has_value()) {
    setup.context = options.context.For(config);
  } else {
    setup.least_context = options.context.usual;
  }
  setup.events.on_context = [&options](const ContextFit& fit) {
    std::cerr << ContextLine(fit, options.api.running, options.context.asked.has_value());
  };
  setup.max_tokens = std::max(options.batch, options.api.running);
  setup.max_seqs = options.api.running;
  // What is guessed needs logits, too.
  const DraftOptions& draft = options.api.limits.draft;
  setup.max_outputs = options.api.running + (draft.ngram > 0 ? draft.max : 0);
  return setup;
}

std::string IdOf(const ServeOptions& options) {
  if (!options.alias.empty()) return options.alias;
  if (options.model.path.empty()) return "embedded";
  return std::filesystem::path(options.model.path).stem().string();
}

// `loaded` keeps what the served model points to.
absl::StatusOr<std::unique_ptr<server::ServedModel>> Load(const ServeOptions& options,
                                                          LoadedSession* loaded) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, options.model.Load());
  SLUICE_RETURN_IF_ERROR(CheckKind(options, *model));
  auto served = std::make_unique<server::ServedModel>();
  served->id = IdOf(options);
  served->created = std::time(nullptr);
  served->trained_context = model->config().context_length;
  SLUICE_ASSIGN_OR_RETURN(served->tokenizer, model->tokenizer());
  const bool is_encoder = model->config().encoder.has_value();
  if (!is_encoder) {
    SLUICE_ASSIGN_OR_RETURN(served->chat_template, TemplateOf(options, model->file()));
  }
  const SessionSetup setup = SetupOf(options, model->config());
  const std::string context_warning = is_encoder ? "" : options.context.Warning(model->config());
  SLUICE_ASSIGN_OR_RETURN(*loaded,
                          OpenSession(std::move(model), options.backend, options.cache, setup));
  if (!context_warning.empty()) Warn(context_warning);
  Session& session = *loaded->session;
  // All sizes of step and forms of rows, so that no client waits for the compiler.
  for (const int64_t bucket : session.buckets()) {
    for (const RowForm form : {RowForm::kWhole, RowForm::kLikeliest}) {
      SLUICE_RETURN_IF_ERROR(session.ExecutableFor(bucket, form).status());
    }
  }
  if (is_encoder) {
    SLUICE_ASSIGN_OR_RETURN(served->embedder, server::Embedder::Create(session));
  } else {
    served->thread = std::make_unique<server::ModelThread>(
        session,
        SchedulerOptions{.prefill_chunk = kPrefillChunk, .prefix_cache = options.prefix_cache});
    served->trie = MakeTokenTrie(*served->tokenizer);
  }
  return served;
}

// Bodies of megabytes come and go on many threads. glibc would keep what they took, in a heap for
// each thread: gigabytes after an hour.
void GiveMemoryBack() {
#if defined(__GLIBC__)
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 256 << 10);  // what is larger goes back to the system when it is freed
#endif
}

absl::Status CheckHttp(const server::HttpOptions& http) {
  const absl::Status status = server::CheckHttpOptions(http);
  return status.ok() ? status : WrongUsage(absl::StrCat("serve: ", status.message()));
}

// A connection is a file. Systems give few of them at first, for programs that know no more.
void AllowConnections(int* connections) {
  constexpr rlim_t kOthers = 128;  // models, devices, logs
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = static_cast<rlim_t>(*connections) + kOthers;
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min(wanted, limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur >= wanted) return;
  *connections = static_cast<int>(limit.rlim_cur > 2 * kOthers ? limit.rlim_cur - kOthers
                                                               : limit.rlim_cur / 2);
  Warn(absl::StrCat("this system allows ", limit.rlim_cur, " open files, so that ", *connections,
                    " clients can be connected at once"));
}

// Whoever can reach the address, and read what passes by.
void WarnOfOthers(const server::HttpOptions& http) {
  if (server::IsLoopback(http.host)) return;
  if (http.api_keys.empty()) {
    Warn("whoever reaches this machine can use the model: --api-key-file asks for a key");
  } else {
    Warn(
        "keys and conversations pass through the network unencrypted: where it is not yours, let "
        "a proxy that speaks TLS stand before the server");
  }
}

absl::Status Serve(ServeOptions options) {
  GiveMemoryBack();
  SLUICE_RETURN_IF_ERROR(options.api.sampling.Check());
  if (options.command->count("--api-key-file") > 0) {
    SLUICE_RETURN_IF_ERROR(ReadKeys(options.key_file, &options.api.http.api_keys));
  }
  AllowConnections(&options.api.http.connections);
  const EndSignals signals;
  LoadedSession loaded;
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<server::ApiServer> api,
                          server::ApiServer::Start(options.api, std::cerr));
  WarnOfOthers(options.api.http);
  std::cerr << absl::StreamFormat("listening on http://%s:%d, loading the model\n",
                                  server::UrlHost(options.api.http.host), api->port());
  absl::Status outcome;
  std::atomic<bool> failed = false, is_loaded = false;
  std::thread loader([&] {
    auto served = Load(options, &loaded);
    if (served.ok()) {
      api->SetModel(*std::move(served));
      std::cerr << "ready\n";
    } else {
      outcome = served.status();
      failed = true;
    }
    is_loaded = true;
  });
  constexpr std::chrono::milliseconds kLook(100);
  while (!failed && !signals.Await(kLook)) continue;
  // Loading cannot be interrupted, and nobody is served yet.
  if (!failed && !is_loaded) std::_Exit(EXIT_SUCCESS);
  loader.join();
  signals.Release();  // a second one ends the program at once
  api->Shutdown(std::chrono::seconds(options.shutdown_seconds));
  return outcome;
}

void DeclareModel(CLI::App* command, ServeOptions* options) {
  Declare(command, &options->model);
  DeclareLora(command, &options->model);
  command->add_option("-a,--alias", options->alias,
                      "the model's name for clients; left out: that of its file");
  command
      ->add_option("--parallel", options->api.running,
                   "-np: answers at once; each has room for a whole context")
      ->check(CLI::Range(int64_t{1}, int64_t{256}))
      ->capture_default_str();
  Declare(command, &options->context, "context of each answer in tokens",
          "the model's own, as far as memory reaches");
  command->add_option("-b,--batch-size,--ubatch-size", options->batch, "tokens of one step")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}))
      ->capture_default_str();
  command
      ->add_option("--chat-template", options->chat_template,
                   "format of conversations, by name (chatml, llama3, ...); left out: the "
                   "model's own")
      ->option_text("NAME");
  command
      ->add_option("--pooling", options->pooling,
                   "of an encoder: mean, cls or last; left out: as the model says")
      ->check(OneOf({"mean", "cls", "last"}));
  command->add_flag("!--no-prefix-cache", options->prefix_cache,
                    "run every prompt from its beginning, whatever was run before");
}

void DeclareHttp(CLI::App* command, ServeOptions* options) {
  server::ApiOptions& api = options->api;
  command
      ->add_option("--host", api.http.host, "address to listen on; 0.0.0.0: all of this machine's")
      ->capture_default_str();
  command->add_option("--port", api.http.port, "port to listen on; 0: any that is free")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command
      ->add_option("--api-key", api.http.api_keys,
                   "a key that clients must send; may be repeated. Others can see it in the list "
                   "of processes, but not that in a file")
      ->option_text("KEY");
  command->add_option("--api-key-file", options->key_file, "a file with such keys, one a line");
  command
      ->add_option("--allowed-hosts", api.http.allowed_hosts,
                   "names under which clients may ask, besides localhost, addresses and --host; *: "
                   "any. With a key any may be used")
      ->delimiter(',')
      ->option_text("NAME,NAME,...");
  command
      ->add_option("--cors-origins", api.http.cors_origins,
                   "origins whose pages may ask and read the answers: https://chat.example.org; *: "
                   "any")
      ->delimiter(',')
      ->option_text("ORIGIN,ORIGIN,...");
  command
      ->add_option("--connections", api.http.connections,
                   "clients connected at once; beyond that idle ones are closed")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command
      ->add_option("--connections-per-address", api.http.connections_per_address,
                   "of these, from one address that is not this machine's")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_flag("--metrics", api.metrics, "serve /metrics, for Prometheus");
  command
      ->add_option("--unknown-fields", options->unknown_fields,
                   "fields of requests that nothing is known of: warn, in the log and the answer's "
                   "header, or refuse them")
      ->check(OneOf({"warn", "refuse"}))
      ->capture_default_str();
  command
      ->add_option("--log-format", options->log_format,
                   "a line on stderr for each request: text, json or none")
      ->check(OneOf({"text", "json", "none"}))
      ->capture_default_str();
}

void DeclareLimits(CLI::App* command, ServeOptions* options) {
  server::ApiOptions& api = options->api;
  command
      ->add_option("--waiting", api.waiting,
                   "answers that may wait for a place; beyond that clients get 429")
      ->check(CLI::Range(int64_t{0}, int64_t{1024}))
      ->capture_default_str();
  command
      ->add_option("-n,--n-predict", api.limits.max_tokens,
                   "tokens of an answer whose request does not say; -1: until the context is full")
      ->check(CLI::Range(int64_t{-1}, int64_t{1} << 30))
      ->capture_default_str();
  command
      ->add_option("--timeout", options->timeout_seconds,
                   "seconds for a request, waiting included; then it is cancelled")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->capture_default_str();
  command
      ->add_option("--shutdown-timeout", options->shutdown_seconds,
                   "seconds that answers have to end after Ctrl-C or SIGTERM")
      ->check(CLI::Range(int64_t{0}, int64_t{86400}))
      ->capture_default_str();
  command->add_option("--max-body", options->body_mib, "MiB that a request may have")
      ->check(CLI::Range(int64_t{1}, int64_t{1024}))
      ->capture_default_str();
}

}  // namespace

void AddServe(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<ServeOptions>();
  options->api.running = 4;
  CLI::App* command = app.add_subcommand("serve", "Serve a model over HTTP, as OpenAI's API");
  DeclareModel(command, options.get());
  DeclareHttp(command, options.get());
  DeclareLimits(command, options.get());
  DeclareDraft(command, &options->api.limits.draft);
  Declare(command, &options->backend);
  Declare(command, &options->cache);
  Declare(command, &options->compile);
  AddExamples(
      command,
      {"serve model.gguf -np 4 -c 8192 --metrics",
       "serve model.gguf --host 0.0.0.0 --api-key-file keys.txt",
       "serve bert.gguf --pooling mean          embeddings"},
      "  curl http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' \\\n"
      "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], \"stream\": true}'\n"
      "Routes: /v1/chat/completions /v1/completions /v1/embeddings /v1/models /tokenize\n"
      "/detokenize /health /state /metrics; docs/serve.md explains them.\n"
      "Only this machine can connect unless --host says otherwise; then use --api-key-file.");
  command->callback([command, options, status] {
    options->command = command;
    server::ApiOptions& api = options->api;
    if (options->model.path.empty()) api.sampling.temperature = kEmbeddedTemperature;
    api.refuses_unknown_fields = options->unknown_fields == "refuse";
    api.limits.timeout = std::chrono::seconds(options->timeout_seconds);
    api.http.most_body_bytes = options->body_mib << 20;
    api.log = options->log_format == "json"   ? server::LogFormat::kJson
              : options->log_format == "text" ? server::LogFormat::kText
                                              : server::LogFormat::kNone;
    *status = Checked({CheckHttp(api.http), CheckBackend(*command, options->backend),
                       CheckCompile(*command, options->backend, options->compile),
                       CheckDraft(*command, api.limits.draft, options->batch)},
                      [&] { return Serve(*options); });
  });
}

}  // namespace sluice::tools
