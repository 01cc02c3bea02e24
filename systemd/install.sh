#!/bin/sh
# `make install` and `make uninstall`: the program into a virtual environment of its own, the units and the settings.
#
#   install     all of it; an existing settings file or drop-in is kept, the new default is put beside it as .new
#   program     only the program
#   files       all of it but the program
#   uninstall   what install put there; the state, the settings, the drop-ins and the shared folders stay
#
# Variables: PREFIX DESTDIR SYSCONFDIR LOCALSTATEDIR SHAREDIR BINDIR PYTHON PIP_ARGS
set -eu

PREFIX=${PREFIX:-/opt/meshdrop}
DESTDIR=${DESTDIR:-}
SYSCONFDIR=${SYSCONFDIR:-/etc}
LOCALSTATEDIR=${LOCALSTATEDIR:-/var/lib}
SHAREDIR=${SHAREDIR:-/srv/meshdrop}
BINDIR=${BINDIR:-/usr/local/bin}
PYTHON=${PYTHON:-python3}
PIP_ARGS=${PIP_ARGS:-}

source=$(cd "$(dirname "$0")/.." && pwd)
statedir=$LOCALSTATEDIR/meshdrop
units=$DESTDIR$SYSCONFDIR/systemd/system
venv=$DESTDIR$PREFIX/venv

for path in "$PREFIX" "$SYSCONFDIR" "$LOCALSTATEDIR" "$SHAREDIR" "$BINDIR" "${DESTDIR:-/}"; do
  case $path in
    *[!A-Za-z0-9/._+-]*) echo "$path: spaces and special characters can't stand in a unit." >&2; exit 2 ;;
    /*) ;;
    *) echo "$path: must begin with /." >&2; exit 2 ;;
  esac
done

# A file of this folder with the paths in place. systemd makes the state folder itself where it is the usual one.
render() {
  sed -e "s|@PREFIX@|$PREFIX|g" -e "s|@SYSCONFDIR@|$SYSCONFDIR|g" -e "s|@STATEDIR@|$statedir|g" \
    -e "s|@SHAREDIR@|$SHAREDIR|g" "$source/systemd/$1" |
    if [ "$LOCALSTATEDIR" = /var/lib ]; then cat; else
      sed -e "s|^StateDirectory=.*|ReadWritePaths=$statedir|" -e '/^StateDirectoryMode=/d'
    fi
}

# put MODE TARGET: standard input becomes the file, in one step.
put() {
  mkdir -p "$(dirname "$2")"
  cat >"$2.part"
  chmod "$1" "$2.part"
  mv -f "$2.part" "$2"
}

# keep TARGET: the same, but what is there belongs to people.
keep() {
  if [ -e "$1" ]; then
    put 644 "$1.new"
    if cmp -s "$1" "$1.new"; then rm -f "$1.new"; else echo "kept $1; the new default is $1.new"; fi
  else
    put 644 "$1"
  fi
}

# The settings file of the repository, with this installation's folders.
settings() {
  sed -e "s|^inbox = \"[^\"]*\"|inbox = \"$SHAREDIR/inbox\"|" -e "s|^outbox = \"[^\"]*\"|outbox = \"$SHAREDIR/outbox\"|" \
    -e "s|^state_dir = \"[^\"]*\"|state_dir = \"$statedir\"|" "$source/config/meshdrop.toml"
}

install_files() {
  render meshdrop.service | put 644 "$units/meshdrop.service"
  render shares.conf | keep "$units/meshdrop.service.d/shares.conf"
  render meshdrop.sysusers | put 644 "$DESTDIR$SYSCONFDIR/sysusers.d/meshdrop.conf"
  render meshdrop.tmpfiles | put 644 "$DESTDIR$SYSCONFDIR/tmpfiles.d/meshdrop.conf"
  settings | keep "$DESTDIR$SYSCONFDIR/meshdrop/meshdrop.toml"
  for file in "$source"/systemd/examples/*.conf; do
    put 644 "$DESTDIR$PREFIX/share/meshdrop/examples/${file##*/}" <"$file"
  done
  for file in "$source"/docs/*.md; do
    put 644 "$DESTDIR$PREFIX/share/doc/meshdrop/${file##*/}" <"$file"
  done
}

