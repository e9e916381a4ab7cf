#include "tools/profile/report.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "tools/terminal/markdown_table.h"
#include "tools/terminal/units.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr ProfileKey kAllKeys[] = {ProfileKey::kOp, ProfileKey::kPart, ProfileKey::kNode,
                                   ProfileKey::kKernel, ProfileKey::kOrigin};
constexpr Phase kPhases[] = {Phase::kPrefill, Phase::kDecode};

double Percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

// What a row does in a second. Nodes that take no measurable time do nothing.
struct Rates {
  double bytes = 0, flops = 0;
};
Rates RatesOf(const OpCost& cost, double seconds) {
  if (seconds <= 0) return {};
  return {(cost.bytes_read + cost.bytes_written) / seconds, cost.flops / seconds};
}

std::string CeilingText(const Ceiling& ceiling) {
  const double read = ceiling.read_bytes_per_second / 1e9;
  if (!ceiling.device.empty()) {
    return absl::StrFormat("At most, measured by copying on %s: %.1f GB/s\n", ceiling.device, read);
  }
  return absl::StrFormat(
      "At most, measured on %d thread%s: reading %.1f GB/s, f32 multiply-add %.1f GFLOP/s\n",
      ceiling.threads, ceiling.threads == 1 ? "" : "s", read, ceiling.flops_per_second / 1e9);
}

std::vector<std::string> Cells(const ProfileRow& row, const PhaseTotal& total,
                               const Ceiling& ceiling) {
  const Rates rates = RatesOf(row.cost, row.seconds);
  const auto steps = static_cast<double>(total.steps);
  return {row.key,
          absl::StrFormat("%.3f", 1e3 * row.seconds / steps),
          absl::StrFormat("%.1f", Percent(row.seconds, total.seconds)),
          absl::StrFormat("%.4g", static_cast<double>(row.calls) / steps),
          absl::StrFormat("%.1f", rates.bytes / 1e9),
          absl::StrFormat("%.0f", Percent(rates.bytes, ceiling.read_bytes_per_second)),
          absl::StrFormat("%.1f", rates.flops / 1e9),
          absl::StrFormat("%.0f", Percent(rates.flops, ceiling.flops_per_second)),
          absl::StrJoin(row.kernels, " ")};
}

// Sums up the rows from `first` on.
ProfileRow Rest(const std::vector<ProfileRow>& rows, size_t first) {
  ProfileRow rest{.key = absl::StrCat(rows.size() - first, " more")};
  for (size_t i = first; i < rows.size(); ++i) {
    rest.calls += rows[i].calls;
    rest.seconds += rows[i].seconds;
    rest.cost = rest.cost + rows[i].cost;
  }
  return rest;
}

std::string Table(const Profile& profile, Phase phase, ProfileKey key,
                  const ProfileReport& report) {
  const PhaseTotal total = TotalOf(profile, phase);
  std::vector<ProfileRow> rows = GroupRuns(profile, phase, key);
  if (report.most_rows > 0 && rows.size() > report.most_rows) {
    ProfileRow rest = Rest(rows, report.most_rows);
    rows.resize(report.most_rows);
    rows.push_back(std::move(rest));
  }
  std::vector<std::vector<std::string>> cells = {{std::string(Name(key)), "ms a step", "% time",
                                                  "calls a step", "GB/s", "% of max", "GFLOP/s",
                                                  "% of max", "kernels"}};
  for (const ProfileRow& row : rows) cells.push_back(Cells(row, total, report.ceiling));
  cells.push_back(Cells({.key = "between nodes", .seconds = total.seconds - total.node_seconds},
                        total, report.ceiling));
  cells.push_back(
      Cells({.key = "all", .seconds = total.seconds, .cost = total.cost}, total, report.ceiling));
  return MarkdownTable(cells);
}

Json RowJson(const ProfileRow& row, const PhaseTotal& total) {
  return {{"key", row.key},
          {"calls", row.calls},
          {"seconds", row.seconds},
          {"share", Percent(row.seconds, total.seconds) / 100},
          {"flops", row.cost.flops},
          {"bytes_read", row.cost.bytes_read},
          {"bytes_written", row.cost.bytes_written},
          {"kernels", row.kernels}};
}

Json PhaseJson(const Profile& profile, Phase phase, const ProfileReport& report) {
  const PhaseTotal total = TotalOf(profile, phase);
  Json json = {{"phase", std::string(Name(phase))},
               {"steps", total.steps},
               {"tokens", total.tokens},
               {"seconds", total.seconds},
               {"node_seconds", total.node_seconds},
               {"flops", total.cost.flops},
               {"bytes_read", total.cost.bytes_read},
               {"bytes_written", total.cost.bytes_written}};
  for (const ProfileKey key : report.keys) {
    Json& rows = json[absl::StrCat("by_", Name(key))] = Json::array();
    for (const ProfileRow& row : GroupRuns(profile, phase, key)) {
      rows.push_back(RowJson(row, total));
    }
  }
  return json;
}

}  // namespace

absl::string_view Name(ProfileKey key) {
  switch (key) {
    case ProfileKey::kOp:
      return "op";
    case ProfileKey::kPart:
      return "part";
    case ProfileKey::kNode:
      return "node";
    case ProfileKey::kKernel:
      return "kernel";
    case ProfileKey::kOrigin:
      return "origin";
  }
  return "";
}

absl::Span<const ProfileKey> AllProfileKeys() { return kAllKeys; }

std::string ProfileText(const Profile& profile, const ProfileReport& report) {
  std::string text = CeilingText(report.ceiling);
  absl::StrAppend(&text, "Memory grew by ", BytesText(static_cast<double>(report.peak_growth)),
                  ", predicted ", BytesText(static_cast<double>(report.peak_predicted)), "\n");
  for (const Phase phase : kPhases) {
    const PhaseTotal total = TotalOf(profile, phase);
    if (total.steps == 0) continue;
    absl::StrAppend(&text,
                    absl::StrFormat("\n%s: %d tokens in %d step%s, %.1f tokens/s\n", Name(phase),
                                    total.tokens, total.steps, total.steps == 1 ? "" : "s",
                                    static_cast<double>(total.tokens) / total.seconds));
    for (const ProfileKey key : report.keys) {
      absl::StrAppend(&text, "\n", Table(profile, phase, key, report));
    }
  }
  return text;
}

std::string ProfileJson(const Profile& profile, const ProfileReport& report) {
  Json json;
  json["machine"] = {{"device", report.ceiling.device},
                     {"threads", report.ceiling.threads},
                     {"read_bytes_per_second", report.ceiling.read_bytes_per_second},
                     {"flops_per_second", report.ceiling.flops_per_second}};
  json["memory"] = {{"peak_growth", report.peak_growth}, {"peak_predicted", report.peak_predicted}};
  json["phases"] = Json::array();
  for (const Phase phase : kPhases) {
    if (TotalOf(profile, phase).steps > 0) {
      json["phases"].push_back(PhaseJson(profile, phase, report));
    }
  }
  return json.dump(2) + "\n";
}

}  // namespace sluice
