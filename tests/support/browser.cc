#include "tests/support/browser.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr int kSilenceMs = 60000;  // the longest wait for one message; a start takes about a second
constexpr int kBrowserIn = 3, kBrowserOut = 4;  // descriptors of --remote-debugging-pipe

absl::Status Errno(absl::string_view what) {
  return absl::InternalError(absl::StrCat("browser: ", what, ": ", std::strerror(errno)));
}

// A pipe whose descriptors are above those that the browser's get.
absl::StatusOr<std::array<int, 2>> Pipe() {
  std::array<int, 2> low, high;
  if (pipe2(low.data(), O_CLOEXEC) != 0) return Errno("cannot make a pipe");
  for (size_t i = 0; i < 2; ++i) {
    high[i] = fcntl(low[i], F_DUPFD_CLOEXEC, kBrowserOut + 1);
    close(low[i]);
    if (high[i] < 0) return Errno("cannot make a pipe");
  }
  return high;
}

std::vector<std::string> Arguments(const std::string& program, const std::string& profile) {
  return {program,
          "--headless",
          "--no-sandbox",  // tests may run as root
          "--disable-gpu",
          "--disable-quic",
          "--no-first-run",
          "--disable-background-networking",
          "--disable-component-update",
          "--disable-sync",
          "--window-size=1400,900",
          "--remote-debugging-pipe",
          "--user-data-dir=" + profile,
          "about:blank"};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Browser>> Browser::Start(bool dark,
                                                        const std::vector<std::string>& further) {
  std::unique_ptr<Browser> browser(new Browser);
  SLUICE_RETURN_IF_ERROR(browser->Spawn(further));
  SLUICE_RETURN_IF_ERROR(browser->OpenTab(dark));
  return browser;
}

Browser::~Browser() {
  if (process_ > 0) {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  if (to_ >= 0) close(to_);
  if (from_ >= 0) close(from_);
  std::error_code ignored;  // its children may still be writing
  if (!profile_.empty()) std::filesystem::remove_all(profile_, ignored);
}

absl::Status Browser::Spawn(const std::vector<std::string>& further) {
  std::string folder = testing::TempDir() + "/sluice_browser_XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return Errno("cannot make " + folder);
  profile_ = folder;
  SLUICE_ASSIGN_OR_RETURN(const auto in, Pipe());
  SLUICE_ASSIGN_OR_RETURN(const auto out, Pipe());
  to_ = in[1];
  from_ = out[0];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], kBrowserIn);
  posix_spawn_file_actions_adddup2(&actions, out[1], kBrowserOut);
  for (int stream : {STDOUT_FILENO, STDERR_FILENO}) {
    posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_WRONLY, 0);
  }
  std::vector<std::string> arguments = Arguments("chromium", profile_);
  arguments.insert(arguments.end() - 1, further.begin(), further.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const int error = posix_spawnp(&process_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  if (error == 0) return absl::OkStatus();
  process_ = -1;
  if (error == ENOENT) return absl::UnavailableError("Chromium is not installed");
  errno = error;
  return Errno("cannot start");
}

absl::Status Browser::OpenTab(bool dark) {
  SLUICE_ASSIGN_OR_RETURN(const json tab, Call("Target.createTarget", {{"url", "about:blank"}}));
  SLUICE_ASSIGN_OR_RETURN(
      const json attached,
      Call("Target.attachToTarget", {{"targetId", tab["targetId"]}, {"flatten", true}}));
  session_ = attached["sessionId"];
  for (const char* domain : {"Page", "Runtime", "Log", "Network", "Performance"}) {
    SLUICE_RETURN_IF_ERROR(Call(absl::StrCat(domain, ".enable"), json::object()).status());
  }
  const json scheme = {{"name", "prefers-color-scheme"}, {"value", dark ? "dark" : "light"}};
  return Call("Emulation.setEmulatedMedia", {{"features", json::array({scheme})}}).status();
}

absl::StatusOr<json> Browser::Call(const std::string& method, json parameters) {
  json command = {{"id", ++last_id_}, {"method", method}, {"params", std::move(parameters)}};
  if (!session_.empty()) command["sessionId"] = session_;
  const std::string text = command.dump();
  // With the zero that ends a message.
  for (size_t sent = 0; sent <= text.size();) {
    const ssize_t n = write(to_, text.c_str() + sent, text.size() + 1 - sent);
    if (n < 0) return Errno("cannot write");
    sent += static_cast<size_t>(n);
  }
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(const json message, Receive());
    if (!message.contains("id")) {
      Note(message);
    } else if (message["id"] == last_id_) {
      if (!message.contains("error")) return message["result"];
      return absl::InternalError(absl::StrCat(method, ": ", message["error"].dump()));
    }
  }
}

