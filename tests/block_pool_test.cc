#include "runtime/block_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace sluice {
namespace {

TEST(BlockPool, AllocatesAllOrNothing) {
  BlockPool pool(4);
  std::vector<int32_t> blocks;
  ASSERT_TRUE(pool.Allocate(3, &blocks).ok());
  EXPECT_EQ(std::set<int32_t>(blocks.begin(), blocks.end()).size(), 3u);
  const absl::Status status = pool.Allocate(2, &blocks);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), testing::HasSubstr("2 blocks wanted, 1 of 4 free"));
  EXPECT_EQ(blocks.size(), 3u);
  EXPECT_EQ(pool.free(), 1);
  pool.Release(blocks);
  EXPECT_EQ(pool.free(), 4);
}

TEST(Sequence, TakesBlocksAsItGrowsAndGivesThemBack) {
  BlockPool pool(3);
  {
    Sequence sequence(&pool, 16);
    ASSERT_TRUE(sequence.Extend(16).ok());
    EXPECT_EQ(pool.free(), 2);
    ASSERT_TRUE(sequence.Extend(1).ok());
    EXPECT_EQ(pool.free(), 1);
    EXPECT_EQ(sequence.Slot(16), sequence.blocks()[1] * 16);
    EXPECT_EQ(sequence.Slot(15), sequence.blocks()[0] * 16 + 15);
    EXPECT_FALSE(sequence.Extend(32).ok());
    EXPECT_EQ(sequence.length(), 17);
    sequence.Truncate(16);
    EXPECT_EQ(sequence.length(), 16);
    EXPECT_EQ(pool.free(), 2);
    sequence.Truncate(40);  // longer than it is: nothing to forget
    EXPECT_EQ(sequence.length(), 16);
  }
  EXPECT_EQ(pool.free(), 3);
}

}  // namespace
}  // namespace sluice
