#include "file.hpp"

#include <cstdio>
#include <memory>

#include "error.hpp"

namespace ddpm_rt {

std::string read_file(const std::string& path, std::size_t most, const std::string& kind) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) bad_file(path + " cannot be read; name " + kind);
  std::string text;
  char part[1 << 16];
  while (const auto size = std::fread(part, 1, sizeof part, file.get())) {
    text.append(part, size);
    if (text.size() > most)
      bad_file(path + ": more than " + std::to_string(most >> 20) + " MiB; name " + kind);
  }
  if (std::ferror(file.get())) bad_file(path + " cannot be read; name " + kind);
  return text;
}

}  // namespace ddpm_rt
