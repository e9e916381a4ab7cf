#include "runtime/block_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "runtime/sequence.h"

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

TEST(BlockPool, ABlockIsFreeWhenItsLastHolderLetsGo) {
  BlockPool pool(2);
  std::vector<int32_t> blocks;
  ASSERT_TRUE(pool.Allocate(1, &blocks).ok());
  pool.Share(blocks[0]);
  EXPECT_EQ(pool.holders(blocks[0]), 2);
  pool.Release(blocks);
  EXPECT_EQ(pool.free(), 1);
  pool.Release(blocks);
  EXPECT_EQ(pool.free(), 2);
  EXPECT_EQ(pool.idle(), 0);
}

TEST(BlockPool, KeptBlocksAreTakenLastAndInTheOrderInWhichTheyBecameIdle) {
  BlockPool pool(4);
  std::vector<int32_t> evicted, blocks;
  pool.set_on_evict([&](int32_t block) { evicted.push_back(block); });
  ASSERT_TRUE(pool.Allocate(3, &blocks).ok());
  for (const int32_t block : blocks) pool.Keep(block);
  pool.Release({&blocks[1], 1});
  pool.Release({&blocks[0], 1});
  pool.Release({&blocks[2], 1});
  EXPECT_EQ(pool.free(), 4);
  EXPECT_EQ(pool.idle(), 3);
  pool.Share(blocks[0]);  // held again
  EXPECT_EQ(pool.free(), 3);
  std::vector<int32_t> taken;
  ASSERT_TRUE(pool.Allocate(1, &taken).ok());
  EXPECT_THAT(evicted, testing::IsEmpty());
  ASSERT_TRUE(pool.Allocate(2, &taken).ok());
  EXPECT_THAT(evicted, testing::ElementsAre(blocks[1], blocks[2]));
  EXPECT_FALSE(pool.kept(blocks[1]));
  EXPECT_FALSE(pool.Allocate(1, &taken).ok());
  pool.Forget(blocks[0]);
  pool.Release({&blocks[0], 1});
  EXPECT_EQ(pool.idle(), 0);
  EXPECT_EQ(pool.free(), 1);
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

TEST(Sequence, RoomThatIsClaimedIsUsedFirst) {
  BlockPool pool(4);
  Sequence sequence(&pool, 16);
  ASSERT_TRUE(sequence.Claim(40).ok());
  EXPECT_EQ(pool.free(), 1);
  EXPECT_EQ(sequence.room(), 48);
  EXPECT_THAT(sequence.blocks(), testing::IsEmpty());
  ASSERT_TRUE(sequence.Extend(17).ok());
  EXPECT_EQ(pool.free(), 1);
  EXPECT_EQ(sequence.room(), 31);
  EXPECT_EQ(sequence.blocks().size(), 2u);
  EXPECT_FALSE(sequence.Claim(80).ok());
  EXPECT_EQ(sequence.room(), 31);
}

TEST(Sequence, NeverEndsInsideOfABlockThatOthersRead) {
  BlockPool pool(4);
  Sequence first(&pool, 16), second(&pool, 16);
  ASSERT_TRUE(first.Extend(32).ok());
  second.Adopt(first.blocks());
  EXPECT_EQ(second.length(), 32);
  EXPECT_EQ(pool.free(), 2);
  second.Truncate(20);
  EXPECT_EQ(second.length(), 16);
  EXPECT_EQ(pool.holders(first.blocks()[1]), 1);
  first.Truncate(20);  // its own alone by now
  EXPECT_EQ(first.length(), 20);
  pool.Keep(first.blocks()[1]);
  first.Truncate(18);
  EXPECT_EQ(first.length(), 16);
}

TEST(Sequence, HoldsABlockWithTheSameContentsInstead) {
  BlockPool pool(2);
  Sequence first(&pool, 16), second(&pool, 16);
  ASSERT_TRUE(first.Extend(16).ok());
  ASSERT_TRUE(second.Extend(16).ok());
  second.Replace(0, first.blocks()[0]);
  EXPECT_EQ(second.Slot(3), first.Slot(3));
  EXPECT_EQ(pool.free(), 1);
  second.Replace(0, first.blocks()[0]);  // the one that it holds already
  EXPECT_EQ(pool.holders(first.blocks()[0]), 2);
}

}  // namespace
}  // namespace sluice
