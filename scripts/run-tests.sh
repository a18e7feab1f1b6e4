#!/usr/bin/env bash
# Run all tests, those with windows and the others in two processes at once. With further arguments: what pytest makes
# of them, in one.
#
# scripts/run-tests.sh PYTHON [ARGUMENTS OF PYTEST]
set -uo pipefail

displayed="$(dirname "$0")/with-display.sh"
python=$1
shift
[ $# -eq 0 ] || exec "$displayed" "$python" -m pytest "$@"

export OMP_NUM_THREADS=1 # two processes with a core each
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$displayed" "$python" -m pytest --ignore=tests/_qt >"$log" 2>&1 &
others=$!
sleep 5 # each looks for a display that is free, and neither must take the other's
status=0
"$displayed" "$python" -m pytest tests/_qt || status=1
wait "$others" || status=1
cat "$log"
exit "$status"
