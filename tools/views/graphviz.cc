#include "tools/views/graphviz.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "models/unicode/printable.h"

namespace sluice {
namespace {

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

absl::Status Failed(absl::string_view what, int error) {
  return absl::InternalError(absl::StrCat("Graphviz: ", what, ": ", std::strerror(error)));
}

// A file without a name that is gone when closed. A child that writes more than a pipe holds does
// not have to wait for a reader.
absl::StatusOr<File> Temporary(absl::string_view content) {
  File file(std::tmpfile());
  if (file == nullptr) return Failed("cannot make a temporary file", errno);
  if (std::fwrite(content.data(), 1, content.size(), file.get()) != content.size() ||
      std::fflush(file.get()) != 0) {
    return Failed("cannot write a temporary file", errno);
  }
  std::rewind(file.get());
  return file;
}

absl::StatusOr<std::string> Content(const File& file) {
  std::rewind(file.get());
  std::string content;
  std::array<char, 65536> buffer;
  for (size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), file.get())) > 0;) {
    content.append(buffer.data(), n);
  }
  if (std::ferror(file.get()) != 0) return Failed("cannot read a temporary file", errno);
  return content;
}

// Runs `program -Tsvg`, without a shell between, so that no name is ever a command, and returns its
// wait status.
absl::StatusOr<int> RunDot(const std::string& program, const File& in, const File& out,
                           const File& errors) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fileno(in.get()), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(out.get()), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(errors.get()), STDERR_FILENO);
  std::string name = program, format = "-Tsvg";
  const std::array<char*, 3> arguments = {name.data(), format.data(), nullptr};
  pid_t child = 0;
  const int error =
      posix_spawnp(&child, name.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) {
    return absl::UnavailableError(absl::StrCat(
        "SVG needs the program '", program, "', which is not installed: it is in the package ",
        "graphviz. --format dot and --format html do not need it"));
  }
  if (error != 0) return Failed(absl::StrCat("cannot start ", program), error);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return Failed("lost the process", errno);
  }
  return status;
}

}  // namespace

absl::StatusOr<std::string> DotToSvg(const std::string& dot, const std::string& program) {
  SLUICE_ASSIGN_OR_RETURN(const File in, Temporary(dot));
  SLUICE_ASSIGN_OR_RETURN(const File out, Temporary(""));
  SLUICE_ASSIGN_OR_RETURN(const File errors, Temporary(""));
  SLUICE_ASSIGN_OR_RETURN(const int status, RunDot(program, in, out, errors));
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    SLUICE_ASSIGN_OR_RETURN(const std::string words, Content(errors));
    return absl::InternalError(
        absl::StrCat("Graphviz failed: ", Printable(absl::StripAsciiWhitespace(words), 500)));
  }
  return Content(out);
}

}  // namespace sluice