absl::StatusOr<json> Browser::Receive() {
  size_t end;
  while ((end = received_.find('\0')) == std::string::npos) {
    pollfd ready = {.fd = from_, .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, kSilenceMs) <= 0) return absl::DeadlineExceededError("browser: silent");
    std::array<char, 65536> buffer;
    const ssize_t n = read(from_, buffer.data(), buffer.size());
    if (n < 0) return Errno("cannot read");
    if (n == 0) return absl::InternalError("browser: it ended by itself");
    received_.append(buffer.data(), static_cast<size_t>(n));
  }
  json message = json::parse(received_.substr(0, end), nullptr, /*allow_exceptions=*/false);
  received_.erase(0, end + 1);
  if (message.is_discarded()) return absl::InternalError("browser: a message is not JSON");
  return message;
}

void Browser::Note(const json& event) {
  const std::string method = event.value("method", "");
  const json& details = event["params"];
  if (method == "Page.loadEventFired") {
    loaded_ = true;
  } else if (method == "Network.requestWillBeSent") {
    requests_.push_back(details["request"]["url"]);
  } else if (method == "Runtime.exceptionThrown") {
    console_.push_back(details["exceptionDetails"].dump());
  } else if (method == "Runtime.consoleAPICalled") {
    console_.push_back(details["args"].dump());
  } else if (method == "Log.entryAdded") {
    console_.push_back(details["entry"].dump());
  }
}

absl::Status Browser::Open(const std::string& place) {
  loaded_ = false;
  const std::string url = absl::StartsWith(place, "http://") || absl::StartsWith(place, "about:")
                              ? place
                              : "file://" + place;
  SLUICE_ASSIGN_OR_RETURN(const json result, Call("Page.navigate", {{"url", url}}));
  if (result.contains("errorText")) return absl::NotFoundError(result["errorText"].dump());
  while (!loaded_) {
    SLUICE_ASSIGN_OR_RETURN(const json message, Receive());
    Note(message);
  }
  return absl::OkStatus();
}

absl::StatusOr<json> Browser::Evaluate(const std::string& expression) {
  SLUICE_ASSIGN_OR_RETURN(const json result, Call("Runtime.evaluate", {{"expression", expression},
                                                                       {"returnByValue", true},
                                                                       {"awaitPromise", true}}));
  if (result.contains("exceptionDetails")) {
    return absl::InternalError(result["exceptionDetails"].dump());
  }
  return result["result"].value("value", json());
}

absl::StatusOr<double> Browser::CpuSeconds() {
  SLUICE_ASSIGN_OR_RETURN(const json result, Call("Performance.getMetrics", json::object()));
  for (const json& metric : result["metrics"]) {
    if (metric["name"] == "ThreadTime") return metric["value"].get<double>();
  }
  return absl::NotFoundError("browser: no ThreadTime");
}

absl::Status Browser::Click(const std::string& selector) {
  const std::string element = absl::StrCat("document.querySelector(", json(selector).dump(), ")");
  SLUICE_ASSIGN_OR_RETURN(
      const json place,
      Evaluate(absl::StrCat("(() => { const e = ", element, "; if (!e) return null; ",
                            "e.scrollIntoView({block: 'center'}); ",
                            "const r = e.getBoundingClientRect(); ",
                            "return [r.x + r.width / 2, r.y + r.height / 2]; })()")));
  if (place.is_null()) return absl::NotFoundError(absl::StrCat("nothing matches ", selector));
  SLUICE_RETURN_IF_ERROR(Mouse("mousePressed", place[0], place[1]));
  return Mouse("mouseReleased", place[0], place[1]);
}

absl::Status Browser::Mouse(const std::string& type, double x, double y) {
  return Call("Input.dispatchMouseEvent",
              {{"type", type}, {"x", x}, {"y", y}, {"button", "left"}, {"clickCount", 1}})
      .status();
}

absl::Status Browser::Press(const std::string& key) {
  for (const char* type : {"keyDown", "keyUp"}) {
    SLUICE_RETURN_IF_ERROR(Call("Input.dispatchKeyEvent", {{"type", type}, {"key", key}}).status());
  }
  return absl::OkStatus();
}

absl::Status Browser::Type(const std::string& text) {
  return Call("Input.insertText", {{"text", text}}).status();
}

absl::Status Browser::Screenshot(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const json result, Call("Page.captureScreenshot", json::object()));
  std::string bytes;
  absl::Base64Unescape(result["data"].get<std::string>(), &bytes);
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  file.close();
  return file ? absl::OkStatus() : Errno("cannot write " + path);
}

}  // namespace sluice
