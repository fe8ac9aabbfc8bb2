#include "tools/tamis/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "base/checked.h"
#include "base/contract.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "registry/json.h"
#include "tools/tamis/strict_json.h"

namespace tamis::tools {
namespace {

constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr int64_t kLengthBytes = 8;               // the header's length, little endian
constexpr int64_t kDataAlignment = 64;

struct StoredName {
  const char* text;
  DType dtype;
};
constexpr StoredName kStoredNames[] = {
    {"F16", DType::kFloat16}, {"BF16", DType::kBFloat16}, {"F32", DType::kFloat32},
    {"F64", DType::kFloat64}, {"I8", DType::kInt8},       {"U8", DType::kUInt8},
    {"I32", DType::kInt32},   {"I64", DType::kInt64},     {"BOOL", DType::kBool}};

// {name: {"dtype": string, "shape": [..], "data_offsets": [begin, end]}, "__metadata__": {..}}
class HeaderHandler final : public JsonHandler {
 public:
  explicit HeaderHandler(SafetensorsHeader* header) : header_(header) {}

  std::string Document() const override { return "header"; }
  std::string Where() const override {
    return name_.empty() || place_ == Place::kTop ? "header" : "header: " + name_;
  }

  Status Key(std::string key) override {
    if (place_ == Place::kTop) {
      if (!names_.insert(key).second) return Twice(key);
      name_ = std::move(key);
      return Status::Ok();
    }
    if (place_ == Place::kMetadata) {
      if (header_->metadata.count(key) != 0) return Twice(key);
    } else {
      const Part part = PartNamed(key);
      if (part == Part::kNone)
        return base::Invalid(Where(), "the keys dtype, shape and data_offsets", key);
      bool& seen = seen_[static_cast<int>(part)];
      if (seen) return Twice(key);
      seen = true;
      part_ = part;
    }
    key_ = std::move(key);
    return Status::Ok();
  }

  Status BeginObject() override {
    switch (place_) {
      case Place::kOutside: place_ = Place::kTop; return Status::Ok();
      case Place::kTop:
        if (name_ == "__metadata__") {
          place_ = Place::kMetadata;
        } else {
          place_ = Place::kTensor;
          part_ = Part::kNone;
          std::fill(std::begin(seen_), std::end(seen_), false);
          entry_ = {};
          entry_.name = name_;
          offsets_.clear();
        }
        return Status::Ok();
      default: return Unexpected("an object");
    }
  }

  Status EndObject() override {
    if (place_ == Place::kTensor) {
      if (!std::all_of(std::begin(seen_), std::end(seen_), [](bool seen) { return seen; }))
        return base::Invalid(Where(), "the keys dtype, shape and data_offsets", "fewer");
      entry_.begin = offsets_[0];
      entry_.end = offsets_[1];
      header_->entries.push_back(std::move(entry_));
    }
    place_ = place_ == Place::kTop ? Place::kOutside : Place::kTop;
    return Status::Ok();
  }

  Status BeginArray() override {
    if (place_ != Place::kTensor || (part_ != Part::kShape && part_ != Part::kOffsets))
      return Unexpected("a list");
    place_ = Place::kList;
    return Status::Ok();
  }

  Status EndArray() override {
    place_ = Place::kTensor;
    if (part_ == Part::kOffsets && offsets_.size() != 2)
      return base::Invalid(Where(), "two data_offsets", static_cast<int64_t>(offsets_.size()));
    return Status::Ok();
  }

  Status Scalar(JsonScalar value) override {
    if (place_ == Place::kList) return ListEntry(value);
    const auto* text = std::get_if<std::string>(&value);
    const bool wanted =
        place_ == Place::kMetadata || (place_ == Place::kTensor && part_ == Part::kDType);
    if (!wanted || text == nullptr) return Unexpected(JsonTypeName(value));
    if (place_ == Place::kMetadata) {
      header_->metadata[key_] = *text;
      return Status::Ok();
    }
    for (const StoredName& stored : kStoredNames) {
      if (*text == stored.text) entry_.dtype = stored.dtype;
    }
    if (entry_.dtype == DType::kNone)
      return base::Invalid(Where(), "dtype F16, BF16, F32, F64, I8, U8, I32, I64 or BOOL", *text);
    return Status::Ok();
  }

