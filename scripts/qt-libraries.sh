#!/usr/bin/env bash
# See to it that Qt can open a window: its system libraries, and Xvfb where there is no display.
# As root on Debian or Ubuntu the missing ones are installed; elsewhere they are named.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(uname)" = Linux ] || exit 0 # the wheels of other systems bring everything

packages=(
    libdbus-1-3 libegl1 libfontconfig1 libgl1 libglib2.0-0 libopengl0 libx11-xcb1 libxcb-cursor0 libxcb-icccm4
    libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-sync1 libxcb-xfixes0
    libxcb-xinerama0 libxcb-xkb1 libxkbcommon-x11-0
)

# Print the shared libraries and programs that are missing, one a line.
missing() {
    local qt
    qt=$(echo .venv/lib/python3*/site-packages/PyQt6)
    ldd "$qt"/Qt{Core,DBus,Gui,OpenGL,OpenGLWidgets,Svg,Test,Widgets}.abi3.so "$qt"/Qt6/plugins/platforms/libqxcb.so |
        awk '/not found/ {print $1}' | sort -u
    # vispy loads this one by name.
    .venv/bin/python -c 'import ctypes; ctypes.CDLL("libGL.so.1")' 2>/dev/null || echo libGL.so.1
    if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
        command -v Xvfb >/dev/null || echo Xvfb
        command -v xvfb-run >/dev/null || echo xvfb-run
        command -v xauth >/dev/null || echo xauth
    fi
}

lacking=$(missing)
[ -n "$lacking" ] || exit 0
[ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || packages+=(xvfb xauth)

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing what Qt needs and this system lacks:" $lacking >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
    lacking=$(missing)
    [ -n "$lacking" ] || exit 0
fi
echo "setup: Qt cannot open a window, these are missing:" $lacking >&2
echo "setup: on Debian or Ubuntu: sudo apt-get install ${packages[*]}" >&2
exit 1
