// How many CPU threads this process may use. runtime/ddpm_rt/engines/cpu_threads.py has the same
// rule.
#pragma once

#include <filesystem>
#include <vector>

namespace ddpm_rt {

// The number of cores that this process may use, not more than its cgroup quota allows. 0 if it may
// use the whole machine: then ONNX Runtime chooses.
int default_threads();

// The cores behind these processors. Two hardware threads of one core count once, because they
// share its arithmetic units. `topology` is /sys/devices/system/cpu, except in tests.
int physical_cores(const std::vector<int>& processors, const std::filesystem::path& topology);

// The quota of the cgroup in processors, rounded up; 0 if there is none. Reads versions 1 and 2.
// `proc` and `cgroups` are /proc/self/cgroup and /sys/fs/cgroup, except in tests.
int cgroup_quota(const std::filesystem::path& proc, const std::filesystem::path& cgroups);

}  // namespace ddpm_rt
