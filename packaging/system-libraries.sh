#!/bin/sh
# Qt's wheels need a few system libraries. Those that are missing are installed with apt-get when root, else named in one line.
# With the argument "test" also what the tests use: a virtual display, and Mesa's software OpenGL for the portrait renderer.
set -u
[ "$(uname -s)" = Linux ] || exit 0

missing=""
# Whether one of the files is there; a pattern that matches nothing stays itself and is no file.
some() { for file in "$@"; do [ -e "$file" ] && return 0; done; return 1; }
have() { /sbin/ldconfig -p 2>/dev/null | grep -q "$1" || some /usr/lib/*/"$1"* /usr/lib64/"$1"*; }
need() { have "$2" || missing="$missing $1"; }
need libegl1 libEGL.so.1
need libgl1 libGL.so.1
need libxkbcommon0 libxkbcommon.so.0
need libdbus-1-3 libdbus-1.so.3
need libfontconfig1 libfontconfig.so.1
need libglib2.0-0 libglib-2.0.so.0
if [ "${1:-}" = test ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    need libxcb-cursor0 libxcb-cursor.so.0
    need libxcb-icccm4 libxcb-icccm.so.4
    need libxcb-keysyms1 libxcb-keysyms.so.1
    need libxkbcommon-x11-0 libxkbcommon-x11.so.0
    need libx11-xcb1 libX11-xcb.so.1
    need libxcb-shape0 libxcb-shape.so.0
fi
if [ "${1:-}" = test ]; then
    command -v Xvfb >/dev/null 2>&1 || missing="$missing xvfb"
    command -v xdotool >/dev/null 2>&1 || missing="$missing xdotool"
    some /usr/lib/*/dri/swrast_dri.so /usr/lib64/dri/swrast_dri.so || missing="$missing libgl1-mesa-dri"
fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing system libraries:$missing"
    log=$(mktemp)
    # shellcheck disable=SC2086
    if apt-get update -qq >"$log" 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >>"$log" 2>&1; then
        rm -f "$log"
        exit 0
    fi
    tail -5 "$log" >&2
    rm -f "$log"
fi
echo "facelab needs system libraries that are missing; install them, then try again:  sudo apt-get install$missing" >&2
exit 1
