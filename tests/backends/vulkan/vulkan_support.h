// A Vulkan backend under validation, for tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "backends/vulkan/vulkan_backend.h"

namespace sluice {

// One backend for all tests of a program, so that each pipeline is compiled once. Tests are skipped
// with the reason where there is no device, and fail where the validation layers say anything.
class VulkanTest : public testing::Test {
 protected:
  void SetUp() override {
    if (state().backend == nullptr) Open();
    if (state().backend == nullptr) GTEST_SKIP() << state().failure;
    state().messages.clear();
  }
  void TearDown() override {
    for (const std::string& message : state().messages) ADD_FAILURE() << message;
  }
  static Backend& backend() { return *state().backend; }
  static std::vector<std::string>& messages() { return state().messages; }

  // Frees the device, so that what is left is told before the program ends.
  static void TearDownTestSuite() {
    state().messages.clear();
    state().backend.reset();
    for (const std::string& message : state().messages) ADD_FAILURE() << message;
  }

 private:
  struct State {
    std::vector<std::string> messages;  // of the validation layers
    std::string failure;
    std::unique_ptr<Backend> backend;
  };
  static State& state() {
    static State state;
    return state;
  }
  static void Open() {
    auto backend =
        MakeVulkanBackend({.validate = true, .on_message = [](const std::string& message) {
                             state().messages.push_back(message);
                           }});
    if (backend.ok()) {
      state().backend = *std::move(backend);
    } else {
      state().failure = backend.status().ToString();
    }
  }
};

}  // namespace sluice
