#!/usr/bin/env bash
# SLURM and munge from Debian's packages, for tests/cluster; where they cannot be had, those tests skip and say why.
set -uo pipefail
# Debian keeps daemons where the PATH of a bare CI does not look.
PATH="$PATH:/usr/sbin:/sbin"
have() { command -v slurmctld slurmd munged >/dev/null; }
if have; then
  echo "packages.sh: SLURM and munge are installed"
elif [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "packages.sh: not root, or no apt-get: SLURM is not installed, the tests of the cluster will skip"
else
  echo "packages.sh: installing slurm-wlm and munge"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -qq --no-install-recommends slurm-wlm munge >/dev/null
  have || echo "packages.sh: they could not be installed, the tests of the cluster will skip"
fi
exit 0
