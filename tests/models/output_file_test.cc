// Where files are written to: every kind of target, and what is left of the old one.
#include "models/files/output_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>

#include "absl/strings/str_cat.h"
#include "models/files/gguf_writer.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uid_t kStranger = 12345;

class OutputFileTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(folder_);
    fs::permissions(folder_, fs::perms::all);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string Path(absl::string_view name) const { return absl::StrCat(folder_, "/", name); }
  std::string Put(absl::string_view name, absl::string_view content) const {
    std::ofstream(Path(name), std::ios::binary) << content;
    return Path(name);
  }
  static std::string Read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // Everything in the folder.
  std::set<std::string> Names() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }

  static absl::Status WriteTo(const std::string& path, absl::string_view text,
                              OutputOptions options = {}) {
    auto file = OutputFile::Open(path, std::move(options));
    if (!file.ok()) return file.status();
    if (absl::Status status = (*file)->Write(text); !status.ok()) return status;
    return (*file)->Commit();
  }
  // The message of an Open() that must fail.
  static std::string Refusal(const std::string& path, OutputOptions options = {}) {
    const auto file = OutputFile::Open(path, std::move(options));
    EXPECT_FALSE(file.ok()) << path;
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(path));
    return std::string(file.status().message());
  }

  // What `work` returns in a process of its own, or which signal ended it.
  static std::string InChild(const std::function<std::string()>& work) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      const std::string answer = work();
      const auto written = write(ends[1], answer.data(), answer.size());
      _exit(written == static_cast<ssize_t>(answer.size()) ? 0 : 1);
    }
    close(ends[1]);
    std::string answer(1 << 12, '\0');
    const ssize_t length = read(ends[0], answer.data(), answer.size());
    answer.resize(static_cast<size_t>(std::max<ssize_t>(length, 0)));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? absl::StrCat("signal ", WTERMSIG(status)) : answer;
  }
  // As a user who is not root.
  static std::string AsStranger(const std::function<std::string()>& work) {
    return InChild([&work]() -> std::string {
      if (geteuid() == 0 && (setgid(kStranger) != 0 || setuid(kStranger) != 0)) return "no setuid";
      return work();
    });
  }
  static std::string Message(const absl::Status& status) {
    return status.ok() ? "ok" : std::string(status.message());
  }
  static bool IsRoot() { return geteuid() == 0; }

  const std::string folder_ = absl::StrCat(testing::TempDir(), "sluice.output_file.", getpid());
};

TEST_F(OutputFileTest, StandsUnderItsNameWhenItIsCommitted) {
  for (const bool replaces : {false, true}) {
    if (replaces) Put("out", "the old one");
    auto file = OutputFile::Open(Path("out")).value();
    ASSERT_TRUE(file->Write("new ").ok());
    EXPECT_EQ(Read(Path("out")), replaces ? "the old one" : "");
    ASSERT_TRUE(file->Write("contents").ok());
    ASSERT_EQ(file->Commit(), absl::OkStatus());
    EXPECT_EQ(Read(Path("out")), "new contents");
    file.reset();
    EXPECT_THAT(Names(), ElementsAre("out"));
    fs::remove(Path("out"));
  }
}

TEST_F(OutputFileTest, WhatIsNotCommittedIsGone) {
  Put("old", "as it was");
  for (const char* name : {"old", "new"}) {
    auto file = OutputFile::Open(Path(name)).value();
    ASSERT_TRUE(file->Write("half").ok());
  }
  EXPECT_THAT(Names(), ElementsAre("old"));
  EXPECT_EQ(Read(Path("old")), "as it was");
}

