#include "runtime/prefix_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/sequence.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kBlockSize = 2;

// Runs texts of two-token blocks as the scheduler would: adopts what is known, tells of the rest.
class Texts {
 public:
  Texts(int64_t blocks, PrefixCache::Hash hash = HashTokens)
      : pool(blocks), cache(pool, kBlockSize, hash) {}

  std::vector<int32_t> Find(const std::vector<int32_t>& text) const {
    std::vector<int32_t> blocks;
    cache.Find(text, &blocks);
    return blocks;
  }

  std::unique_ptr<Sequence> Run(const std::vector<int32_t>& text) {
    auto sequence = std::make_unique<Sequence>(&pool, kBlockSize);
    const std::vector<int32_t> known = Find(text);
    sequence->Adopt(known);
    EXPECT_TRUE(sequence->Extend(static_cast<int64_t>(text.size()) - sequence->length()).ok());
    for (size_t i = known.size(); i < text.size() / kBlockSize; ++i) {
      cache.Insert(i == 0 ? PrefixCache::kNone : sequence->blocks()[i - 1],
                   absl::MakeConstSpan(text).subspan(i * kBlockSize, kBlockSize),
                   sequence->blocks()[i]);
    }
    return sequence;
  }

  BlockPool pool;
  PrefixCache cache;
};

TEST(PrefixCache, FindsWholeBlocksOfTheLongestKnownBeginning) {
  Texts texts(8);
  const auto first = texts.Run({1, 2, 3, 4, 5});
  EXPECT_EQ(texts.cache.size(), 2);  // the block of 5 is not full
  EXPECT_THAT(texts.Find({1, 2, 3, 4, 5, 6}), ElementsAre(first->blocks()[0], first->blocks()[1]));
  EXPECT_THAT(texts.Find({1, 2, 3, 9}), ElementsAre(first->blocks()[0]));
  EXPECT_THAT(texts.Find({1}), IsEmpty());
  EXPECT_THAT(texts.Find({3, 4}), IsEmpty());  // after another beginning
}

TEST(PrefixCache, SharedBlocksAreHeldByEveryTextThatBeginsWithThem) {
  Texts texts(8);
  auto first = texts.Run({1, 2, 3, 4});
  const auto second = texts.Run({1, 2, 5, 6});
  const int32_t shared = first->blocks()[0];
  EXPECT_EQ(second->blocks()[0], shared);
  EXPECT_EQ(texts.pool.holders(shared), 2);
  EXPECT_EQ(texts.pool.free(), 5);
  first.reset();
  EXPECT_EQ(texts.pool.holders(shared), 1);
  EXPECT_EQ(texts.pool.idle(), 1);
}

uint64_t SameForAll(uint64_t /*before*/, absl::Span<const int32_t> /*tokens*/) { return 7; }

TEST(PrefixCache, EqualHashesMixNothingUp) {
  Texts texts(12, SameForAll);
  const auto a = texts.Run({1, 2, 3, 4});
  const auto b = texts.Run({5, 6, 3, 4});
  const auto c = texts.Run({3, 4, 1, 2});
  EXPECT_EQ(texts.cache.size(), 6);
  EXPECT_THAT(texts.Find({1, 2, 3, 4}), ElementsAre(a->blocks()[0], a->blocks()[1]));
  EXPECT_THAT(texts.Find({5, 6, 3, 4}), ElementsAre(b->blocks()[0], b->blocks()[1]));
  EXPECT_THAT(texts.Find({3, 4, 3, 4}), ElementsAre(c->blocks()[0]));
}

TEST(PrefixCache, TheSameTextTwiceIsKnownOnce) {
  Texts texts(4);
  const auto first = texts.Run({1, 2});
  std::vector<int32_t> own;
  ASSERT_TRUE(texts.pool.Allocate(1, &own).ok());
  EXPECT_EQ(texts.cache.Insert(PrefixCache::kNone, {1, 2}, own[0]), first->blocks()[0]);
  EXPECT_EQ(texts.cache.size(), 1);
  EXPECT_FALSE(texts.pool.kept(own[0]));
}

TEST(PrefixCache, WhatComesAfterAnUnknownBlockStaysUnknown) {
  Texts texts(4);
  std::vector<int32_t> own;
  ASSERT_TRUE(texts.pool.Allocate(2, &own).ok());
  EXPECT_EQ(texts.cache.Insert(own[0], {1, 2}, own[1]), own[1]);
  EXPECT_EQ(texts.cache.size(), 0);
}

TEST(PrefixCache, TheLeastRecentlyUsedIsGivenUpAndEndsBeforeBeginnings) {
  Texts texts(4);
  texts.Run({1, 2, 3, 4});
  texts.Run({5, 6, 7, 8});
  EXPECT_EQ(texts.pool.idle(), 4);
  texts.Run({1, 2, 3, 4});  // used again
  const auto next = texts.Run({9});
  EXPECT_EQ(texts.cache.counters().evictions, 1);
  EXPECT_EQ(texts.Find({1, 2, 3, 4}).size(), 2u);
  EXPECT_EQ(texts.Find({5, 6, 7, 8}).size(), 1u);
  const auto more = texts.Run({10, 11, 12, 13});
  EXPECT_EQ(texts.Find({1, 2, 3, 4}).size(), 1u);
  EXPECT_THAT(texts.Find({5, 6}), IsEmpty());
  EXPECT_EQ(texts.pool.free(), 1);
}

TEST(PrefixCache, BlocksThatAreHeldAreNotGivenUp) {
  Texts texts(3);
  const auto held = texts.Run({1, 2, 3, 4});
  std::vector<int32_t> blocks;
  EXPECT_FALSE(texts.pool.Allocate(2, &blocks).ok());
  EXPECT_EQ(texts.Find({1, 2, 3, 4}).size(), 2u);
}

TEST(PrefixCache, ClearForgetsHeldAndIdleBlocks) {
  Texts texts(6);
  const auto held = texts.Run({1, 2});
  texts.Run({3, 4});
  texts.cache.Clear();
  EXPECT_EQ(texts.cache.size(), 0);
  EXPECT_EQ(texts.pool.idle(), 0);
  EXPECT_EQ(texts.pool.free(), 5);
  EXPECT_THAT(texts.Find({1, 2}), IsEmpty());
  EXPECT_THAT(texts.Find({3, 4}), IsEmpty());
}

TEST(PrefixCache, CountsTextsAndSavedTokens) {
  Texts texts(4);
  texts.cache.Count(0);
  texts.cache.Count(32);
  texts.cache.Count(16);
  EXPECT_EQ(texts.cache.counters().misses, 1);
  EXPECT_EQ(texts.cache.counters().hits, 2);
  EXPECT_EQ(texts.cache.counters().saved_tokens, 48);
}

}  // namespace
}  // namespace sluice
