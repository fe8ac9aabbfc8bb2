// Safetensors files: a reader that trusts nothing in the file, and a writer that leaves the target
// whole or untouched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tamis/status.hpp"
#include "tamis/tensor.hpp"

namespace tamis::tools {

/// A dense row-major tensor; borrows its data.
struct StoredTensor {
  std::string name;
  DType dtype = DType::kNone;
  std::vector<int64_t> shape;
  void* data = nullptr;
  int64_t bytes = 0;

  TensorView view() const { return {data, dtype, shape}; }
};

/// A file mapped copy-on-write: the tensors may be written to, the file does not change.
class Safetensors {
 public:
  /// Refuses everything that the format does not allow, and duplicate keys, integers beyond int64,
  /// overlaps (but of empty tensors), holes and unaligned data. The message names the file.
  static Result<Safetensors> Open(const std::string& path);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// In the order of the header.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  /// Keeps the mapping alive.
  std::shared_ptr<void> mapping() const { return mapping_; }

 private:
  std::shared_ptr<void> mapping_;
  std::map<std::string, std::string> metadata_;
  std::vector<StoredTensor> tensors_;
};

/// What stands in a header: name, dtype, shape and byte range of every tensor, in order.
struct SafetensorsHeader {
  struct Entry {
    std::string name;
    DType dtype = DType::kNone;
    std::vector<int64_t> shape;
    int64_t begin = 0;
    int64_t end = 0;
  };
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;
};

/// Parses the JSON of a header and checks it against the bytes of data that follow, `data_offset`
/// bytes into the file.
Status ParseSafetensorsHeader(std::string_view json, int64_t data_offset, int64_t data_bytes,
                              SafetensorsHeader* header);

/// Bytes done and bytes in all.
using WriteProgress = std::function<void(int64_t done, int64_t total)>;

/// Whether `path` may be replaced by a file: asked before long work. A device or a pipe may not.
Status CheckWritable(const std::string& path);

/// Writes beside `path` and renames: `path` is whole or as before. Data is aligned to 64 bytes as
/// far as sizes allow, to its element size always: tensors are laid out by falling element size.
Status WriteSafetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                        const std::vector<StoredTensor>& tensors,
                        const WriteProgress& progress = {});

}  // namespace tamis::tools
