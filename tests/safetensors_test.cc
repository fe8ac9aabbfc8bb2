// The safetensors reader against damaged files, byte by byte, and the writer.
#include "tools/tamis/safetensors.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace tamis::tools {
namespace {

std::string PathOf(const std::string& name) {
  const auto* info = testing::UnitTest::GetInstance()->current_test_info();
  return testing::TempDir() + info->test_suite_name() + "." + info->name() + "." + name;
}

void WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.good());
}

std::string ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

std::string Length(uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

// A file of this header, padded to 8 bytes, and `data_bytes` bytes of data.
std::string FileOf(std::string header, size_t data_bytes) {
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return Length(header.size()) + header + std::string(data_bytes, '\1');
}

Result<Safetensors> Open(const std::string& bytes) {
  const std::string path = PathOf("file");
  WriteBytes(path, bytes);
  Result<Safetensors> file = Safetensors::Open(path);
  std::filesystem::remove(path);
  return file;
}

// Refused, with a complaint about the file that says `complaint`.
void ExpectRefused(const std::string& bytes, const std::string& complaint) {
  const Result<Safetensors> file = Open(bytes);
  ASSERT_FALSE(file.ok()) << "expected: " << complaint;
  EXPECT_EQ(file.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(file.status().message().find(complaint), std::string::npos) << file.status().message();
  EXPECT_NE(file.status().message().find(PathOf("file")), std::string::npos);
}

std::string Tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

std::string OneTensor(const std::string& dtype, const std::string& shape,
                      const std::string& offsets) {
  return "{" + Tensor("x", dtype, shape, offsets) + "}";
}

TEST(SafetensorsReader, ReadsTensorsAndMetadata) {
  const Result<Safetensors> file =
      Open(FileOf("{\"__metadata__\":{\"a\":\"b\"}," + Tensor("x", "F32", "[2,1]", "[0,8]") + "," +
                      Tensor("y", "BOOL", "[3]", "[8,11]") + "}",
                  11));
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->metadata().at("a"), "b");
  ASSERT_EQ(file->tensors().size(), 2u);
  EXPECT_EQ(file->tensors()[0].name, "x");
  EXPECT_EQ(file->tensors()[0].dtype, DType::kFloat32);
  EXPECT_EQ(file->tensors()[0].shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(file->tensors()[1].dtype, DType::kBool);
  EXPECT_EQ(static_cast<const char*>(file->tensors()[1].data)[2], '\1');
}

TEST(SafetensorsReader, KnowsNineDtypes) {
  const std::pair<const char*, int> kDTypes[] = {{"F16", 2}, {"BF16", 2}, {"F32", 4},
                                                 {"F64", 8}, {"I8", 1},   {"U8", 1},
                                                 {"I32", 4}, {"I64", 8},  {"BOOL", 1}};
  for (const auto& [name, size] : kDTypes) {
    const auto bytes = static_cast<size_t>(size) * 3;
    const Result<Safetensors> file =
        Open(FileOf(OneTensor(name, "[3]", "[0," + std::to_string(bytes) + "]"), bytes));
    EXPECT_TRUE(file.ok()) << name << ": " << file.status().message();
  }
  for (const char* name : {"U16", "F8_E4M3", "f16", "", "C64"})
    ExpectRefused(FileOf(OneTensor(name, "[3]", "[0,6]"), 6), "expected dtype F16");
}

TEST(SafetensorsReader, MapsCopyOnWrite) {
  const std::string path = PathOf("file");
  const std::string bytes = FileOf(OneTensor("U8", "[4]", "[0,4]"), 4);
  WriteBytes(path, bytes);
  {
    const Result<Safetensors> file = Safetensors::Open(path);
    ASSERT_TRUE(file.ok());
    static_cast<char*>(file->tensors()[0].data)[0] = 'z';
  }
  EXPECT_EQ(ReadBytes(path), bytes);
  std::filesystem::remove(path);
}

TEST(SafetensorsReader, ScalarsAndEmptyTensorsAreTensors) {
  const Result<Safetensors> file = Open(FileOf("{" + Tensor("scalar", "F32", "[]", "[0,4]") + "," +
                                                   Tensor("empty", "F64", "[0,9]", "[4,4]") + "," +
                                                   Tensor("empty too", "I64", "[3,0]", "[4,4]") +
                                                   "," + Tensor("last", "U8", "[2]", "[4,6]") + "}",
                                               6));
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->tensors()[0].bytes, 4);
  EXPECT_EQ(file->tensors()[1].bytes, 0);
}

TEST(SafetensorsReader, AFileWithoutTensorsIsWhole) {
  EXPECT_TRUE(Open(FileOf("{}", 0)).ok());
  ExpectRefused(FileOf("{}", 1), "data: expected 0 bytes");
}

TEST(SafetensorsReader, RefusesFilesThatAreNone) {
  EXPECT_FALSE(Safetensors::Open(PathOf("absent")).ok());
  EXPECT_FALSE(Safetensors::Open(testing::TempDir()).ok());
  EXPECT_FALSE(Safetensors::Open("/dev/zero").ok());
  const std::string pipe = PathOf("pipe");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_FALSE(Safetensors::Open(pipe).ok());  // and does not wait for a writer
  std::filesystem::remove(pipe);
}

TEST(SafetensorsReader, RefusesFilesCutShortAnywhere) {
  const std::string whole = FileOf(OneTensor("F32", "[2]", "[0,8]"), 8);
  ASSERT_TRUE(Open(whole).ok());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes)
    EXPECT_FALSE(Open(whole.substr(0, bytes)).ok()) << bytes << " bytes";
}

