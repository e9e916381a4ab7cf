// GGUF values, the writer, and files as they come through the file system.
#include "models/files/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "models/files/gguf_writer.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/source_walk.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr float kInf = std::numeric_limits<float>::infinity();

// A folder of its own for each test.
class GgufFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = absl::StrCat(::testing::TempDir(), "gguf_test.XXXXXX");
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(absl::string_view name) const { return absl::StrCat(folder_, "/", name); }
  std::string Put(absl::string_view name, absl::string_view content) const {
    std::string path = Path(name);
    std::ofstream(path, std::ios::binary)
        .write(content.data(), static_cast<std::streamsize>(content.size()));
    return path;
  }

  std::string folder_;
};

// One key with the value, opened. `bytes` stays with the caller.
MetadataValue ValueOf(MetadataType type, absl::string_view payload, std::string* bytes) {
  *bytes = GgufBytes{.keys = {Key("k", type, payload)}}.Build();
  const auto file = GgufFile::FromMemory(AsBytes(*bytes), "test");
  EXPECT_TRUE(file.ok()) << file.status();
  return file.ok() ? *(*file)->Find("k") : MetadataValue();
}

template <typename T>
absl::StatusOr<int64_t> IntOf(MetadataType type, T value) {
  std::string bytes;
  return ValueOf(type, Le(value), &bytes).AsInt();
}

double FloatOf(float value) {
  std::string bytes;
  return ValueOf(MetadataType::kF32, Le(value), &bytes).AsFloat().value();
}

// Every type, as a scalar and in an array.
std::vector<std::string> KeysOfAllTypes() {
  return {
      Key("u8", MetadataType::kU8, Le(uint8_t{200})),
      Key("i8", MetadataType::kI8, Le(int8_t{-100})),
      Key("u16", MetadataType::kU16, Le(uint16_t{60000})),
      Key("i16", MetadataType::kI16, Le(int16_t{-30000})),
      Key("u32", MetadataType::kU32, Le(uint32_t{4000000000})),
      Key("i32", MetadataType::kI32, Le(int32_t{-2000000000})),
      Key("f32", MetadataType::kF32, Le(0.1F)),
      Key("bool", MetadataType::kBool, Le(uint8_t{1})),
      Key("string", MetadataType::kString, Text(absl::string_view("a\0\xFFz", 4))),
      Key("u64", MetadataType::kU64, Le(uint64_t{1} << 62)),
      Key("i64", MetadataType::kI64, Le(std::numeric_limits<int64_t>::min())),
      Key("f64", MetadataType::kF64, Le(0.1)),
      ArrayKey("u8s", MetadataType::kU8, 2, Le(uint16_t{0xFF01})),
      ArrayKey("i64s", MetadataType::kI64, 2, Le(int64_t{-1}) + Le(int64_t{7})),
      ArrayKey("f32s", MetadataType::kF32, 2, Le(-0.0F) + Le(kInf)),
      ArrayKey("bools", MetadataType::kBool, 3, absl::string_view("\1\0\1", 3)),
      ArrayKey("strings", MetadataType::kString, 3, Text("one") + Text("") + Text("\xC3\xA9")),
      ArrayKey("none", MetadataType::kString, 0, ""),
  };
}

