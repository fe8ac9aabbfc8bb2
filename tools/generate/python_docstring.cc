#include "tools/generate/python_docstring.h"

#include <algorithm>
#include <vector>

#include "registry/argument_text.h"
#include "registry/join.h"
#include "tools/describe/argument_words.h"
#include "tools/generate/fields.h"
#include "tools/generate/python_words.h"

namespace tamis::generate {
namespace {

using registry::Join;

// What every operator's docstring says alike.
constexpr const char* kHowToRun =
    R"(    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it
)";
constexpr const char* kRaises = R"(
    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
)";

// Words in lines of at most 100 columns, each behind `indent`.
std::string Wrapped(const std::string& indent, const std::string& text, size_t used = 0) {
  constexpr size_t kColumns = 100;
  std::string wrapped, line;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (!line.empty() && indent.size() + used + line.size() + 1 + word.size() > kColumns) {
      wrapped += indent + line + "\n";
      line.clear();
      used = 0;
    }
    line += (line.empty() ? "" : " ") + word;
    begin = end + 1;
  }
  return wrapped + indent + line + "\n";
}

std::string ArrayType(const Field& field) {
  const std::string dtypes = describe::DTypesText(field);
  if (IsIntegers(field)) return "array or nested sequence of " + dtypes;
  return field.dtype_as.empty() ? "array of " + dtypes : "array, dtype " + dtypes;
}

std::string TensorDoc(const Field& field, const std::string& qualifier) {
  return "    " + field.name + " : " + ArrayType(field) + qualifier + "\n" +
         Wrapped("        ", describe::ShapesText(field) + ": " + field.doc);
}

std::string AttributeDoc(const Contract& contract, const Field& field) {
  std::string type = registry::TypeName(field.type);
  if (field.type == Type::kChoice) type = "{" + PythonChoices(field) + "}";
  if (field.type == Type::kInts) type = "sequence or array of int";
  if (!field.required) {
    type +=
        field.type == Type::kInts ? ", optional" : ", default " + PythonDefault(contract, field);
  }
  return "    " + field.name + " : " + type + "\n" + Wrapped("        ", field.doc);
}

std::string OutputsDoc(const Contract& contract) {
  const std::vector<const Field*> results = Fields(contract, IsResult);
  const bool optional = std::any_of(results.begin(), results.end(),
                                    [](const Field* field) { return !field->is_required(); });
  return "    " + Join(Names(contract, IsResult, false), ", ") + " : array, optional\n" +
         Wrapped("        ",
                 std::string("where to write, never copied; None: allocated") +
                     (optional ? "; False, for what may be left out: not computed" : ""));
}

std::string ResultDoc(const Field& field) {
  std::string when;
  if (!field.wanted_by.empty()) when = ", None without `" + field.wanted_by + "`";
  if (!field.needs.empty()) {
    Lines needs;
    for (const std::string& need : field.needs) needs.push_back("`" + need + "`");
    when = ", None without " + Join(needs, " and ");
  }
  return TensorDoc(field, when);
}

}  // namespace

std::string PythonDocstring(const Contract& contract) {
  // Three more columns on the first line: its quotes.
  std::string text = Wrapped("    ", contract.summary + ".", 3).replace(4, 0, "\"\"\"");
  text += "\n" + Wrapped("    ", "Source: " + contract.source + ".") +
          "\n    Parameters\n    ----------\n";
  for (const Field* field : Fields(contract, IsPositional)) {
    text += TensorDoc(*field, IsUpdated(*field) ? ", updated in place" : "");
  }
  for (const Field* field : Fields(contract, IsRequiredAttribute))
    text += AttributeDoc(contract, *field);
  for (const Field* field : Fields(contract, IsOptionalInput))
    text += TensorDoc(*field, IsUpdated(*field) ? ", updated in place, optional" : ", optional");
  for (const Field* field : Fields(contract, IsOptionalAttribute))
    text += AttributeDoc(contract, *field);
  const std::vector<const Field*> results = Fields(contract, IsResult);
  if (results.empty()) return text + kHowToRun + kRaises;
  text += OutputsDoc(contract) + kHowToRun + "\n    Returns\n    -------\n";
  for (const Field* field : results) text += ResultDoc(*field);
  return text + kRaises;
}

}  // namespace tamis::generate