TEST_F(OutputFileTest, RefusesWhatIsNoPlaceForAFile) {
  fs::create_directory(Path("folder"));
  Put("file", "");
  EXPECT_THAT(Refusal(Path("folder")), HasSubstr("is a folder, expected the name of a file"));
  EXPECT_THAT(Refusal(Path("new/")), HasSubstr("expected the name of a file"));
  EXPECT_THAT(Refusal(Path("missing/out")),
              AllOf(HasSubstr("cannot open its folder"), HasSubstr("No such file or directory")));
  EXPECT_THAT(Refusal(Path("file/out")), HasSubstr("Not a directory"));
  EXPECT_THAT(Refusal(Path(std::string(300, 'n'))), HasSubstr("File name too long"));
  EXPECT_THAT(Refusal(""), HasSubstr("expected the name of a file"));
  EXPECT_THAT(Names(), ElementsAre("file", "folder"));
  // As long as names may be.
  EXPECT_EQ(WriteTo(Path(std::string(255, 'n')), "x"), absl::OkStatus());
  EXPECT_EQ(WriteTo(Path(std::string(255, 'n')), "y"), absl::OkStatus());
}

TEST_F(OutputFileTest, RefusesWithoutPermission) {
  fs::create_directory(Path("closed"));
  fs::permissions(Path("closed"), fs::perms(0555));
  fs::permissions(Put("closed/file", "old"), fs::perms(0666));
  fs::permissions(Put("read-only", "old"), fs::perms(0444));
  const auto error_of = [this](const char* name) {
    return AsStranger([path = Path(name)] { return Message(OutputFile::Open(path).status()); });
  };
  EXPECT_THAT(error_of("closed/new"), AllOf(HasSubstr("openat"), HasSubstr("Permission denied")));
  EXPECT_THAT(error_of("closed/file"), HasSubstr("Permission denied"));
  EXPECT_THAT(error_of("read-only"), AllOf(HasSubstr("write"), HasSubstr("Permission denied")));
  EXPECT_EQ(Read(Path("read-only")), "old");
}

TEST_F(OutputFileTest, AFolderThatMayNotBeReadWillDo) {
  fs::create_directory(Path("blind"));
  fs::permissions(Path("blind"), fs::perms(0333));
  EXPECT_EQ(AsStranger([path = Path("blind/out")] { return Message(WriteTo(path, "new")); }), "ok");
  fs::permissions(Path("blind"), fs::perms(0777));
  EXPECT_EQ(Read(Path("blind/out")), "new");
}