TEST(SafetensorsReader, RefusesBytesAfterTheLastTensor) {
  ExpectRefused(FileOf(OneTensor("F32", "[2]", "[0,8]"), 9), "expected 8 bytes");
}

TEST(SafetensorsReader, RefusesHeaderLengthsBeyondFileAndLimit) {
  ExpectRefused(Length(17) + "{}              ", "header: expected 17 bytes");
  ExpectRefused(Length(100'000'001) + "{}", "at most 100000000 bytes");
  ExpectRefused(Length(~uint64_t{0}) + "{}", "at most 100000000 bytes");
  ExpectRefused(Length(0), "expected a JSON object");
}

TEST(SafetensorsReader, RefusesWhatIsNotAJsonObject) {
  for (const char* header : {"[]", "\"x\"", "1", " {}", "nonsense"})
    ExpectRefused(FileOf(header, 0), "expected a JSON object");
  for (const char* header : {"{", "{]", "{}{}", "{} x", "{\"x\":}", "{\"x\"}", "{'x':1}",
                             "{\"\xff\":{}}", "{\"x\": NaN}"}) {
    ExpectRefused(FileOf(header, 0), "expected ");
  }
}

TEST(SafetensorsReader, RefusesDuplicateKeysAtEveryDepth) {
  ExpectRefused(FileOf("{" + Tensor("x", "U8", "[1]", "[0,1]") + "," +
                           Tensor("x", "U8", "[1]", "[1,2]") + "}",
                       2),
                "expected every key once, got \"x\" twice");
  ExpectRefused(FileOf("{\"__metadata__\":{\"a\":\"1\",\"a\":\"1\"}}", 0), "\"a\" twice");
  ExpectRefused(FileOf("{\"__metadata__\":{},\"__metadata__\":{}}", 0), "\"__metadata__\" twice");
  ExpectRefused(FileOf("{\"x\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[],"
                       "\"data_offsets\":[0,1]}}",
                       1),
                "\"dtype\" twice");
  ExpectRefused(FileOf("{\"x\":{\"dtype\":\"U8\",\"shape\":[],\"shape\":[],"
                       "\"data_offsets\":[0,1]}}",
                       1),
                "\"shape\" twice");
  // Different spellings of one key.
  ExpectRefused(FileOf("{" + Tensor("x", "U8", "[1]", "[0,1]") + "," +
                           Tensor("\\u0078", "U8", "[1]", "[1,2]") + "}",
                       2),
                "\"x\" twice");
}

