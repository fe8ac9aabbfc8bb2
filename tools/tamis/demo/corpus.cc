#include "tools/tamis/demo/corpus.h"

#include <cstdlib>
#include <filesystem>

#include "base/errors.h"
#include "tools/tamis/text.h"

namespace tamis::tools::demo {
namespace {

constexpr char kLicences[] = "/usr/share/common-licenses";
constexpr char kHeaders[] = "/usr/include/c++";

std::string CountedFiles(size_t count, const std::string& folder) {
  return std::to_string(count) + " files of " + folder;
}

// Not what a reader would miss: a header that cannot be read is left out.
void AppendHeaders(int64_t most_tokens, Corpus* corpus) {
  const std::string folder = NewestVersion(kHeaders);
  if (folder.empty()) return;
  Text& text = corpus->text;
  const size_t licences = text.sources.size();
  for (const std::string& file : RegularFiles(folder)) {
    if (text.size() >= most_tokens) break;
    const size_t before = text.sources.size();
    if (!AppendFile(file, &text).ok() || text.sources.size() == before) continue;
    text.sources.back().title = "<" + text.sources.back().title + ">";
  }
  if (text.sources.size() > licences)
    corpus->name += ", " + CountedFiles(text.sources.size() - licences, folder);
}

}  // namespace

std::string NewestVersion(const std::string& root) {
  std::string newest;
  double newest_number = -1;
  std::error_code error;
  for (std::filesystem::directory_iterator it(root, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (name[0] < '0' || name[0] > '9' || !it->is_directory(ignored)) continue;
    const double number = std::strtod(name.c_str(), nullptr);
    const std::string path = it->path().string();
    if (number < newest_number || (number == newest_number && path < newest)) continue;
    newest = path;
    newest_number = number;
  }
  return newest;
}

Status ReadCorpus(const CorpusOptions& options, Corpus* corpus) {
  if (options.most_tokens < options.least_tokens)
    return base::Invalid("--tokens",
                         "at least one window of " + std::to_string(options.least_tokens),
                         options.most_tokens);
  Text& text = corpus->text;
  if (!options.file.empty()) {
    TAMIS_RETURN_IF_ERROR(AppendFile(options.file, &text));
    corpus->name = OneLine(options.file);
  } else {
    const std::vector<std::string> files = RegularFiles(kLicences);
    if (files.empty())
      return base::Invalid("--text",
                           "a file to read, as there are no licences in " + std::string(kLicences),
                           "none");
    for (const std::string& file : files) TAMIS_RETURN_IF_ERROR(AppendFile(file, &text));
    Truncate(options.most_tokens, &text);
    corpus->name = CountedFiles(text.sources.size(), kLicences);
    if (options.headers && text.size() < options.most_tokens)
      AppendHeaders(options.most_tokens, corpus);
  }
  Truncate(options.most_tokens, &text);
  if (text.size() >= options.least_tokens) return Status::Ok();
  return base::Invalid(options.file.empty() ? kLicences : options.file,
                       "at least " + std::to_string(options.least_tokens) + " tokens (one window)",
                       text.size());
}

}  // namespace tamis::tools::demo
