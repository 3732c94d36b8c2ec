#include <doctest/doctest.h>

#include "limits.hpp"
#include "temporary_folder.hpp"
#include "threads.hpp"

namespace {

int quota(const TemporaryFolder& folder, const std::string& groups) {
  return ddpm_rt::cgroup_quota(folder.write("self", groups), folder / "cgroup");
}

}  // namespace

TEST_CASE("the quota of a cgroup of version 2 is rounded up to whole processors") {
  const TemporaryFolder folder;
  const auto of = [&](const char* limit) {
    folder.write("cgroup/app/cpu.max", limit);
    return quota(folder, "0::/app\n");
  };
  CHECK(of("200000 100000\n") == 2);
  CHECK(of("150000 100000\n") == 2);
  CHECK(of("1000 100000\n") == 1);
  CHECK(of("max 100000\n") == 0);
  CHECK(of("\n") == 0);
  CHECK(of("-1 0\n") == 0);
  CHECK(of("9e99 1\n") == ddpm_rt::MAX_THREADS);
}

TEST_CASE("the smallest quota of a group and the groups around it counts") {
  const TemporaryFolder folder;
  folder.write("cgroup/a/b/c/cpu.max", "400000 100000\n");
  folder.write("cgroup/a/cpu.max", "300000 100000\n");
  CHECK(quota(folder, "0::/a/b/c\n") == 3);
  folder.write("cgroup/cpu.max", "100000 100000\n");
  CHECK(quota(folder, "0::/a/b/c\n") == 1);
  CHECK(quota(folder, "0::/not/visible/here\n") == 1);
}

TEST_CASE("the quota of a cgroup of version 1 is read from the cpu controller") {
  const TemporaryFolder folder;
  folder.write("cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "250000\n");
  folder.write("cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n");
  CHECK(quota(folder, "9:memory:/m\n3:cpuset:/s\n2:cpu,cpuacct:/docker/x\n0::/\n") == 3);
  folder.write("cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "-1\n");
  CHECK(quota(folder, "2:cpu,cpuacct:/docker/x\n") == 0);
  folder.write("cgroup/cpu/cpu.cfs_quota_us", "100000\n");
  folder.write("cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(quota(folder, "2:cpu,cpuacct:/docker/x\n") == 1);
  CHECK(quota(folder, "2:cpuset:/docker/x\n") == 0);
}

TEST_CASE("two hardware threads of a core count once") {
  const TemporaryFolder folder;
  const auto siblings = [&](int number, const char* list) {
    folder.write("cpu" + std::to_string(number) + "/topology/thread_siblings_list", list);
  };
  siblings(0, "0,4\n");
  siblings(1, "1,5\n");
  siblings(4, "0,4\n");
  CHECK(ddpm_rt::physical_cores({0, 1, 4}, folder.path()) == 2);
  CHECK(ddpm_rt::physical_cores({4}, folder.path()) == 1);
  CHECK(ddpm_rt::physical_cores({7, 8}, folder.path()) == 2);  // unknown: a core each
  CHECK(ddpm_rt::physical_cores({}, folder.path()) == 0);
}

TEST_CASE("without cgroups there is no quota") {
  const TemporaryFolder folder;
  CHECK(ddpm_rt::cgroup_quota(folder / "missing", folder / "cgroup") == 0);
  CHECK(quota(folder, "") == 0);
  CHECK(quota(folder, "nonsense\n0\n:\n::\n") == 0);
}