 private:
  enum class Place { kOutside, kTop, kMetadata, kTensor, kList };
  enum class Part { kDType, kShape, kOffsets, kNone };

  static Part PartNamed(const std::string& key) {
    if (key == "dtype") return Part::kDType;
    if (key == "shape") return Part::kShape;
    if (key == "data_offsets") return Part::kOffsets;
    return Part::kNone;
  }

  Status Twice(const std::string& key) const {
    return base::Invalid(Where(), "every key once", "\"" + key + "\" twice");
  }

  Status Unexpected(const std::string& got) const {
    switch (place_) {
      case Place::kOutside: return base::Invalid(Where(), "an object", got);
      case Place::kTop: return base::Invalid("header: " + name_, "an object", got);
      case Place::kMetadata: return base::Invalid(Where() + "." + key_, "a string", got);
      case Place::kList: return base::Invalid(Where() + "." + key_, "integers of at least 0", got);
      case Place::kTensor: break;
    }
    return base::Invalid(Where() + "." + key_,
                         part_ == Part::kDType ? "a string" : "a list of integers", got);
  }

  Status ListEntry(const JsonScalar& value) {
    const auto* integer = std::get_if<int64_t>(&value);
    if (integer == nullptr) return Unexpected(JsonTypeName(value));
    if (*integer < 0) return Unexpected(std::to_string(*integer));
    std::vector<int64_t>& list = part_ == Part::kShape ? entry_.shape : offsets_;
    list.push_back(*integer);
    if (part_ == Part::kShape && list.size() > static_cast<size_t>(kMaxRank))
      return base::Invalid(Where(), "a rank of 0 to 8", "a longer shape");
    if (part_ == Part::kOffsets && list.size() > 2)
      return base::Invalid(Where(), "two data_offsets", "more");
    return Status::Ok();
  }

