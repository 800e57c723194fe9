#!/usr/bin/env bash
# Sets up .venv, then compares seven methods on real images and writes a page with the results and
# their figures. Finished runs are kept, so that a second call only does what is missing. Arguments
# are passed to the benchmark, for example: bash scripts/demo.sh protocol.epochs=20 name=longer
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

SECONDS=0
set_up_environment benchmark,plots
echo "set-up: $SECONDS s"
SECONDS=0
pml-hyperbolic run benchmark_configs/digits.yaml "$@"
echo "benchmark and page: $SECONDS s"
