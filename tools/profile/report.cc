#include "tools/profile/report.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "tools/machine/ceiling_report.h"
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

std::string Milliseconds(double seconds) { return absl::StrFormat("%.3f", 1e3 * seconds); }

std::vector<std::string> Cells(const ProfileRow& row, const PhaseTotal& total) {
  const double seconds = row.seconds.median;
  const Rates rates = RatesOf(row.cost, seconds);
  const auto steps = static_cast<double>(total.steps);
  return {row.key,
          Milliseconds(seconds / steps),
          absl::StrCat(Milliseconds(row.seconds.low / steps), "-",
                       Milliseconds(row.seconds.high / steps)),
          absl::StrFormat("%.1f", Percent(seconds, total.all.seconds.median)),
          absl::StrFormat("%.4g", row.calls / steps),
          absl::StrFormat("%.1f", rates.bytes / 1e9),
          absl::StrFormat("%.0f", Percent(row.transfer_seconds, seconds)),
          absl::StrFormat("%.1f", rates.flops / 1e9),
          absl::StrFormat("%.0f", Percent(row.compute_seconds, seconds)),
          absl::StrJoin(row.kernels, " ")};
}

// Sums up the rows from `first` on.
ProfileRow Rest(const std::vector<ProfileRow>& rows, size_t first) {
  ProfileRow rest{.key = absl::StrCat(rows.size() - first, " more")};
  for (size_t i = first; i < rows.size(); ++i) {
    const ProfileRow& row = rows[i];
    rest.calls += row.calls;
    rest.seconds.median += row.seconds.median;
    rest.seconds.low += row.seconds.low;
    rest.seconds.high += row.seconds.high;
    rest.cost = rest.cost + row.cost;
    rest.transfer_seconds += row.transfer_seconds;
    rest.compute_seconds += row.compute_seconds;
  }
  return rest;
}

std::string Table(const Profile& profile, Phase phase, ProfileKey key,
                  const ProfileReport& report) {
  const PhaseTotal total = TotalOf(profile, phase, report.ceiling);
  std::vector<ProfileRow> rows = GroupRuns(profile, phase, key, report.ceiling);
  if (report.most_rows > 0 && rows.size() > report.most_rows) {
    ProfileRow rest = Rest(rows, report.most_rows);
    rows.resize(report.most_rows);
    rows.push_back(std::move(rest));
  }
  rows.push_back({.key = "between nodes", .seconds = total.between});
  rows.push_back(total.all);
  std::vector<std::vector<std::string>> cells = {{std::string(Name(key)), "ms a step",
                                                  "middle half", "% time", "calls a step", "GB/s",
                                                  "% of max", "GOP/s", "% of max", "kernels"}};
  for (const ProfileRow& row : rows) cells.push_back(Cells(row, total));
  return MarkdownTable(cells);
}

std::string PhaseText(Phase phase, const PhaseTotal& total) {
  const Spread& seconds = total.all.seconds;
  const auto tokens = static_cast<double>(total.tokens);
  return absl::StrFormat(
      "%s: %d token%s in %d step%s, %.1f tokens/s; median of %d sample%s, the middle half %.1f to "
      "%.1f\n",
      Name(phase), total.tokens, total.tokens == 1 ? "" : "s", total.steps,
      total.steps == 1 ? "" : "s", tokens / seconds.median, total.samples,
      total.samples == 1 ? "" : "s", tokens / seconds.high, tokens / seconds.low);
}

// What rows and phases have alike, of one sample.
Json FiguresJson(const ProfileRow& row) {
  return {{"seconds", row.seconds.median},
          {"seconds_low", row.seconds.low},
          {"seconds_high", row.seconds.high},
          {"flops", row.cost.flops},
          {"bytes_read", row.cost.bytes_read},
          {"bytes_written", row.cost.bytes_written},
          {"transfer_seconds_at_most", row.transfer_seconds},
          {"compute_seconds_at_most", row.compute_seconds}};
}

Json RowJson(const ProfileRow& row, const PhaseTotal& total) {
  Json json = {{"key", row.key},
               {"calls", row.calls},
               {"share", Percent(row.seconds.median, total.all.seconds.median) / 100}};
  json.update(FiguresJson(row));
  json["kernels"] = row.kernels;
  return json;
}

Json PhaseJson(const Profile& profile, Phase phase, const ProfileReport& report) {
  const PhaseTotal total = TotalOf(profile, phase, report.ceiling);
  Json json = {{"phase", std::string(Name(phase))},
               {"samples", total.samples},
               {"steps", total.steps},
               {"tokens", total.tokens},
               {"between_seconds", total.between.median}};
  json.update(FiguresJson(total.all));
  for (const ProfileKey key : report.keys) {
    Json& rows = json[absl::StrCat("by_", Name(key))] = Json::array();
    for (const ProfileRow& row : GroupRuns(profile, phase, key, report.ceiling)) {
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
    absl::StrAppend(&text, "\n", PhaseText(phase, total));
    for (const ProfileKey key : report.keys) {
      absl::StrAppend(&text, "\n", Table(profile, phase, key, report));
    }
  }
  return text;
}

std::string ProfileJson(const Profile& profile, const ProfileReport& report) {
  Json json;
  json["machine"] = CeilingJson(report.ceiling);
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
