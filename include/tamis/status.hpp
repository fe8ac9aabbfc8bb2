// Status and Result: how every fallible call of Tamis answers. No exceptions, no abort, no
// printing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#if defined(_WIN32)
#define TAMIS_API
#else
#define TAMIS_API __attribute__((visibility("default")))
#endif

namespace tamis {

/// The first two values are the error codes of the operators' documents.
enum class StatusCode : int32_t {
  kOk = 0,
  kUnsupported = 1,  ///< Well formed, but nothing here can run it (a level, a device, a layout).
  kNoMemory = 2,
  kDevice = 3,
  kInternal = 4,
  kNullArgument = 161001,     ///< A required argument is absent.
  kInvalidArgument = 161002,  ///< A dtype, shape, stride, length, index or attribute is wrong.
};

/// Outcome of a call. The message is one line: argument, what was expected, what came.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status Ok() { return {}; }
  bool ok() const { return code_ == StatusCode::kOk; }
  explicit operator bool() const { return ok(); }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

/// A value, or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Status& status() const { return status_; }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace tamis