TEST_F(OutputFileTest, KeepsModeAndOwner) {
  const std::string path = Put("out", "old");
  fs::permissions(path, fs::perms(0640));
  if (IsRoot()) {
    ASSERT_EQ(chown(path.c_str(), kStranger, kStranger + 1), 0);
  }
  ASSERT_EQ(WriteTo(path, "new"), absl::OkStatus());
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
  if (IsRoot()) {
    EXPECT_EQ(info.st_uid, kStranger);
    EXPECT_EQ(info.st_gid, kStranger + 1);
  }
  const mode_t mask = umask(027);
  ASSERT_EQ(WriteTo(Path("new"), "new"), absl::OkStatus());
  umask(mask);
  ASSERT_EQ(stat(Path("new").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
}

TEST_F(OutputFileTest, RefusesAnOwnerThatItCannotKeep) {
  if (!IsRoot()) GTEST_SKIP() << "only root can make files of others";
  fs::permissions(Put("roots", "old"), fs::perms(0666));
  const std::string error =
      AsStranger([path = Path("roots")] { return Message(OutputFile::Open(path).status()); });
  EXPECT_THAT(error, AllOf(HasSubstr("same owner, user 0 and group 0"), HasSubstr("fchown")));
  EXPECT_EQ(Read(Path("roots")), "old");
  EXPECT_THAT(Names(), ElementsAre("roots"));
}

TEST_F(OutputFileTest, SymlinksStayAndLeadToTheNewFile) {
  fs::create_directory(Path("far"));
  Put("far/file", "old");
  fs::create_symlink("far/file", Path("relative"));
  fs::create_symlink(Path("relative"), Path("absolute"));
  fs::create_symlink("far/none", Path("dangling"));
  fs::create_symlink("loop", Path("loop"));
  fs::create_symlink("far", Path("to-folder"));
  fs::create_symlink("missing/file", Path("to-missing"));

  ASSERT_EQ(WriteTo(Path("absolute"), "new"), absl::OkStatus());
  EXPECT_EQ(Read(Path("far/file")), "new");
  ASSERT_EQ(WriteTo(Path("dangling"), "newer"), absl::OkStatus());
  EXPECT_EQ(Read(Path("far/none")), "newer");
  for (const char* name : {"relative", "absolute", "dangling"}) {
    EXPECT_TRUE(fs::is_symlink(Path(name))) << name;
  }
  EXPECT_THAT(Refusal(Path("loop")), HasSubstr("symbolic links"));
  EXPECT_THAT(Refusal(Path("to-folder")), HasSubstr("is a folder"));
  EXPECT_THAT(Refusal(Path("to-missing")), HasSubstr("cannot open its folder"));
}

TEST_F(OutputFileTest, RefusesItsInputsUnderAnyName) {
  const std::string input = Put("input", "weights");
  fs::create_hard_link(input, Path("hard"));
  fs::create_symlink("input", Path("soft"));
  for (const char* name : {"input", "hard", "soft"}) {
    EXPECT_THAT(Refusal(Path(name), {.inputs = {"/no/such", input}}),
                HasSubstr("is the input, too: the output must be another file"));
  }
  EXPECT_EQ(WriteTo(Path("other"), "x", {.inputs = {input}}), absl::OkStatus());
  EXPECT_EQ(Read(input), "weights");
}

TEST_F(OutputFileTest, FifosGetTheBytesAndStay) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0666), 0);
  const FileDescriptor reader(open(Path("fifo").c_str(), O_RDONLY | O_NONBLOCK));
  const std::string text(5000, 'x');
  ASSERT_EQ(WriteTo(Path("fifo"), text, {.bytes = 5000}), absl::OkStatus());
  std::string got(6000, '\0');
  EXPECT_EQ(read(reader.get(), got.data(), got.size()), 5000);
  EXPECT_TRUE(fs::is_fifo(Path("fifo")));
  EXPECT_THAT(Refusal(Path("fifo"), {.needs_file = "it is read again"}),
              HasSubstr("is a FIFO, expected the name of a regular file: it is read again"));
  EXPECT_THAT(Names(), ElementsAre("fifo"));
}

TEST_F(OutputFileTest, AReaderThatLeavesIsAnError) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0666), 0);
  const std::string error = InChild([path = Path("fifo")] {
    FileDescriptor reader(open(path.c_str(), O_RDONLY | O_NONBLOCK));
    auto file = OutputFile::Open(path).value();
    reader.Close();
    return Message(file->Write("anybody?"));
  });
  EXPECT_THAT(
      error, AllOf(HasSubstr("fifo: cannot write 8 bytes at 0 (write)"), HasSubstr("Broken pipe")));
}

TEST_F(OutputFileTest, AModelThroughAFifoIsTheSameAsInAFile) {
  GgufWriter writer;
  writer.SetString("general.name", "piped");
  writer.AddTensor("hole", DType::kF32, {300});
  writer.AddTensor("ones", DType::kQ8_0, {2, 32}, [](absl::Span<std::byte> data) {
    std::fill(data.begin(), data.end(), std::byte{1});
    return absl::OkStatus();
  });
  writer.AddTensor("hole too", DType::kF32, {3});
  ASSERT_EQ(writer.Write(Path("file")), absl::OkStatus());
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0666), 0);
  const FileDescriptor reader(open(Path("fifo").c_str(), O_RDONLY | O_NONBLOCK));
  ASSERT_EQ(writer.Write(Path("fifo")), absl::OkStatus());
  std::string got(1 << 16, '\0');
  got.resize(static_cast<size_t>(std::max<ssize_t>(read(reader.get(), got.data(), got.size()), 0)));
  EXPECT_EQ(got, Read(Path("file")));
}