TEST(SafetensorsReader, RefusesMissingAndUnknownKeys) {
  ExpectRefused(FileOf("{\"x\":{}}", 0), "dtype, shape and data_offsets");
  ExpectRefused(FileOf("{\"x\":{\"dtype\":\"U8\",\"shape\":[0]}}", 0),
                "dtype, shape and data_offsets");
  ExpectRefused(
      FileOf("{\"x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0],\"y\":1}}", 0),
      "dtype, shape and data_offsets");
}

TEST(SafetensorsReader, RefusesValuesOfOtherTypes) {
  ExpectRefused(FileOf("{\"x\":1}", 0), "header: x: expected an object, got an integer");
  ExpectRefused(FileOf("{\"x\":null}", 0), "expected an object");
  ExpectRefused(FileOf("{\"x\":[]}", 0), "expected an object, got a list");
  ExpectRefused(FileOf("{\"__metadata__\":{\"a\":1}}", 0), "expected a string");
  ExpectRefused(FileOf("{\"__metadata__\":{\"a\":{}}}", 0), "expected a string");
  ExpectRefused(FileOf("{\"__metadata__\":{\"a\":[\"1\"]}}", 0), "expected a string");
  ExpectRefused(FileOf(OneTensor("U8", "1", "[0,1]"), 1), "expected a list of integers");
  ExpectRefused(FileOf(OneTensor("U8", "[[1]]", "[0,1]"), 1), "integers of at least 0");
  ExpectRefused(FileOf(OneTensor("U8", "[true]", "[0,1]"), 1), "integers of at least 0");
  ExpectRefused(FileOf(OneTensor("U8", "[\"1\"]", "[0,1]"), 1), "integers of at least 0");
  ExpectRefused(FileOf("{\"x\":{\"dtype\":1,\"shape\":[],\"data_offsets\":[0,1]}}", 1),
                "expected a string");
}

TEST(SafetensorsReader, RefusesNumbersThatAreNoOffsets) {
  ExpectRefused(FileOf(OneTensor("U8", "[-1]", "[0,1]"), 1), "integers of at least 0, got -1");
  ExpectRefused(FileOf(OneTensor("U8", "[1]", "[-1,0]"), 1), "integers of at least 0, got -1");
  ExpectRefused(FileOf(OneTensor("U8", "[1.0]", "[0,1]"), 1), "integers of at least 0");
  ExpectRefused(FileOf(OneTensor("U8", "[1]", "[0,1e0]"), 1), "integers of at least 0");
  ExpectRefused(FileOf(OneTensor("U8", "[1]", "[0.5,1.5]"), 1), "integers of at least 0");
  // 2^64 + 1 and 2^63: a DOM would round the one and wrap the other.
  ExpectRefused(FileOf(OneTensor("U8", "[18446744073709551617]", "[0,1]"), 1), "within int64");
  ExpectRefused(FileOf(OneTensor("U8", "[9223372036854775808]", "[0,1]"), 1), "within int64");
  ExpectRefused(FileOf(OneTensor("U8", "[1]", "[0,18446744073709551617]"), 1), "within int64");
  ExpectRefused(FileOf(OneTensor("U8", "[1]", "[0,1e999]"), 1), "expected ");
}

TEST(SafetensorsReader, RefusesOtherThanTwoOffsets) {
  for (const char* offsets : {"[]", "[0]", "[0,1,2]"})
    ExpectRefused(FileOf(OneTensor("U8", "[1]", offsets), 1), "expected two data_offsets");
}

TEST(SafetensorsReader, RefusesShapesThatOverflow) {
  ExpectRefused(FileOf(OneTensor("U8", "[4294967296,4294967296]", "[0,0]"), 0),
                "fewer than 2^63 bytes");
  ExpectRefused(FileOf(OneTensor("F64", "[2305843009213693952]", "[0,0]"), 0),
                "fewer than 2^63 bytes");
  ExpectRefused(FileOf(OneTensor("U8", "[0,4294967296,4294967296]", "[0,0]"), 0),
                "fewer than 2^63 bytes");
}