void ExpectAllTypes(const GgufFile& file) {
  const auto value = [&file](absl::string_view key) -> const MetadataValue& {
    return *file.Find(key);
  };
  EXPECT_EQ(value("u8").AsInt().value(), 200);
  EXPECT_EQ(value("i8").AsInt().value(), -100);
  EXPECT_EQ(value("u16").AsInt().value(), 60000);
  EXPECT_EQ(value("i16").AsInt().value(), -30000);
  EXPECT_EQ(value("u32").AsInt().value(), 4000000000);
  EXPECT_EQ(value("i32").AsInt().value(), -2000000000);
  EXPECT_EQ(value("f32").AsFloat().value(), 0.1);
  EXPECT_EQ(value("bool").AsBool().value(), true);
  EXPECT_EQ(value("string").AsString().value(), absl::string_view("a\0\xFFz", 4));
  EXPECT_EQ(value("u64").AsInt().value(), int64_t{1} << 62);
  EXPECT_EQ(value("i64").AsInt().value(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(value("f64").AsFloat().value(), 0.1);
  EXPECT_THAT(value("u8s").AsInts().value(), ElementsAre(1, 255));
  EXPECT_THAT(value("i64s").AsInts().value(), ElementsAre(-1, 7));
  const std::vector<float> floats = value("f32s").AsFloats().value();
  EXPECT_THAT(floats, ElementsAre(0.0F, kInf));
  EXPECT_TRUE(std::signbit(floats[0]));
  EXPECT_EQ(value("bools").element_type(), MetadataType::kBool);
  EXPECT_EQ(value("bools").size(), 3);
  EXPECT_THAT(value("strings").AsStrings().value(), ElementsAre("one", "", "\xC3\xA9"));
  EXPECT_THAT(value("none").AsStrings().value(), IsEmpty());
  EXPECT_EQ(WalkSource(file), "");
}

TEST(MetadataValue, EveryTypeReadsInVersions2And3) {
  for (const uint32_t version : {2U, 3U}) {
    const std::string bytes = GgufBytes{.version = version, .keys = KeysOfAllTypes()}.Build();
    const auto file = GgufFile::FromMemory(AsBytes(bytes), "all types");
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ((*file)->version(), version);
    EXPECT_EQ((*file)->metadata().size(), KeysOfAllTypes().size());
    EXPECT_EQ((*file)->metadata()[3].first, "i16");
    EXPECT_EQ((*file)->Find("absent"), nullptr);
    ExpectAllTypes(**file);
  }
}

TEST(MetadataValue, IntegersThatDoNotFitAreErrors) {
  EXPECT_EQ(IntOf(MetadataType::kU64, std::numeric_limits<int64_t>::max()).value(),
            std::numeric_limits<int64_t>::max());
  EXPECT_THAT(std::string(IntOf(MetadataType::kU64, uint64_t{1} << 63).status().message()),
              HasSubstr("9223372036854775808 is out of range"));
  std::string bytes;
  const MetadataValue array = ValueOf(
      MetadataType::kArray,
      Le(MetadataType::kU64) + Le(uint64_t{2}) + Le(uint64_t{1}) + Le(~uint64_t{0}), &bytes);
  EXPECT_THAT(std::string(array.AsInts().status().message()),
              HasSubstr("element 1 is 18446744073709551615, out of range"));
}

TEST(MetadataValue, WrongTypesNameBoth) {
  std::string bytes;
  const MetadataValue text = ValueOf(MetadataType::kString, Text("x"), &bytes);
  EXPECT_EQ(text.AsInt().status(),
            absl::InvalidArgumentError("wrong value type: expected an integer, got string"));
  EXPECT_EQ(text.AsFloat().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(text.AsBool().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(text.AsInts().status().code(), absl::StatusCode::kInvalidArgument);
  std::string more;
  const MetadataValue array =
      ValueOf(MetadataType::kArray, Le(MetadataType::kF64) + Le(uint64_t{1}) + Le(1.0), &more);
  EXPECT_EQ(
      array.AsFloats().status(),
      absl::InvalidArgumentError("wrong value type: expected an array of f32, got array of f64"));
  EXPECT_FALSE(array.AsStrings().ok());
  EXPECT_FALSE(array.AsString().ok());
}

TEST(MetadataValue, F32ReadsAsItsShortestDecimal) {
  EXPECT_EQ(FloatOf(1e-6F), 1e-6);
  EXPECT_EQ(FloatOf(0.3F), 0.3);
  EXPECT_EQ(FloatOf(1e6F), 1e6);
  EXPECT_EQ(FloatOf(-0.707F), -0.707);
  EXPECT_EQ(FloatOf(0.0F), 0.0);
  EXPECT_TRUE(std::signbit(FloatOf(-0.0F)));
  EXPECT_TRUE(std::isnan(FloatOf(std::nanf(""))));
  EXPECT_EQ(FloatOf(-kInf), -static_cast<double>(kInf));
  for (const float value : {1e-45F, 1.17549435e-38F, 3.40282347e38F, 0.1F, 16777217.0F}) {
    EXPECT_EQ(static_cast<float>(FloatOf(value)), value);
  }
}

TEST(Printable, EscapesWhatATerminalActsOn) {
  EXPECT_EQ(Printable("blk.0.attn_q.weight"), "blk.0.attn_q.weight");
  EXPECT_EQ(Printable("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"),
            "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  EXPECT_EQ(Printable("a\x1B[31m\n\x7F"), "a\\x1B[31m\\x0A\\x7F");
  EXPECT_EQ(Printable(absl::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(Printable("\xC2\x9B"), "\\xC2\\x9B");           // C1: the one-character CSI
  EXPECT_EQ(Printable("\xE2\x80\xA8"), "\\xE2\\x80\\xA8");  // ends a line
  EXPECT_EQ(Printable("\xE2\x80\xAE"), "\\xE2\\x80\\xAE");  // turns the rest around
  EXPECT_EQ(Printable("\xC0\xAF"), "\\xC0\\xAF");           // overlong
  EXPECT_EQ(Printable("\xED\xA0\x80"), "\\xED\\xA0\\x80");  // surrogate
  EXPECT_EQ(Printable("\xE2\x82"), "\\xE2\\x82");           // cut
  EXPECT_EQ(Printable("\xFF"
                      "a"),
            "\\xFF"
            "a");
}

TEST(Printable, EscapesWhatTurnsTheDirectionOfWriting) {
  EXPECT_EQ(Printable("\xE2\x80\xAEgnp"), "\\xE2\\x80\\xAEgnp");         // U+202E
  EXPECT_EQ(Printable("\xE2\x81\xA6"), "\\xE2\\x81\\xA6");               // U+2066
  EXPECT_EQ(Printable("\xD7\xA9\xE2\x80\x8F"), "\xD7\xA9\xE2\x80\x8F");  // Hebrew, and its mark
}

TEST(Printable, KeepsTheLinesOfTexts) {
  EXPECT_EQ(PrintableText("a\n\tb\r\x1B[0m\xFF"), "a\n\tb\\x0D\\x1B[0m\\xFF");
  EXPECT_EQ(PrintableText(std::string(100, 'x')), std::string(100, 'x'));
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(Printable("abcdef", 6), "abcdef");
  EXPECT_EQ(Printable("abcdefg", 6), "abcdef...");
  EXPECT_EQ(Printable("abcde\xC3\xA9", 6), "abcde...");
  EXPECT_EQ(Printable("\x01\x01\x01", 2), "\\x01\\x01...");
}

TEST_F(GgufFileTest, WriterRoundTripsMetadata) {
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetU32("u32", 7);
  writer.SetI32("i32", -7);
  writer.SetU64("u64", uint64_t{1} << 40);
  writer.SetF32("f32", 1e-5F);
  writer.SetBool("yes", true);
  writer.SetBool("no", false);
  writer.SetStrings("strings", {"a", "", "ccc"});
  writer.SetI32s("i32s", {1, -2, 3});
  writer.SetF32s("f32s", {0.5F, -1.5F});
  writer.SetF32s("empty", {});
  ASSERT_EQ(writer.Write(Path("m.gguf")), absl::OkStatus());

  const auto opened = GgufFile::Open(Path("m.gguf"));
  ASSERT_TRUE(opened.ok()) << opened.status();
  const GgufFile& file = **opened;
  EXPECT_EQ(WalkSource(file), "");
  EXPECT_EQ(file.path(), Path("m.gguf"));
  EXPECT_EQ(file.version(), 3U);
  EXPECT_EQ(file.metadata()[0].first, "general.architecture");
  EXPECT_EQ(file.Find("general.architecture")->AsString().value(), "llama");
  EXPECT_EQ(file.Find("u32")->AsInt().value(), 7);
  EXPECT_EQ(file.Find("i32")->AsInt().value(), -7);
  EXPECT_EQ(file.Find("u64")->AsInt().value(), int64_t{1} << 40);
  EXPECT_EQ(file.Find("f32")->AsFloat().value(), 1e-5);
  EXPECT_TRUE(file.Find("yes")->AsBool().value());
  EXPECT_FALSE(file.Find("no")->AsBool().value());
  EXPECT_THAT(file.Find("strings")->AsStrings().value(), ElementsAre("a", "", "ccc"));
  EXPECT_THAT(file.Find("i32s")->AsInts().value(), ElementsAre(1, -2, 3));
  EXPECT_THAT(file.Find("f32s")->AsFloats().value(), ElementsAre(0.5F, -1.5F));
  EXPECT_THAT(file.Find("empty")->AsFloats().value(), IsEmpty());
}

TEST_F(GgufFileTest, WriterRoundTripsTensors) {
  const std::vector<float> values = {0, 1, 2, 3, 4, 5};
  GgufWriter writer;
  writer.AddTensor("a.weight", DType::kF32, {2, 3}, [&](absl::Span<std::byte> data) {
    EXPECT_EQ(data.size(), values.size() * sizeof(float));
    std::memcpy(data.data(), values.data(), data.size());
    return absl::OkStatus();
  });
  writer.AddTensor("b.weight", DType::kQ4_K, {4, 3, 2, 512}, [](absl::Span<std::byte> data) {
    std::fill(data.begin(), data.end(), std::byte{0x5A});
    return absl::OkStatus();
  });
  for (const int64_t alignment : {8, 32, 4096}) {
    const std::string path = Path("m.gguf");
    ASSERT_EQ(writer.Write(path, {.alignment = alignment}), absl::OkStatus());
    const auto file = GgufFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(WalkSource(**file), "");
    EXPECT_EQ((*file)->alignment(), alignment);
    EXPECT_EQ((*file)->Find("general.alignment") == nullptr, alignment == 32);
    EXPECT_EQ((*file)->tensors()[1].name, "b.weight");
    EXPECT_EQ((*file)->FindTensor("c.weight"), nullptr);

    const StoredTensor* a = (*file)->FindTensor("a.weight");
    ASSERT_NE(a, nullptr);
    EXPECT_THAT(a->shape, ElementsAre(2, 3));
    const absl::Span<const std::byte> data = (*file)->Data(*a);
    ASSERT_EQ(data.size(), 24U);
    EXPECT_EQ(std::memcmp(data.data(), values.data(), data.size()), 0);
    const StoredTensor* b = (*file)->FindTensor("b.weight");
    ASSERT_NE(b, nullptr);
    EXPECT_EQ(b->dtype, DType::kQ4_K);
    EXPECT_THAT(b->shape, ElementsAre(4, 3, 2, 512));
    EXPECT_THAT((*file)->Data(*b), Each(std::byte{0x5A}));
  }
}

TEST_F(GgufFileTest, SetValueCopiesEveryType) {
  const std::string bytes = GgufBytes{.keys = KeysOfAllTypes()}.Build();
  const auto source = GgufFile::FromMemory(AsBytes(bytes), "source");
  ASSERT_TRUE(source.ok()) << source.status();
  GgufWriter writer;
  for (const auto& [key, value] : (*source)->metadata()) writer.SetValue(key, value);
  ASSERT_EQ(writer.Write(Path("copy.gguf")), absl::OkStatus());
  const auto copy = GgufFile::Open(Path("copy.gguf"));
  ASSERT_TRUE(copy.ok()) << copy.status();
  ExpectAllTypes(**copy);
}

TEST_F(GgufFileTest, TensorsWithoutFillTakeNoDiskSpace) {
  GgufWriter writer;
  writer.AddTensor("big", DType::kF32, {1 << 14, 1 << 14});
  ASSERT_EQ(writer.Write(Path("sparse.gguf")), absl::OkStatus());
  struct stat info;
  ASSERT_EQ(stat(Path("sparse.gguf").c_str(), &info), 0);
  EXPECT_GT(info.st_size, int64_t{1} << 30);
  EXPECT_LT(info.st_blocks * 512, 1 << 20);
  const auto file = GgufFile::Open(Path("sparse.gguf"));
  ASSERT_TRUE(file.ok()) << file.status();
  const absl::Span<const std::byte> data = (*file)->Data((*file)->tensors()[0]);
  EXPECT_EQ(data.size(), size_t{1} << 30);
  EXPECT_EQ(data.back(), std::byte{0});
}

TEST_F(GgufFileTest, WriterRefusesWhatTheReaderWould) {
  const auto error_of = [this](absl::FunctionRef<void(GgufWriter&)> make) {
    GgufWriter writer;
    make(writer);
    const absl::Status status = writer.Write(Path("bad.gguf"));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  const auto tensor_error = [&](std::vector<int64_t> shape) {
    return error_of([&](GgufWriter& w) { w.AddTensor("t", DType::kQ8_0, shape); });
  };
  EXPECT_THAT(error_of([](GgufWriter& w) {
                w.SetU32("k", 1);
                w.SetU32("k", 1);
              }),
              HasSubstr("key 'k': given twice"));
  EXPECT_THAT(error_of([](GgufWriter& w) {
                w.AddTensor("t", DType::kF32, {1});
                w.AddTensor("t", DType::kF32, {1});
              }),
              HasSubstr("tensor 't': given twice"));
  EXPECT_THAT(error_of([](GgufWriter& w) { w.SetU32("general.alignment", 64); }),
              HasSubstr("argument of Write()"));
  EXPECT_THAT(error_of([](GgufWriter& w) { w.SetBool("", true); }), HasSubstr("empty"));
  EXPECT_THAT(error_of([](GgufWriter& w) { w.AddTensor(std::string(64, 't'), DType::kF32, {1}); }),
              HasSubstr("too long"));
  EXPECT_THAT(tensor_error({}), HasSubstr("tensor 't': no valid shape for q8_0: []"));
  EXPECT_THAT(tensor_error({1, 1, 1, 1, 32}), HasSubstr("[1,1,1,1,32]"));
  EXPECT_THAT(tensor_error({33}), HasSubstr("[33]"));
  EXPECT_THAT(tensor_error({0, 32}), HasSubstr("[0,32]"));
  EXPECT_THAT(tensor_error({int64_t{1} << 32, int64_t{1} << 32}), HasSubstr("no valid shape"));
  EXPECT_THAT(std::string(GgufWriter().Write(Path("bad.gguf"), {.alignment = 24}).message()),
              HasSubstr("alignment 24"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(GgufFileTest, FailedWriteLeavesThePreviousFileAlone) {
  const std::string path = Put("m.gguf", "previous");
  GgufWriter writer;
  writer.AddTensor("t", DType::kF32, {1},
                   [](absl::Span<std::byte>) { return absl::DataLossError("no more numbers"); });
  EXPECT_EQ(writer.Write(path), absl::DataLossError("tensor 't': no more numbers"));
  EXPECT_EQ(std::filesystem::file_size(path), 8U);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(GgufFileTest, WriteErrorsNamePathAndCause) {
  const absl::Status status = GgufWriter().Write(Path("no/such/folder.gguf"));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("no/such/folder.gguf"), HasSubstr("No such file or directory")));
}

TEST_F(GgufFileTest, OpenNamesWhatIsNoReadableFile) {
  const auto error_of = [](const std::string& path) {
    absl::Status status = GgufFile::Open(path).status();
    EXPECT_THAT(std::string(status.message()), HasSubstr(path));
    return status;
  };
  EXPECT_EQ(error_of(Path("absent.gguf")).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(error_of(folder_).message()), HasSubstr("is a directory"));
  EXPECT_THAT(std::string(error_of(Put("empty.gguf", "")).message()), HasSubstr("file is empty"));
  ASSERT_EQ(mkfifo(Path("pipe.gguf").c_str(), 0600), 0);
  EXPECT_THAT(std::string(error_of(Path("pipe.gguf")).message()), HasSubstr("not a regular file"));
  EXPECT_THAT(std::string(error_of("/dev/null").message()), HasSubstr("not a regular file"));
}

TEST_F(GgufFileTest, UnreadableFileIsPermissionDenied) {
  if (geteuid() == 0) GTEST_SKIP() << "root reads everything";
  const std::string path = Put("secret.gguf", "GGUF");
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  EXPECT_EQ(GgufFile::Open(path).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(GgufFileTest, ShrunkFileIsNoticed) {
  GgufWriter writer;
  writer.AddTensor("t", DType::kF32, {4096});
  const std::string path = Path("m.gguf");
  ASSERT_EQ(writer.Write(path), absl::OkStatus());
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->CheckNotShrunk(), absl::OkStatus());

  // Replacing the file leaves the mapped one as it was.
  ASSERT_EQ(GgufWriter().Write(path), absl::OkStatus());
  EXPECT_EQ((*file)->CheckNotShrunk(), absl::OkStatus());
  EXPECT_EQ((*file)->Data((*file)->tensors()[0]).back(), std::byte{0});

  const auto replaced = GgufFile::Open(path);
  ASSERT_TRUE(replaced.ok()) << replaced.status();
  std::filesystem::resize_file(path, 10);
  const absl::Status status = (*replaced)->CheckNotShrunk();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(path), HasSubstr("to 10 bytes")));
}

TEST_F(GgufFileTest, StringsRewrittenWhileOpenAreDataLoss) {
  const std::string bytes =
      GgufBytes{.keys = {ArrayKey("k", MetadataType::kString, 2, Text("one") + Text("two"))}}
          .Build();
  const std::string path = Put("m.gguf", bytes);
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(static_cast<std::streamoff>(bytes.size() - 11));  // the length of "two"
  out << Le(~uint64_t{0}) << std::flush;
  EXPECT_EQ((*file)->Find("k")->AsStrings().status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace sluice
