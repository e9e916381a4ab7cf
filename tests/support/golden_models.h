// The models that come with golden logits: the conformance pack beside the checkout where it is,
// else the subset of it in tests/data/models.
#pragma once

#include <gtest/gtest.h>

#include <cctype>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/support/paths.h"

namespace sluice {

struct GoldenModel {
  std::string folder;
  nlohmann::json entry;  // of the manifest
  std::string path() const { return folder + "/" + entry["file"].get<std::string>(); }
  std::string golden_path() const { return folder + "/" + entry["golden"].get<std::string>(); }
};

inline std::string GoldenModelsDir() {
  const std::string pack = ConformanceDir();
  return pack.empty() ? TestDataDir() + "/models" : pack + "/models";
}

inline std::vector<GoldenModel> GoldenModels() {
  using Json = nlohmann::json;
  std::vector<GoldenModel> models;
  const Json manifest = Json::parse(std::ifstream(GoldenModelsDir() + "/manifest.json"));
  for (Json entry : manifest["models"]) {
    if (entry.contains("same_weights_as")) {  // shares the other entry's prompt and tolerance
      for (const Json& twin : manifest["models"]) {
        if (twin["file"] != entry["same_weights_as"]) continue;
        entry["prompt"] = twin["prompt"];
        entry["tolerance"] = twin["tolerance"];
      }
    }
    models.push_back({GoldenModelsDir(), entry});
  }
  return models;
}

inline std::string GoldenModelName(const testing::TestParamInfo<GoldenModel>& test) {
  std::string name = test.param.entry["file"];
  name.resize(name.size() - std::string(".gguf").size());
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

}  // namespace sluice
