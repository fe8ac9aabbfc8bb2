// JSON from outside, event by event. nlohmann's DOM keeps the last of duplicate keys and wraps or
// rounds large integers, both silently; here a handler sees every key, and an integer beyond int64
// is an error. Parsing does not recurse, so depth is what the handler allows.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "tamis/status.hpp"

namespace tamis::tools {

struct JsonNull {};
using JsonScalar = std::variant<JsonNull, bool, int64_t, double, std::string>;

/// "a string", ...
const char* JsonTypeName(const JsonScalar& scalar);

class JsonHandler {
 public:
  virtual ~JsonHandler() = default;
  virtual Status Scalar(JsonScalar value) = 0;
  virtual Status Key(std::string name) = 0;
  virtual Status BeginObject() = 0;
  virtual Status EndObject() = 0;
  virtual Status BeginArray() = 0;
  virtual Status EndArray() = 0;
  /// What is being parsed, for complaints about its syntax: "header".
  virtual std::string Document() const = 0;
  /// Where the parser stands, for complaints about a value: "header: query".
  virtual std::string Where() const = 0;
};

/// Feeds all of `text`, which holds one value, to `handler` until it complains.
Status ParseJson(std::string_view text, JsonHandler* handler);

}  // namespace tamis::tools