  SafetensorsHeader* header_;
  Place place_ = Place::kOutside;
  Part part_ = Part::kNone;
  std::string name_;  // of the tensor, or __metadata__
  std::string key_;
  bool seen_[3] = {};
  SafetensorsHeader::Entry entry_;
  std::vector<int64_t> offsets_;
  std::unordered_set<std::string> names_;
};

Status CheckEntry(const SafetensorsHeader::Entry& entry, int64_t data_offset, int64_t data_bytes) {
  const std::string argument = "header: " + entry.name;
  int64_t nonzero_bytes = base::ItemSize(entry.dtype);
  bool empty = false;
  for (int64_t size : entry.shape) {
    empty = empty || size == 0;
    if (size > 0 && !base::CheckedMul(nonzero_bytes, size, &nonzero_bytes))
      return base::Invalid(argument, "fewer than 2^63 bytes",
                           "shape " + base::ShapeText(entry.shape));
  }
  const int64_t bytes = empty ? 0 : nonzero_bytes;
  const std::string range =
      "bytes " + std::to_string(entry.begin) + " to " + std::to_string(entry.end);
  if (entry.end < entry.begin || entry.end > data_bytes) {
    return base::Invalid(
        argument, "a range within the " + std::to_string(data_bytes) + " bytes of data", range);
  }
  if (entry.end - entry.begin != bytes) {
    return base::Invalid(argument,
                         std::to_string(bytes) + " bytes for " +
                             std::string(base::Name(entry.dtype)) + " " +
                             base::ShapeText(entry.shape),
                         range);
  }
  // The file is mapped at a page, so its offsets are the addresses' alignment.
  if (bytes > 0 && (data_offset + entry.begin) % base::ItemSize(entry.dtype) != 0) {
    return base::Invalid(argument, "data aligned to its element size",
                         "file offset " + std::to_string(data_offset + entry.begin));
  }
  return Status::Ok();
}

// Ranges follow each other from the first byte to the last.
Status CheckTiling(const SafetensorsHeader& header, int64_t data_bytes) {
  std::vector<const SafetensorsHeader::Entry*> order;
  for (const auto& entry : header.entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  int64_t cursor = 0;
  for (const auto* entry : order) {
    if (entry->begin != cursor) {
      return base::Invalid(
          "header: " + entry->name, "data from byte " + std::to_string(cursor) + " on",
          entry->begin < cursor ? "an overlap with the tensor before"
                                : "a hole up to byte " + std::to_string(entry->begin));
    }
    cursor = entry->end;
  }
  if (cursor != data_bytes) {
    return base::Invalid("data", std::to_string(cursor) + " bytes as the header says",
                         std::to_string(data_bytes) + " bytes");
  }
  return Status::Ok();
}

Status FileError(const std::string& path, const char* expected) {
  return base::Invalid(path, expected, std::strerror(errno));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { Close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int Close() { return fd_ < 0 ? 0 : close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

Status ReadHeader(const char* file, int64_t file_bytes, SafetensorsHeader* header,
                  int64_t* data_offset) {
  if (file_bytes < kLengthBytes) return base::Invalid("file", "at least 8 bytes", file_bytes);
  uint64_t length = 0;
  for (int i = kLengthBytes - 1; i >= 0; --i)
    length = length << 8 | static_cast<unsigned char>(file[i]);
  if (length > static_cast<uint64_t>(kMaxHeaderBytes)) {
    return base::Invalid("header", "at most 100000000 bytes", std::to_string(length) + " bytes");
  }
  const auto header_bytes = static_cast<int64_t>(length);
  if (header_bytes > file_bytes - kLengthBytes) {
    return base::Invalid("header", std::to_string(header_bytes) + " bytes",
                         "a file of " + std::to_string(file_bytes) + " bytes");
  }
  *data_offset = kLengthBytes + header_bytes;
  return ParseSafetensorsHeader({file + kLengthBytes, static_cast<size_t>(length)}, *data_offset,
                                file_bytes - *data_offset, header);
}

// --- writing ------------------------------------------------------------------------------------

const char* StoredNameOf(DType dtype) {
  for (const StoredName& stored : kStoredNames) {
    if (stored.dtype == dtype) return stored.text;
  }
  return nullptr;
}

std::string HeaderText(const std::map<std::string, std::string>& metadata,
                       const std::vector<const StoredTensor*>& order) {
  std::string json = "{";
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      if (json.back() != '{') json += ",";
      json += registry::JsonString(key) + ":" + registry::JsonString(value);
    }
    json += "}";
  }
  int64_t offset = 0;
  for (const StoredTensor* tensor : order) {
    if (json.back() != '{') json += ",";
    json += registry::JsonString(tensor->name) + ":{\"dtype\":\"" + StoredNameOf(tensor->dtype) +
            "\",\"shape\":[";
    for (size_t i = 0; i < tensor->shape.size(); ++i)
      json += (i == 0 ? "" : ",") + std::to_string(tensor->shape[i]);
    json += "],\"data_offsets\":[" + std::to_string(offset) + "," +
            std::to_string(offset + tensor->bytes) + "]}";
    offset += tensor->bytes;
  }
  json += "}";
  json.resize(static_cast<size_t>(
                  base::RoundUp(static_cast<int64_t>(json.size()) + kLengthBytes, kDataAlignment) -
                  kLengthBytes),
              ' ');
  return json;
}

class FileWriter {
 public:
  FileWriter(int fd, const std::string& path, int64_t total, const WriteProgress& progress)
      : fd_(fd), path_(path), total_(total), progress_(progress) {}

  Status Write(const void* data, int64_t bytes) {
    constexpr int64_t kPiece = 8 << 20;
    const char* at = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t written = write(fd_, at, static_cast<size_t>(std::min(bytes, kPiece)));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return FileError(path_, "to be written");
      if (written == 0) return base::Invalid(path_, "to be written", "a write of 0 bytes");
      at += written;
      bytes -= written;
      done_ += written;
      if (progress_) progress_(done_, total_);
    }
    return Status::Ok();
  }

 private:
  int fd_;
  const std::string& path_;
  int64_t total_;
  int64_t done_ = 0;
  const WriteProgress& progress_;
};

Status WriteAll(int fd, const std::string& path, const std::string& header,
                const std::vector<const StoredTensor*>& order, const WriteProgress& progress) {
  int64_t total = kLengthBytes + static_cast<int64_t>(header.size());
  for (const StoredTensor* tensor : order) total += tensor->bytes;
  FileWriter writer(fd, path, total, progress);
  unsigned char length[kLengthBytes];
  for (int i = 0; i < kLengthBytes; ++i)
    length[i] = static_cast<unsigned char>(header.size() >> (8 * i));
  TAMIS_RETURN_IF_ERROR(writer.Write(length, kLengthBytes));
  TAMIS_RETURN_IF_ERROR(writer.Write(header.data(), static_cast<int64_t>(header.size())));
  for (const StoredTensor* tensor : order)
    TAMIS_RETURN_IF_ERROR(writer.Write(tensor->data, tensor->bytes));
  return Status::Ok();
}

}  // namespace

Status ParseSafetensorsHeader(std::string_view json, int64_t data_offset, int64_t data_bytes,
                              SafetensorsHeader* header) {
  if (json.empty() || json.front() != '{')
    return base::Invalid("header", "a JSON object", "something else");
  HeaderHandler handler(header);
  TAMIS_RETURN_IF_ERROR(ParseJson(json, &handler));
  for (const auto& entry : header->entries)
    TAMIS_RETURN_IF_ERROR(CheckEntry(entry, data_offset, data_bytes));
  return CheckTiling(*header, data_bytes);
}

Result<Safetensors> Safetensors::Open(const std::string& path) {
  // Not blocking: a named pipe must not hold the reader up before fstat tells.
  Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return FileError(path, "a readable file");
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return FileError(path, "a readable file");
  if (!S_ISREG(info.st_mode)) return base::Invalid(path, "a regular file", "something else");
  const auto bytes = static_cast<int64_t>(info.st_size);
  Safetensors file;
  char* memory = nullptr;
  if (bytes > 0) {
    void* mapped = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_NORESERVE, fd.get(), 0);
    if (mapped == MAP_FAILED) return FileError(path, "a file that can be mapped");
    file.mapping_ = std::shared_ptr<void>(
        mapped, [bytes](void* at) { munmap(at, static_cast<size_t>(bytes)); });
    memory = static_cast<char*>(mapped);
  }
  SafetensorsHeader header;
  int64_t data_offset = 0;
  const Status status = ReadHeader(memory, bytes, &header, &data_offset);
  if (!status.ok()) return Status(status.code(), path + ": " + status.message());
  for (auto& entry : header.entries) {
    file.tensors_.push_back({.name = std::move(entry.name),
                             .dtype = entry.dtype,
                             .shape = std::move(entry.shape),
                             .data = memory + data_offset + entry.begin,
                             .bytes = entry.end - entry.begin});
  }
  file.metadata_ = std::move(header.metadata);
  return file;
}

Status CheckWritable(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
    return base::Invalid(path, "a regular file to replace", "something else");
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (path.empty() || access(folder.c_str(), W_OK) != 0)
    return FileError(path, "a place that can be written");
  return Status::Ok();
}

Status WriteSafetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                        const std::vector<StoredTensor>& tensors, const WriteProgress& progress) {
  std::vector<const StoredTensor*> order;
  for (const StoredTensor& tensor : tensors) {
    if (StoredNameOf(tensor.dtype) == nullptr)
      return base::Invalid(tensor.name, "a dtype that safetensors has", base::Name(tensor.dtype));
    order.push_back(&tensor);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return base::ItemSize(a->dtype) > base::ItemSize(b->dtype);
  });
  TAMIS_RETURN_IF_ERROR(CheckWritable(path));
  const std::string header = HeaderText(metadata, order);
  if (static_cast<int64_t>(header.size()) > kMaxHeaderBytes)
    return base::Invalid(path, "a header of at most 100000000 bytes",
                         static_cast<int64_t>(header.size()));
  std::string temporary = path + ".XXXXXX";
  Descriptor fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (fd.get() < 0) return FileError(path, "a place that can be written");
  Status status = WriteAll(fd.get(), path, header, order, progress);
  // mkostemp gives the owner alone access; a file that a program writes has what the umask leaves.
  const mode_t mask = umask(0);
  umask(mask);
  if (status.ok() && fchmod(fd.get(), 0666 & ~mask) != 0) status = FileError(path, "its mode set");
  if (fd.Close() != 0 && status.ok()) status = FileError(path, "to be written");
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0)
    status = FileError(path, "a place that can be written");
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

}  // namespace tamis::tools
