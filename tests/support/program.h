// The sluice program as a user meets it: through pipes and signals.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace sluice {

// The program at work. What it prints is read up to what a test waits for: no test looks at a
// clock.
class Program {
 public:
  // `environment`: NAME=VALUE, besides what there is.
  explicit Program(std::vector<std::string> arguments, std::vector<std::string> environment = {}) {
    // A program that ended early fails the test, but not all of them.
    std::signal(SIGPIPE, SIG_IGN);
    int in[2], out[2], errors[2];
    EXPECT_EQ(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC) | pipe2(errors, O_CLOEXEC), 0);
    arguments.insert(arguments.begin(), SLUICE_BINARY);
    child_ = fork();
    if (child_ == 0) {
      alarm(120);
      dup2(in[0], STDIN_FILENO);
      dup2(out[1], STDOUT_FILENO);
      dup2(errors[1], STDERR_FILENO);
      for (std::string& variable : environment) putenv(variable.data());
      std::vector<char*> argv;
      for (std::string& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(127);
    }
    for (const int theirs : {in[0], out[1], errors[1]}) close(theirs);
    in_ = in[1];
    out_ = {out[0]};
    errors_ = {errors[0]};
  }
  ~Program() {
    if (child_ > 0) Finish();
  }

  void Say(const std::string& text) {
    EXPECT_EQ(write(in_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void Interrupt() const { kill(child_, SIGINT); }
  void Kill() const { kill(child_, SIGKILL); }
  void AwaitOutput() { out_.Read(1); }
  void AwaitError(const std::string& text) {
    while (errors_.text.find(text) == std::string::npos && errors_.Read(1)) {
    }
  }
  // Ends the input. The exit code, -1 if a signal ended the program.
  int Finish() {
    if (in_ >= 0) close(std::exchange(in_, -1));
    // Both at once: a program that fills one pipe waits for its reader.
    pollfd ends[] = {{errors_.end, POLLIN, 0}, {out_.end, POLLIN, 0}};
    Stream* const streams[] = {&errors_, &out_};
    while (ends[0].fd >= 0 || ends[1].fd >= 0) {
      poll(ends, 2, -1);
      for (size_t i = 0; i < 2; ++i) {
        if (ends[i].revents != 0 && !streams[i]->Read(1 << 12)) ends[i].fd = -1;
      }
    }
    int status = 0;
    waitpid(std::exchange(child_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  const std::string& output() const { return out_.text; }
  const std::string& errors() const { return errors_.text; }

 private:
  struct Stream {
    int end = -1;
    std::string text;
    bool Read(size_t most) {
      std::string part(most, '\0');
      const ssize_t count = read(end, part.data(), most);
      if (count > 0) text.append(part, 0, static_cast<size_t>(count));
      return count > 0;
    }
  };

  pid_t child_ = -1;
  int in_ = -1;
  Stream out_, errors_;
};

}  // namespace sluice
