#include "tools/tamis/strict_json.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/errors.h"

namespace tamis::tools {
namespace {

// Passes the events on and keeps the first complaint.
class Adapter final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Adapter(JsonHandler* handler) : handler_(handler) {}

  bool null() override { return Take(handler_->Scalar(JsonNull{})); }
  bool boolean(bool value) override { return Take(handler_->Scalar(value)); }
  bool number_integer(number_integer_t value) override {
    return Take(handler_->Scalar(static_cast<int64_t>(value)));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return BeyondInt64(std::to_string(value));
    return Take(handler_->Scalar(static_cast<int64_t>(value)));
  }
  bool number_float(number_float_t value, const string_t& text) override {
    // The lexer gives integers beyond 64 bits as numbers.
    if (text.find_first_of(".eE") == string_t::npos) return BeyondInt64(text);
    return Take(handler_->Scalar(value));
  }
  bool string(string_t& value) override { return Take(handler_->Scalar(std::move(value))); }
  bool binary(binary_t&) override {
    return Take(base::Invalid(handler_->Document(), "JSON", "binary data"));
  }
  bool start_object(std::size_t) override { return Take(handler_->BeginObject()); }
  bool key(string_t& name) override { return Take(handler_->Key(std::move(name))); }
  bool end_object() override { return Take(handler_->EndObject()); }
  bool start_array(std::size_t) override { return Take(handler_->BeginArray()); }
  bool end_array() override { return Take(handler_->EndArray()); }
  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::detail::exception& error) override {
    std::string_view text = error.what();
    if (const size_t tag = text.find("] "); tag != std::string_view::npos)
      text.remove_prefix(tag + 2);
    return Take(base::Invalid(handler_->Document(), "JSON", text));
  }

  Status& status() { return status_; }

 private:
  bool Take(Status status) {
    if (status.ok()) return true;
    status_ = std::move(status);
    return false;
  }
  bool BeyondInt64(const std::string& text) {
    return Take(base::Invalid(handler_->Where(), "integers within int64", text));
  }

  JsonHandler* handler_;
  Status status_;
};

}  // namespace

const char* JsonTypeName(const JsonScalar& scalar) {
  static constexpr const char* kNames[] = {"null", "a boolean", "an integer", "a number",
                                           "a string"};
  return kNames[scalar.index()];
}

Status ParseJson(std::string_view text, JsonHandler* handler) {
  Adapter adapter(handler);
  const bool complete = nlohmann::json::sax_parse(text, &adapter);
  if (!complete && adapter.status().ok())
    return base::Invalid(handler->Document(), "JSON", "something else");
  return adapter.status();
}

}  // namespace tamis::tools