TEST(SafetensorsReader, RefusesRanksBeyondEight) {
  EXPECT_TRUE(Open(FileOf(OneTensor("U8", "[1,1,1,1,1,1,1,1]", "[0,1]"), 1)).ok());
  ExpectRefused(FileOf(OneTensor("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1), "a rank of 0 to 8");
}

TEST(SafetensorsReader, RefusesRangesThatDisagreeWithShapes) {
  ExpectRefused(FileOf(OneTensor("F32", "[2]", "[0,4]"), 4), "expected 8 bytes");
  ExpectRefused(FileOf(OneTensor("F32", "[2]", "[0,12]"), 12), "expected 8 bytes");
  ExpectRefused(FileOf(OneTensor("F32", "[2]", "[0,0]"), 0), "expected 8 bytes");
  ExpectRefused(FileOf(OneTensor("F32", "[0]", "[0,4]"), 4), "expected 0 bytes");
}

TEST(SafetensorsReader, RefusesRangesOutsideTheFile) {
  ExpectRefused(FileOf(OneTensor("F32", "[2]", "[0,8]"), 4), "a range within the 4 bytes of data");
  ExpectRefused(FileOf(OneTensor("U8", "[1]", "[9223372036854775806,9223372036854775807]"), 1),
                "a range within");
  ExpectRefused(FileOf(OneTensor("U8", "[1]", "[1,0]"), 1), "a range within");
}

TEST(SafetensorsReader, RefusesOverlapsAndHoles) {
  const auto two = [](const std::string& first, const std::string& second, size_t bytes) {
    return FileOf(
        "{" + Tensor("x", "U8", "[4]", first) + "," + Tensor("y", "U8", "[4]", second) + "}",
        bytes);
  };
  EXPECT_TRUE(Open(two("[0,4]", "[4,8]", 8)).ok());
  EXPECT_TRUE(Open(two("[4,8]", "[0,4]", 8)).ok());
  ExpectRefused(two("[0,4]", "[0,4]", 4), "an overlap");
  ExpectRefused(two("[0,4]", "[3,7]", 7), "an overlap");
  ExpectRefused(two("[0,4]", "[5,9]", 9), "a hole");
  ExpectRefused(two("[1,5]", "[5,9]", 9), "a hole");
  // An empty tensor within another.
  ExpectRefused(FileOf("{" + Tensor("x", "U8", "[4]", "[0,4]") + "," +
                           Tensor("y", "U8", "[0]", "[2,2]") + "}",
                       4),
                "expected data from byte 4 on");
}

TEST(SafetensorsReader, RefusesUnalignedData) {
  const auto after_bytes = [](const std::string& dtype, int64_t size) {
    return FileOf("{" + Tensor("x", "U8", "[1]", "[0,1]") + "," +
                      Tensor("y", dtype, "[1]", "[1," + std::to_string(1 + size) + "]") + "}",
                  static_cast<size_t>(1 + size));
  };
  ExpectRefused(after_bytes("F16", 2), "data aligned to its element size");
  ExpectRefused(after_bytes("F64", 8), "data aligned to its element size");
  EXPECT_TRUE(Open(after_bytes("I8", 1)).ok());
  // A header that does not end at a multiple of the element size.
  std::string header = OneTensor("F32", "[1]", "[0,4]");
  header.resize((header.size() + 7) / 8 * 8 + 2, ' ');
  ExpectRefused(Length(header.size()) + header + "abcd", "data aligned to its element size");
}

TEST(SafetensorsReader, RefusesDepthWithoutRecursing) {
  const std::string deep(5'000'000, '[');
  ExpectRefused(FileOf("{\"x\":" + deep, 0), "expected an object, got a list");
  ExpectRefused(FileOf("{\"x\":{\"shape\":" + deep, 0), "expected ");
  std::string objects = "{";
  for (int i = 0; i < 100'000; ++i) objects += "\"a\":{";
  ExpectRefused(FileOf(objects, 0), "expected ");
}

// --- the writer ---------------------------------------------------------------------------------

StoredTensor Stored(const std::string& name, DType dtype, std::vector<int64_t> shape, void* data,
                    int64_t bytes) {
  return {name, dtype, std::move(shape), data, bytes};
}

TEST(SafetensorsWriter, WhatItWritesReadsBackTheSame) {
  const std::string path = PathOf("file");
  uint8_t bytes[3] = {1, 2, 3};
  double doubles[2] = {0.5, -1};
  const std::map<std::string, std::string> metadata = {{"k\"ey\n", "v\\alue\t\x01 \xc3\xa4"}};
  const Status status =
      WriteSafetensors(path, metadata,
                       {Stored("bytes", DType::kUInt8, {3}, bytes, 3),
                        Stored("none", DType::kInt32, {0, 4}, nullptr, 0),
                        Stored("doubles \"d\"", DType::kFloat64, {1, 2}, doubles, 16)});
  ASSERT_TRUE(status.ok()) << status.message();
  const Result<Safetensors> file = Safetensors::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->metadata(), metadata);
  ASSERT_EQ(file->tensors().size(), 3u);
  for (const StoredTensor& tensor : file->tensors()) {
    if (tensor.name == "bytes") {
      EXPECT_EQ(std::memcmp(tensor.data, bytes, 3), 0);
      EXPECT_EQ(tensor.shape, std::vector<int64_t>{3});
    } else if (tensor.name == "none") {
      EXPECT_EQ(tensor.shape, (std::vector<int64_t>{0, 4}));
    } else {
      EXPECT_EQ(tensor.name, "doubles \"d\"");
      EXPECT_EQ(std::memcmp(tensor.data, doubles, 16), 0);
    }
  }
  std::filesystem::remove(path);
}

TEST(SafetensorsWriter, DataBeginsAtAMultipleOf64) {
  const std::string path = PathOf("file");
  for (int length = 1; length < 70; ++length) {
    uint8_t byte = 7;
    ASSERT_TRUE(WriteSafetensors(path, {},
                                 {Stored(std::string(static_cast<size_t>(length), 'n'),
                                         DType::kUInt8, {1}, &byte, 1)})
                    .ok());
    EXPECT_EQ(std::filesystem::file_size(path) % 64, 1u);
  }
  std::filesystem::remove(path);
}

TEST(SafetensorsWriter, ReplacesAFileAndLeavesNothingBeside) {
  const std::string folder = PathOf("folder");
  std::filesystem::create_directory(folder);
  const std::string path = folder + "/file";
  WriteBytes(path, "old");
  ASSERT_TRUE(WriteSafetensors(path, {}, {}).ok());
  EXPECT_TRUE(Safetensors::Open(path).ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  std::filesystem::remove_all(folder);
}

TEST(SafetensorsWriter, AWriteThatFailsLeavesTheOldFile) {
  const std::string folder = PathOf("folder");
  std::filesystem::create_directory(folder);
  const std::string path = folder + "/file";
  WriteBytes(path, "old");
  std::string data(1 << 20, 'x');
  // A limit on file sizes stands in for a full disk: the same failing write.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 4096;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status status =
      WriteSafetensors(path, {}, {Stored("x", DType::kUInt8, {1 << 20}, data.data(), 1 << 20)});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("to be written"), std::string::npos) << status.message();
  EXPECT_EQ(ReadBytes(path), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  std::filesystem::remove_all(folder);
}

TEST(SafetensorsWriter, RefusesToReplaceDevicesFoldersAndNothing) {
  EXPECT_FALSE(WriteSafetensors("/dev/null", {}, {}).ok());
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  EXPECT_FALSE(WriteSafetensors(testing::TempDir(), {}, {}).ok());
  EXPECT_FALSE(WriteSafetensors(PathOf("absent") + "/file", {}, {}).ok());
  EXPECT_FALSE(WriteSafetensors("", {}, {}).ok());
}

}  // namespace
}  // namespace tamis::tools