TEST_F(OutputFileTest, DevicesGetTheBytesAndStay) {
  // Twins of null and full, since a mistake must not cost the real ones.
  if (mknod(Path("null").c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0 ||
      mknod(Path("full").c_str(), S_IFCHR | 0666, makedev(1, 7)) != 0 ||
      mknod(Path("block").c_str(), S_IFBLK | 0666, makedev(7, 0)) != 0) {
    GTEST_SKIP() << "devices cannot be made here: " << std::strerror(errno);
  }
  if (!FileDescriptor(open(Path("null").c_str(), O_WRONLY)).is_open()) {
    GTEST_SKIP() << "devices do not work here: " << std::strerror(errno);
  }
  EXPECT_EQ(WriteTo(Path("null"), "nothing"), absl::OkStatus());
  EXPECT_THAT(Message(WriteTo(Path("full"), "too much")),
              AllOf(HasSubstr("full: cannot write 8 bytes at 0"), HasSubstr("No space left")));
  EXPECT_TRUE(fs::is_character_file(Path("null")));
  EXPECT_TRUE(fs::is_character_file(Path("full")));
  EXPECT_THAT(Refusal(Path("block")), HasSubstr("is a block device"));
  EXPECT_TRUE(fs::is_block_file(Path("block")));
  EXPECT_THAT(Refusal(Path("null"), {.needs_file = "it is read again"}), HasSubstr("a device"));
}

TEST_F(OutputFileTest, NeverTouchesFilesOfOthers) {
  const std::string number(16, 'a');
  const std::set<std::string> theirs = {"out.partial", ".out.sluice-1.partial",
                                        ".out.sluice-" + number,
                                        ".else.sluice-" + number + ".partial"};
  for (const std::string& name : theirs) Put(name, "mine");
  fs::create_symlink(Path("out.partial"), Path(".out.sluice-" + number + ".partial"));
  ASSERT_EQ(WriteTo(Path("out"), "new"), absl::OkStatus());
  ASSERT_EQ(WriteTo(Path("out"), "newer"), absl::OkStatus());
  for (const std::string& name : theirs) EXPECT_EQ(Read(Path(name)), "mine") << name;
  EXPECT_TRUE(fs::is_symlink(Path(".out.sluice-" + number + ".partial")));
}

TEST_F(OutputFileTest, RemovesWhatAKilledWriterLeftAndNobodyHolds) {
  const std::string left = Put(".out.sluice-0123456789abcdef.partial", "half");
  const std::string held = Put(".out.sluice-fedcba9876543210.partial", "half");
  const FileDescriptor holder(open(held.c_str(), O_RDONLY));
  ASSERT_EQ(flock(holder.get(), LOCK_EX), 0);
  ASSERT_EQ(WriteTo(Path("out"), "new"), absl::OkStatus());
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(held));
}

TEST_F(OutputFileTest, OfTwoWritersTheLastOneWins) {
  for (const bool replaces : {false, true}) {
    if (replaces) Put("out", "old");
    auto first = OutputFile::Open(Path("out")).value();
    auto second = OutputFile::Open(Path("out")).value();
    ASSERT_TRUE(first->Write("first").ok());
    ASSERT_TRUE(second->Write("second, longer").ok());
    ASSERT_EQ(second->Commit(), absl::OkStatus());
    EXPECT_EQ(Read(Path("out")), "second, longer");
    ASSERT_EQ(first->Commit(), absl::OkStatus());
    EXPECT_EQ(Read(Path("out")), "first");
    EXPECT_THAT(Names(), ElementsAre("out"));
    fs::remove(Path("out"));
  }
}

TEST_F(OutputFileTest, WhatHasBecomeNoFileMeanwhileStays) {
  for (const bool existed : {false, true}) {
    if (existed) Put("out", "old");
    auto file = OutputFile::Open(Path("out")).value();
    ASSERT_TRUE(file->Write("new").ok());
    fs::remove(Path("out"));
    ASSERT_EQ(mkfifo(Path("out").c_str(), 0666), 0);
    EXPECT_THAT(Message(file->Commit()), HasSubstr("out: is no regular file any more"));
    file.reset();
    EXPECT_TRUE(fs::is_fifo(Path("out")));
    EXPECT_THAT(Names(), ElementsAre("out"));
    fs::remove(Path("out"));
  }
}

