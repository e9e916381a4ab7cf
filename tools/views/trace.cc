#include "tools/views/trace.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "tools/debug/json_syntax.h"

namespace sluice {

using Json = nlohmann::json;

absl::StatusOr<NodeTimes> ReadTrace(const std::string& content, absl::string_view source) {
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
  NodeTimes times;
  for (const Json& event : trace["traceEvents"]) {
    if (!event.is_object()) return bad("an event is no object");
    const auto phase = event.find("ph"), name = event.find("name"), duration = event.find("dur");
    if (phase == event.end() || *phase != "X") continue;
    if (name == event.end() || !name->is_string() || duration == event.end() ||
        !duration->is_number()) {
      return bad("an event of phase X needs a name and a number \"dur\"");
    }
    MeasuredTime& time = times[name->get<std::string>()];
    time.microseconds += duration->get<double>();
    ++time.runs;
  }
  return times;
}

}  // namespace sluice
