#include "runtime/step_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/decoder_interface.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Batch : public testing::Test {
 protected:
  const StepLimits limits_{.max_tokens = 8,
                           .max_seqs = 2,
                           .max_outputs = 2,
                           .max_context = 16,
                           .block_size = 4,
                           .vocabulary = 10};
  BlockPool pool_{6};
  StepBatch batch_{limits_};
  Sequence a_{&pool_, 4}, b_{&pool_, 4};
};

TEST_F(Batch, ListsWhatTheGraphTakes) {
  ASSERT_TRUE(a_.Extend(3).ok());
  const std::vector<StepToken> step = {{&b_, 7, true}, {&a_, 1, false}, {&a_, 2, true}};
  ASSERT_TRUE(batch_.Fill(step).ok());
  EXPECT_THAT(*batch_.Input(decoder::kTokenIds), ElementsAre(7, 1, 2));
  EXPECT_THAT(*batch_.Input(decoder::kPositions), ElementsAre(0, 3, 4));
  EXPECT_THAT(*batch_.Input(decoder::kSeqIds), ElementsAre(0, 1, 1));
  EXPECT_THAT(*batch_.Input(decoder::kSlots), ElementsAre(b_.Slot(0), a_.Slot(3), a_.Slot(4)));
  EXPECT_THAT(*batch_.Input(decoder::kContextLens), ElementsAre(1, 5));
  EXPECT_THAT(*batch_.Input(decoder::kOutputRows), ElementsAre(0, 2));
  EXPECT_EQ(batch_.table(), 2);
  EXPECT_THAT(*batch_.Input(decoder::kBlockTables),
              ElementsAre(b_.blocks()[0], 0, a_.blocks()[0], a_.blocks()[1]));
  EXPECT_EQ(batch_.Input("other"), nullptr);
  batch_.RollBack();
  EXPECT_EQ(a_.length(), 3);
  EXPECT_EQ(b_.length(), 0);
  EXPECT_EQ(pool_.free(), 5);
}

TEST_F(Batch, BlocksThatAreOnlyClaimedAreInNoTable) {
  ASSERT_TRUE(a_.Claim(16).ok());
  ASSERT_TRUE(batch_.Fill({{&a_, 1, true}}).ok());
  EXPECT_EQ(batch_.table(), 1);
}

TEST_F(Batch, ATokenRunAgainIsReadInItsPlaceAndWrittenToTheNext) {
  ASSERT_TRUE(a_.Extend(8).ok());
  b_.Adopt(a_.blocks());
  const StepToken last{.sequence = &b_, .token = 3, .want_logits = true, .replay = true};
  ASSERT_TRUE(batch_.Fill({&last, 1}).ok());
  EXPECT_EQ(b_.length(), 8);
  EXPECT_THAT(*batch_.Input(decoder::kPositions), ElementsAre(7));
  EXPECT_THAT(*batch_.Input(decoder::kContextLens), ElementsAre(8));
  EXPECT_THAT(*batch_.Input(decoder::kBlockTables), ElementsAre(a_.blocks()[0], a_.blocks()[1]));
  const int32_t slot = batch_.Input(decoder::kSlots)->front();
  EXPECT_EQ(pool_.holders(slot / 4), 1);
  ASSERT_TRUE(batch_.Fill({{&b_, 4, true}}).ok());
  EXPECT_EQ(batch_.Input(decoder::kSlots)->front(), slot);
  EXPECT_THAT(*batch_.Input(decoder::kPositions), ElementsAre(8));
}

TEST_F(Batch, ATokenIsRunAgainAloneAndOnlyIfThereIsOne) {
  const auto message = [&](const std::vector<StepToken>& step) {
    return std::string(batch_.Fill(step).message());
  };
  const StepToken again{&a_, 1, true, true}, other{&a_, 2, false};
  EXPECT_THAT(message({again}), HasSubstr("a sequence of 0 is run again"));
  ASSERT_TRUE(a_.Extend(4).ok());
  EXPECT_THAT(message({again, other}), HasSubstr("in a step of 2 of its tokens"));
  EXPECT_THAT(message({other, again}), HasSubstr("in a step of 2 of its tokens"));
  EXPECT_EQ(a_.length(), 4);
  ASSERT_TRUE(a_.Extend(12).ok());
  EXPECT_THAT(message({again}), HasSubstr("the context is full: 16 + 1"));  // no next place
}

TEST_F(Batch, PromptsThatCannotBeRunAreRefused) {
  const auto message = [&](const std::vector<int32_t>& prompt) {
    return std::string(limits_.CheckPrompt(prompt).message());
  };
  EXPECT_THAT(message({}), HasSubstr("empty"));
  EXPECT_THAT(message(std::vector<int32_t>(16, 1)), HasSubstr("the prompt has 16 tokens"));
  EXPECT_THAT(message({1, 10}), HasSubstr("token id 10 is not in 0 to 9"));
  EXPECT_THAT(message({1, -1}), HasSubstr("token id -1"));
  EXPECT_TRUE(limits_.CheckPrompt(std::vector<int32_t>(15, 9)).ok());
}

}  // namespace
}  // namespace sluice
