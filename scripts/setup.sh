#!/bin/sh
# Finds a Python that tfx-vision supports and hands over to environment.py.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."

supported() {
    [ -n "$1" ] && "$1" -c '
import sys
sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13) and sys.implementation.name == "cpython"))' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    supported "$PYTHON" || {
        echo "setup: PYTHON=$PYTHON is not a working CPython 3.11, 3.12 or 3.13; name one that is, or leave PYTHON unset." >&2
        exit 1
    }
    exec "$PYTHON" scripts/environment.py
fi

# An environment keeps the interpreter it was made from.
made_from=$(sed -n 's/^executable = //p' "${VENV:-.venv}/pyvenv.cfg" 2>/dev/null) || true
if supported "$made_from"; then
    exec "$made_from" scripts/environment.py
fi
# Every folder of PATH, because the first python3 may be a broken environment or a version manager's stand-in.
for name in python3 python3.13 python3.12 python3.11; do
    folders=$PATH:
    while [ -n "$folders" ]; do
        candidate=${folders%%:*}/$name
        folders=${folders#*:}
        if [ -x "$candidate" ] && supported "$candidate"; then
            exec "$candidate" scripts/environment.py
        fi
    done
done
echo "setup: no CPython 3.11, 3.12 or 3.13 was found; install one (Debian, Ubuntu: apt-get install python3 python3-venv) and run make setup again." >&2
exit 1
