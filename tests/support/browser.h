// A headless Chromium that tests drive, through the DevTools protocol on a pair of pipes: no port,
// no other program between. Protocol: https://chromedevtools.github.io/devtools-protocol
#pragma once

#include <sys/types.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

class Browser {
 public:
  // With an empty page and a profile of its own. Unavailable if no browser is installed.
  // `further` are arguments of its own.
  static absl::StatusOr<std::unique_ptr<Browser>> Start(
      bool dark = false, const std::vector<std::string>& further = {});
  ~Browser();

  // Opens a file, or what an http:// or about: address has, and waits until it is loaded.
  absl::Status Open(const std::string& place);
  // The value of a JavaScript expression. Errors: what it threw.
  absl::StatusOr<nlohmann::json> Evaluate(const std::string& expression);
  // Seconds of a processor that pages have taken, since the start.
  absl::StatusOr<double> CpuSeconds();
  // A mouse click into the middle of the first element that matches a CSS selector.
  absl::Status Click(const std::string& selector);
  // A key, by its DOM name: "Enter", "/", "ArrowRight".
  absl::Status Press(const std::string& key);
  absl::Status Type(const std::string& text);
  // What can be seen, as a PNG file.
  absl::Status Screenshot(const std::string& path);

  // What was said on the console, with exceptions, since the start.
  const std::vector<std::string>& console() const { return console_; }
  // Addresses that pages asked for, since the start.
  const std::vector<std::string>& requests() const { return requests_; }

 private:
  Browser() = default;
  absl::Status Spawn(const std::vector<std::string>& further);
  absl::Status OpenTab(bool dark);
  // Sends a command and reads until its answer.
  absl::StatusOr<nlohmann::json> Call(const std::string& method, nlohmann::json parameters);
  absl::StatusOr<nlohmann::json> Receive();
  void Note(const nlohmann::json& event);
  absl::Status Mouse(const std::string& type, double x, double y);

  std::string profile_;  // folder
  pid_t process_ = -1;
  int to_ = -1, from_ = -1;  // pipes
  int last_id_ = 0;
  std::string session_;   // of the tab
  std::string received_;  // bytes after the last whole message
  bool loaded_ = false;
  std::vector<std::string> console_, requests_;
};

}  // namespace sluice
