// What a machine has left, and what sessions spend of it unless somebody says.
#include "runtime/machine_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "backends/cpu/cpu_backend.h"
#include "models/model.h"
#include "tools/engine/session.h"

namespace sluice {
namespace {

// A /proc and a /sys of its own.
class FakeMachine : public testing::Test {
 protected:
  ~FakeMachine() override { std::filesystem::remove_all(root_); }
  void Put(const std::string& path, absl::string_view content) {
    const std::filesystem::path full = root_ + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << content;
  }
  const std::string root_ = absl::StrCat(testing::TempDir(), "sluice.machine.", getpid());
};

TEST_F(FakeMachine, WithoutGroupsAllThatIsAvailableCounts) {
  EXPECT_EQ(ReadMachineMemory(root_).status().code(), absl::StatusCode::kNotFound);
  Put("/proc/meminfo", "MemTotal:  900 kB\nMemFree: 100 kB\nMemAvailable:   500 kB\n");
  const auto memory = ReadMachineMemory(root_);
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ(memory->available, 500 * 1024);
  EXPECT_EQ(memory->limited_by, "memory of the machine");
}

TEST_F(FakeMachine, TheTightestGroupCountsAndItsFilePagesAreFree) {
  Put("/proc/meminfo", "MemAvailable: 1000 kB\n");
  Put("/proc/self/cgroup", "0::/outer/inner\n");
  Put("/sys/fs/cgroup/outer/memory.max", "300000\n");
  Put("/sys/fs/cgroup/outer/memory.current", "200000\n");
  Put("/sys/fs/cgroup/outer/memory.stat", "anon 1\ninactive_file 30000\nactive_file 20000\n");
  Put("/sys/fs/cgroup/outer/inner/memory.max", "max\n");
  Put("/sys/fs/cgroup/outer/inner/memory.current", "100000\n");
  const auto memory = ReadMachineMemory(root_);
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ(memory->available, 300000 - 200000 + 50000);
  EXPECT_EQ(memory->limited_by, "control group /outer");
}

TEST_F(FakeMachine, GroupsOfVersionOneCountToo) {
  Put("/proc/meminfo", "MemAvailable: 1000 kB\n");
  Put("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:hugetlb,memory:/box\n0::/\n");
  Put("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "5000\n");
  Put("/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "4000\n");
  const auto memory = ReadMachineMemory(root_);
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ(memory->available, 1000);
}

TEST_F(FakeMachine, ProcessMemoryIsReadFromItsStatus) {
  Put("/proc/self/status", "Name:\tsluice\nVmHWM:\t    3000 kB\nVmRSS:\t    2000 kB\n");
  const auto memory = ReadProcessMemory(root_);
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ(memory->resident, 2000 * 1024);
  EXPECT_EQ(memory->peak, 3000 * 1024);
}

// The library's default is the command line's: the same kernels, and so the same text.
TEST(DefaultPrepackBytes, IsThatOfTheCommandLine) {
  const auto model = Model::LoadEmbedded();
  ASSERT_TRUE(model.ok()) << model.status();
  const auto backend = MakeCpuBackend({.threads = 1});
  const DecoderOptions options = {.max_tokens = 4, .context = 64};
  const auto bare = tools::OpenSession(**model, *backend, options, {.prepack_bytes = 0});
  const auto library = tools::OpenSession(**model, *backend, options);
  const auto command = tools::OpenSession(tools::ModelOptions{}, {.threads = 1}, {},
                                          {.context = 64, .max_tokens = 4});
  ASSERT_TRUE(bare.ok() && library.ok() && command.ok());
  const auto packed = [](Session& session) {
    const auto executable = session.ExecutableFor(1);
    EXPECT_TRUE(executable.ok()) << executable.status();
    return (*executable)->memory().packed;
  };
  EXPECT_EQ(packed(**bare), 0);
  EXPECT_GT(packed(**library), 0);
  EXPECT_EQ(packed(**library), packed(*command->session));
}

}  // namespace
}  // namespace sluice
