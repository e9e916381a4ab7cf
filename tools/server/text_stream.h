// The tokens of one answer as the text that a client sees: whole UTF-8 characters, nothing of a
// stop string, and each token's logprobs together with its text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "models/text/tokenizer.h"
#include "tools/server/stop_matcher.h"

namespace sluice::server {

struct LogprobEntry {
  std::string text;  // the token's bytes, which need not be UTF-8 by themselves
  double logprob = 0;
  struct Likely {
    std::string text;
    double logprob;
  };
  std::vector<Likely> top;
};

// A part of an answer.
struct TextPart {
  std::string text;
  std::vector<LogprobEntry> logprobs;  // of tokens whose text begins in what is given out
};

class TextStream {
 public:
  // The tokenizer outlives the stream.
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stops)
      : decoder_(tokenizer, {.continues = true}), matcher_(std::move(stops)) {}

  // The logprobs of the token that Push is called with next.
  void Expect(LogprobEntry entry) { entries_.push_back({decoded_, std::move(entry)}); }
  // What can be given out now.
  TextPart Push(TokenId token);
  // The rest, once no more tokens come.
  TextPart Finish();

  // A stop string is complete: what comes after it does not count.
  bool stopped() const { return matcher_.stopped(); }

 private:
  struct Waiting {
    size_t begin;  // of its text, in what was decoded
    LogprobEntry entry;
  };
  TextPart Give(std::string text, bool everything);

  StreamingDecoder decoder_;
  StopMatcher matcher_;
  size_t decoded_ = 0, given_ = 0;  // bytes
  std::deque<Waiting> entries_;
};

}  // namespace sluice::server
