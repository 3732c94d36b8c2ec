#include "threads.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#include <unistd.h>
#endif

#include "limits.hpp"

namespace ddpm_rt {
namespace {

namespace fs = std::filesystem;

constexpr int NO_QUOTA = 0;

#ifdef __linux__

int processors_of_machine() { return static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)); }

// The processors that this process may run on; empty if unknown. The kernel refuses a mask that is
// smaller than its own, so the mask grows until it is accepted.
std::vector<int> allowed_processors() {
  std::vector<int> allowed;
  for (int size = 1024; size <= 1 << 20; size *= 2) {
    std::vector<cpu_set_t> mask(static_cast<std::size_t>(size) / CPU_SETSIZE);
    const std::size_t bytes = mask.size() * sizeof(cpu_set_t);
    if (::sched_getaffinity(0, bytes, mask.data()) != 0) continue;
    for (int number = 0; number < size; ++number)
      if (CPU_ISSET_S(static_cast<std::size_t>(number), bytes, mask.data()))
        allowed.push_back(number);
    break;
  }
  return allowed;
}

#else

int processors_of_machine() { return static_cast<int>(std::thread::hardware_concurrency()); }

std::vector<int> allowed_processors() { return {}; }

#endif

std::string first_line(const fs::path& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

int rounded_up(double quota, double period) {
  if (!(quota > 0) || !(period > 0)) return NO_QUOTA;
  return static_cast<int>(std::min(std::ceil(quota / period), double{MAX_THREADS}));
}

// "QUOTA PERIOD" or "max PERIOD", in microseconds.
int quota_v2(const fs::path& group) {
  std::istringstream line(first_line(group / "cpu.max"));
  double quota = 0, period = 0;
  line >> quota >> period;
  return line ? rounded_up(quota, period) : NO_QUOTA;
}

// A file each; the quota is -1 where there is none.
int quota_v1(const fs::path& group) {
  std::istringstream quota_line(first_line(group / "cpu.cfs_quota_us"));
  std::istringstream period_line(first_line(group / "cpu.cfs_period_us"));
  double quota = 0, period = 0;
  quota_line >> quota;
  period_line >> period;
  return quota_line && period_line ? rounded_up(quota, period) : NO_QUOTA;
}

// The smallest quota of a group and the groups around it. In a container the path may be one of the
// host that is not visible here; the root is then the container's own group.
int smallest_quota(const fs::path& root, const std::string& group,
                   int (*quota_of)(const fs::path&)) {
  int smallest = NO_QUOTA;
  fs::path inside = fs::path(group).relative_path();
  while (true) {
    const int quota = quota_of(root / inside);
    if (quota != NO_QUOTA && (smallest == NO_QUOTA || quota < smallest)) smallest = quota;
    if (inside.empty()) return smallest;
    inside = inside.parent_path();
  }
}

int smaller(int a, int b) {
  return a == NO_QUOTA || b == NO_QUOTA ? std::max(a, b) : std::min(a, b);
}

bool has_cpu_controller(const std::string& controllers) {
  return ("," + controllers + ",").find(",cpu,") != std::string::npos;
}

}  // namespace

int cgroup_quota(const fs::path& proc, const fs::path& cgroups) {
  std::ifstream file(proc);
  int quota = NO_QUOTA;
  for (std::string line; std::getline(file, line);) {  // ID:CONTROLLERS:PATH
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (controllers.empty()) {
      quota = smaller(quota, smallest_quota(cgroups, group, quota_v2));
    } else if (has_cpu_controller(controllers)) {
      for (const std::string& folder : {controllers, std::string("cpu")})
        quota = smaller(quota, smallest_quota(cgroups / folder, group, quota_v1));
    }
  }
  return quota;
}

int physical_cores(const std::vector<int>& processors, const fs::path& topology) {
  std::set<std::string> cores;
  for (const int number : processors) {
    const std::string name = "cpu" + std::to_string(number);
    const std::string siblings = first_line(topology / name / "topology" / "thread_siblings_list");
    cores.insert(siblings.empty() ? name : siblings);
  }
  return static_cast<int>(cores.size());
}

int default_threads() {
  const std::vector<int> allowed = allowed_processors();
  const int machine = processors_of_machine();
  const int quota = cgroup_quota("/proc/self/cgroup", "/sys/fs/cgroup");
  const bool all = allowed.empty() || static_cast<int>(allowed.size()) == machine;
  if (quota == NO_QUOTA && all) return 0;
  const int cores = allowed.empty() ? machine : physical_cores(allowed, "/sys/devices/system/cpu");
  return std::clamp(smaller(quota, cores), 1, MAX_THREADS);
}

}  // namespace ddpm_rt
