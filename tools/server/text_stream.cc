#include "tools/server/text_stream.h"

#include <utility>

namespace sluice::server {

TextPart TextStream::Give(std::string text, bool everything) {
  TextPart part;
  given_ += text.size();
  part.text = std::move(text);
  while (!entries_.empty() && (everything || entries_.front().begin < given_)) {
    part.logprobs.push_back(std::move(entries_.front().entry));
    entries_.pop_front();
  }
  return part;
}

TextPart TextStream::Push(TokenId token) {
  const std::string text = decoder_.Push(token);
  decoded_ += text.size();
  return Give(matcher_.Push(text), /*everything=*/false);
}

TextPart TextStream::Finish() {
  const std::string text = decoder_.Finish();
  decoded_ += text.size();
  std::string rest = matcher_.Push(text);
  rest += matcher_.Finish();
  return Give(std::move(rest), /*everything=*/!stopped());
}

}  // namespace sluice::server
