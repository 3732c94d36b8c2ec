// How many CPU threads this process may use.
#pragma once

#include <filesystem>

namespace ddpm_rt {

// The number of processors that this process may run on, not more than its cgroup quota allows; at
// least 1, at most MAX_THREADS.
int default_threads();

// The quota of the cgroup in processors, rounded up; 0 if there is none. Reads versions 1 and 2.
// `proc` and `cgroups` are /proc/self/cgroup and /sys/fs/cgroup, except in tests.
int cgroup_quota(const std::filesystem::path& proc, const std::filesystem::path& cgroups);

}  // namespace ddpm_rt
