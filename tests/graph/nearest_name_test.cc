// Which known name an unknown one may mean.
#include "graph/nearest_name.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

const std::vector<absl::string_view> kOps = {"matmul", "add", "silu", "softmax", "rms_norm"};

TEST(NearestName, IsAFewEditsAway) {
  EXPECT_EQ(NearestName("matmull", kOps), "matmul");  // one too many
  EXPECT_EQ(NearestName("mtmul", kOps), "matmul");    // one left out
  EXPECT_EQ(NearestName("matnul", kOps), "matmul");   // another
  EXPECT_EQ(NearestName("amtmul", kOps), "matmul");   // swapped: one edit
  EXPECT_EQ(NearestName("dad", kOps), "add");
  EXPECT_EQ(NearestName("RMS_Norm", kOps), "rms_norm");
}

TEST(NearestName, IsNoneFarAway) {
  EXPECT_EQ(NearestName("convolution", kOps), "");
  EXPECT_EQ(NearestName("", kOps), "");
  EXPECT_EQ(NearestName("x", kOps), "");
  EXPECT_EQ(NearestName(std::string(100000, 'a'), kOps), "");  // and cheap
  EXPECT_EQ(NearestName("add", {}), "");
}

TEST(NearestName, OfSeveralTheNearestAndThenTheFirst) {
  EXPECT_EQ(NearestName("fuse_qk", {"fuse_gu", "fuse_qkv", "fuse_q"}), "fuse_qkv");
  EXPECT_EQ(DidYouMean("silo", kOps), "; did you mean 'silu'?");
  EXPECT_EQ(DidYouMean("convolution", kOps), "");
}

}  // namespace
}  // namespace sluice