# Into a folder beside, then exchanged: an installation that fails leaves the one before as it was.
install_program() {
  new=$venv.new
  copy=$(mktemp -d)
  trap 'rm -rf "$copy" "$new"' EXIT
  rm -rf "$new"
  mkdir -p "$DESTDIR$PREFIX"
  "$PYTHON" -c 'import sys; sys.exit("Python 3.11 or newer is needed." if sys.version_info < (3, 11) else 0)'
  "$PYTHON" -m venv "$new"
  case $(readlink -f "$new/bin/python") in
    /home/* | /root/* | /run/user/*)
      echo "warning: $PYTHON lies in a home folder, which the service can't read; use the system's: make install PYTHON=/usr/bin/python3" >&2 ;;
  esac
  grep -v '# tool$' "$source/requirements.lock" >"$copy/requirements.txt"
  mkdir "$copy/source" # a build leaves files in its source folder
  (cd "$source" && tar -cf - --exclude=__pycache__ pyproject.toml README.md LICENSE config daemon engine) | tar -C "$copy/source" -xf -
  # shellcheck disable=SC2086 # several arguments
  "$new/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile $PIP_ARGS -r "$copy/requirements.txt"
  "$new/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --no-build-isolation "$copy/source"
  # The service can't write here: what it imports is compiled now, under the path that it will have.
  "$new/bin/python" -m compileall -q -s "$new" -p "$PREFIX/venv" "$new/lib" >/dev/null 2>&1 || true
  for script in "$new"/bin/*; do
    if [ -f "$script" ] && [ ! -L "$script" ]; then sed -i "s|$new|$PREFIX/venv|g" "$script"; fi
  done
  sed -i "s|$new|$PREFIX/venv|g" "$new/pyvenv.cfg"
  rm -rf "$venv.old"
  if [ -e "$venv" ]; then mv "$venv" "$venv.old"; fi
  mv "$new" "$venv"
  rm -rf "$venv.old"
  mkdir -p "$DESTDIR$PREFIX/bin" "$DESTDIR$BINDIR"
  ln -sfn ../venv/bin/meshdrop "$DESTDIR$PREFIX/bin/meshdrop"
  if [ "$BINDIR" != "$PREFIX/bin" ]; then ln -sfn "$PREFIX/bin/meshdrop" "$DESTDIR$BINDIR/meshdrop"; fi
}

# On this machine itself, not in an image or a package that is being made.
on_this_machine() {
  [ -z "$DESTDIR" ] && [ "$(id -u)" = 0 ] && [ "$SYSCONFDIR" = /etc ]
}

reload() {
  if on_this_machine && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
}

case ${1:-} in
  program)
    install_program
    ;;
  files)
    install_files
    ;;
  install)
    install_program
    install_files
    if on_this_machine; then
      command -v systemd-sysusers >/dev/null && systemd-sysusers meshdrop.conf
      command -v systemd-tmpfiles >/dev/null && systemd-tmpfiles --create meshdrop.conf
    fi
    reload
    echo "Installed in $DESTDIR$PREFIX. Settings: $SYSCONFDIR/meshdrop/meshdrop.toml. Then: systemctl enable meshdrop && systemctl restart meshdrop"
    ;;
  uninstall)
    if on_this_machine && [ -d /run/systemd/system ]; then systemctl disable --now meshdrop.service || true; fi
    rm -f "$units/meshdrop.service" "$DESTDIR$SYSCONFDIR/sysusers.d/meshdrop.conf" "$DESTDIR$SYSCONFDIR/tmpfiles.d/meshdrop.conf"
    rm -rf "$venv" "$venv.new" "$venv.old" "$DESTDIR$PREFIX/share/meshdrop" "$DESTDIR$PREFIX/share/doc/meshdrop"
    rm -f "$DESTDIR$PREFIX/bin/meshdrop"
    if [ "$(readlink "$DESTDIR$BINDIR/meshdrop" || true)" = "$PREFIX/bin/meshdrop" ]; then rm -f "$DESTDIR$BINDIR/meshdrop"; fi
    for folder in /share/doc /share /bin ""; do
      rmdir "$DESTDIR$PREFIX$folder" 2>/dev/null || true
    done
    reload
    echo "Removed. Kept: $SYSCONFDIR/meshdrop, $units/meshdrop.service.d, $statedir, $SHAREDIR, and the user meshdrop."
    ;;
  *)
    echo "usage: $0 install|program|files|uninstall" >&2
    exit 2
    ;;
esac
