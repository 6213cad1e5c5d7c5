#!/usr/bin/env bash
# Debian's packages that some tests need: SLURM and munge for tests/cluster, Chromium for tests/publish. Without SLURM
# those tests skip and say why; without Chromium they fail in CI.
set -uo pipefail
# Debian keeps daemons where the PATH of a bare CI does not look.
PATH="$PATH:/usr/sbin:/sbin"
slurm() { command -v slurmctld slurmd munged >/dev/null; }
browser() { command -v chromium >/dev/null; }
wanted=()
slurm || wanted+=(slurm-wlm munge)
browser || wanted+=(chromium)
if [ ${#wanted[@]} = 0 ]; then
  echo "packages.sh: SLURM, munge and Chromium are installed"
elif [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "packages.sh: not root, or no apt-get: not installed: ${wanted[*]}"
else
  echo "packages.sh: installing ${wanted[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  for package in "${wanted[@]}"; do
    apt-get install -qq --no-install-recommends "$package" >/dev/null
  done
  slurm || echo "packages.sh: SLURM could not be installed, the tests of the cluster will skip"
  browser || echo "packages.sh: Chromium could not be installed, the tests of the page will fail"
fi
exit 0