TEST_F(OutputFileTest, LimitsOnFileSizesAreErrorsWithSizes) {
  Put("out", "old");
  const auto with_limit = [this](OutputOptions options) {
    return InChild([path = Path("out"), options] {
      const rlimit limit = {1000, 1000};
      setrlimit(RLIMIT_FSIZE, &limit);
      return Message(WriteTo(path, std::string(3000, 'x'), options));
    });
  };
  EXPECT_THAT(with_limit({.bytes = 3000}),
              AllOf(HasSubstr("out: the file needs 3000 bytes"), HasSubstr("is 1000 bytes")));
  EXPECT_THAT(with_limit({}), AllOf(HasSubstr("out: cannot write 2000 bytes at 1000"),
                                    HasSubstr("(ulimit -f) is 1000 bytes (write)")));
  EXPECT_EQ(Read(Path("out")), "old");
  EXPECT_THAT(Names(), ElementsAre("out"));
}

TEST_F(OutputFileTest, TooLittleDiskIsSaidBefore) {
  EXPECT_THAT(Refusal(Path("out"), {.bytes = 5 << 20, .available = 1000}),
              HasSubstr("out: the file needs 5242880 bytes (0.00 GiB), the disk has 1000 bytes"));
  const auto sparse =
      OutputFile::Open(Path("out"), {.bytes = 5 << 20, .holes = 5 << 20, .available = 1000});
  EXPECT_TRUE(sparse.ok()) << sparse.status();
}

// Where we may mount: a disk that is full, and a file that is a mount point.
class Mounted : public OutputFileTest {
 protected:
  std::string InOwnMounts(const std::function<std::string()>& work) const {
    return InChild([&]() -> std::string {
      if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) ||
          mount("none", folder_.c_str(), "tmpfs", 0, "size=64k") != 0) {
        return "skip";
      }
      return work();
    });
  }
};

TEST_F(Mounted, AFullDiskIsAnErrorWithSizes) {
  const std::string answer = InOwnMounts([this] {
    Put("out", "old");
    std::string errors = Message(WriteTo(Path("out"), "x", {.bytes = 1 << 17}));
    absl::StrAppend(&errors, "\n", Message(WriteTo(Path("out"), std::string(1 << 17, 'x'))));
    absl::StrAppend(&errors, "\n", Read(Path("out")), Names().size());
    return errors;
  });
  if (answer == "skip") GTEST_SKIP() << "nothing can be mounted here";
  EXPECT_THAT(answer, HasSubstr("out: the file needs 131072 bytes, the disk has 61440 bytes left"));
  EXPECT_THAT(answer, HasSubstr("at 61440, the disk has 0 bytes left (write): No space left"));
  EXPECT_THAT(answer, testing::EndsWith("\nold1"));
}

TEST_F(Mounted, AMountPointIsRefusedBefore) {
  const std::string answer = InOwnMounts([this]() -> std::string {
    const std::string from = Put("from", "old"), to = Put("to", "");
    if (mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) != 0) return "skip";
    return Message(OutputFile::Open(to).status());
  });
  if (answer == "skip") GTEST_SKIP() << "nothing can be mounted here";
  EXPECT_THAT(answer, HasSubstr("to: is a mount point"));
}

TEST_F(OutputFileTest, HolesReadAsZerosAndLengthsMustBeKept) {
  auto file = OutputFile::Open(Path("out"), {.bytes = 12}).value();
  ASSERT_TRUE(file->Skip(3).ok());
  ASSERT_TRUE(file->Write("12345").ok());
  EXPECT_EQ(file->Commit().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(Names().empty());
  ASSERT_TRUE(file->Skip(4).ok());
  const auto map = file->Map().value();
  EXPECT_EQ(map->path(), Path("out"));
  ASSERT_EQ(file->Commit(), absl::OkStatus());
  EXPECT_EQ(Read(Path("out")), std::string("\0\0\00012345\0\0\0\0", 12));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(map->bytes().data()), 12), Read(Path("out")));
}

}  // namespace
}  // namespace sluice
