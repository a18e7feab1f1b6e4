#!/usr/bin/env bash
# Run a command on the display that is there, or else on a virtual one.
set -euo pipefail
if [ "$(uname)" = Linux ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    exec xvfb-run --auto-servernum --server-args "-screen 0 1920x1200x24" "$@"
fi
exec "$@"
