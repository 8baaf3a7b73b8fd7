#!/bin/sh
# Usage: inside.sh ROOT PACKAGE PORT PROJECT
# Installs, runs, upgrades, removes and purges the package in the root directory ROOT, as root of that directory. Prints each step.
set -eu

root="$1" package="$2" port="$3" project="$4"
export DEBIAN_FRONTEND=noninteractive
in_root() {
    chroot "$root" "$@"
}
fail() {
    echo "failed: $*" >&2
    exit 1
}
# Waits until a command succeeds, at most a minute.
wait_for() {
    for _ in $(seq 600); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    fail "timed out: $*"
}
# Sends the transaction of the examples.
send() {
    curl -sf "http://127.0.0.1:$port/" -H 'content-type: application/json' --data-binary "@$project/examples/transaction.json"
}

echo "# install"
cp "$package" "$root/tmp/logphase.deb"
in_root dpkg -i /tmp/logphase.deb
[ "$(in_root stat -c '%a %U:%G' /etc/logphase/kong.yml)" = "640 root:logphase" ] || fail "the mode of kong.yml"
[ "$(in_root stat -c '%a %U:%G' /var/lib/logphase)" = "700 logphase:logphase" ] || fail "the mode of the data directory"
in_root dpkg --verify logphase
gzip -dc "$root/usr/share/man/man1/logphase-check.1.gz" | grep -q 'logphase.*check' || fail "the manual page"
grep -q '^---@meta cjson$' "$root/usr/share/logphase/luals/cjson.lua" || fail "the stubs for editors"
grep -q '^declare kong:' "$root/usr/share/logphase/logphase.d.luau" || fail "the definitions for editors"
in_root bash -c '. /usr/share/bash-completion/completions/logphase && complete -p logphase'
in_root test -L /etc/systemd/system/multi-user.target.wants/logphase.service || fail "the unit is not enabled"

echo "# start, as the unit does"
command="$(sed -n 's/^ExecStart=//p' "$root/lib/systemd/system/logphase.service")"
# shellcheck disable=SC2086 # the command is meant to be split
chroot --userspec=logphase:logphase "$root" /usr/bin/env -i PATH=/usr/bin:/bin STATE_DIRECTORY=/var/lib/logphase \
    LOGPHASE_HTTP_LISTEN="127.0.0.1:$port" LOGPHASE_STATUS_LISTEN= LOGPHASE_ADMIN_LISTEN= $command &
service=$!
trap 'kill "$service" 2>/dev/null || true' EXIT
log="$root/var/log/logphase/messages.log"
wait_for send
wait_for grep -q user-agent "$log"

echo "# rotate"
in_root logrotate --force /etc/logrotate.d/logphase
[ -s "$log.1" ] || fail "the old file"
send
wait_for grep -q user-agent "$log"

echo "# upgrade, with a file that the administrator has changed"
echo "# mine" >>"$root/etc/logphase/kong.yml"
in_root dpkg -i /tmp/logphase.deb
grep -q '# mine' "$root/etc/logphase/kong.yml" || fail "the change is lost"
[ "$(in_root stat -c '%a %U:%G' /etc/logphase/kong.yml)" = "640 root:logphase" ] || fail "the mode after the upgrade"

echo "# stop"
kill "$service"
wait "$service" || fail "exit code $?"
trap - EXIT
[ -n "$(find "$root/var/lib/logphase" -mindepth 1)" ] || fail "nothing is in the data directory"

echo "# remove"
in_root dpkg --remove logphase
if [ -e "$root/usr/bin/logphase" ]; then fail "the program is still there"; fi
grep -q '# mine' "$root/etc/logphase/kong.yml" || fail "the configuration is gone"
[ -d "$root/var/lib/logphase" ] || fail "the data is gone"

echo "# purge"
in_root dpkg --purge logphase
for path in /etc/logphase /etc/default/logphase /var/lib/logphase /var/log/logphase /usr/share/doc/logphase; do
    if [ -e "$root$path" ]; then fail "$path is still there"; fi
done
if in_root getent passwd logphase; then fail "the user is still there"; fi
echo "# done"
