#include "tools/views/trace.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/debug/json_syntax.h"
#include "tools/profile/profile.h"

namespace sluice {
namespace {

using Json = nlohmann::json;

using Runs = std::map<std::string, std::vector<double>>;            // by the node's name
using GraphRuns = std::map<std::pair<std::string, int64_t>, Runs>;  // by phase and bucket

// Where the event belongs: those of whole steps, and of other programs, belong nowhere.
Runs* RunsFor(const Json& event, GraphRuns* graphs) {
  const auto args = event.find("args");
  if (args == event.end() || !args->is_object()) return nullptr;
  const auto phase = args->find("phase"), bucket = args->find("bucket");
  if (phase == args->end() || !phase->is_string() || bucket == args->end() ||
      !bucket->is_number_integer()) {
    return nullptr;
  }
  return &(*graphs)[{phase->get<std::string>(), bucket->get<int64_t>()}];
}

absl::Status NoSuchStep(absl::string_view source, int64_t bucket, const GraphRuns& graphs) {
  if (graphs.empty()) {
    return absl::NotFoundError(absl::StrCat(
        source, ": no event says its phase and bucket, as those of `sluice profile --trace` do"));
  }
  std::vector<std::string> known;
  for (const auto& [graph, runs] : graphs) {
    known.push_back(absl::StrCat(graph.first, " of up to ", graph.second));
  }
  return absl::NotFoundError(absl::StrCat(source, ": no times of steps of up to ", bucket,
                                          " tokens: it has ", absl::StrJoin(known, ", "),
                                          "; --tokens says which graph is shown"));
}

TraceTimes MediansOf(std::string phase, int64_t bucket, const Runs& runs) {
  TraceTimes times{.phase = std::move(phase), .bucket = bucket};
  for (const auto& [node, microseconds] : runs) {
    times.nodes[node] = {.microseconds = SpreadOf(microseconds).median,
                         .runs = static_cast<int64_t>(microseconds.size())};
  }
  return times;
}

}  // namespace

absl::StatusOr<TraceTimes> ReadTrace(const std::string& content, absl::string_view source,
                                     int64_t bucket) {
  const auto bad = [source](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": no trace: ", why));
  };
  const Json trace = Json::parse(content, nullptr, /*allow_exceptions=*/false);
  if (trace.is_discarded()) {
    return absl::InvalidArgumentError(absl::StrCat(source, ":", JsonSyntaxError(content)));
  }
  if (!trace.is_object() || !trace.contains("traceEvents") || !trace["traceEvents"].is_array()) {
    return bad("expected an object with an array \"traceEvents\"");
  }
  GraphRuns graphs;
  for (const Json& event : trace["traceEvents"]) {
    if (!event.is_object()) return bad("an event is no object");
    const auto kind = event.find("ph"), name = event.find("name"), duration = event.find("dur");
    if (kind == event.end() || *kind != "X") continue;
    if (name == event.end() || !name->is_string() || duration == event.end() ||
        !duration->is_number()) {
      return bad("an event of phase X needs a name and a number \"dur\"");
    }
    Runs* runs = RunsFor(event, &graphs);
    if (runs != nullptr) (*runs)[name->get<std::string>()].push_back(duration->get<double>());
  }
  for (const Phase phase : {Phase::kDecode, Phase::kPrefill}) {
    const std::string phase_name(Name(phase));
    const auto found = graphs.find({phase_name, bucket});
    if (found != graphs.end()) return MediansOf(phase_name, bucket, found->second);
  }
  return NoSuchStep(source, bucket, graphs);
}

}  // namespace sluice
