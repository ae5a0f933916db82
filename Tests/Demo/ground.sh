# What every step stands on: messages, the work folder, loop devices, background programs, and cleaning up.
# shellcheck shell=bash

GRACE=10                       # seconds a program gets to end by itself before it is killed
SPACE_MB=6000                  # free space asked for before anything is made
WORK=                          # the work folder; everything this run makes lies in it or is named after it
LOG=                           # output of the tools, shown only when one of them fails
NAME=demo-$$                   # the session's name, and the start of every namespace's name
STEP=0
PROGRAMS=()                    # process ids of our own background programs

say() { printf '   %s\n' "$*"; }
step() {
    STEP=$((STEP + 1))
    printf '\n%d. %s [%s s]\n' "$STEP" "$*" "$SECONDS"
}
die() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}
join_words() {
    local word list=
    for word in "$@"; do list+=${list:+, }$word; done
    echo "$list"
}

# calc EXPRESSION FORMAT: decimal arithmetic, which bash has not.
calc() { awk "BEGIN { printf \"${2:-%.1f}\", $1 }"; }
mb() { calc "$1 / 1000000" "%.0f"; }

# quiet COMMAND...: its output goes to the log, and to the screen if it fails.
quiet() {
    local start status=0
    start=$(stat -c %s "$LOG")
    echo "+ $*" >>"$LOG"
    "$@" >>"$LOG" 2>&1 || status=$?
    [ "$status" != 0 ] || return 0
    echo "demo: this failed (status $status): $*" >&2
    tail -c "+$((start + 1))" "$LOG" | tail -n 20 | sed 's/^/   | /' >&2
    return "$status"
}

# Refuses, in one sentence each, where the demo cannot run.
need_ground() {
    local tool missing=()
    [ "$(id -u)" = 0 ] || die "needs root: it makes loop devices, mounts and network namespaces"
    for tool in sgdisk:gdisk sfdisk:fdisk mkfs.ext4:e2fsprogs debugfs:e2fsprogs mkfs.xfs:xfsprogs \
        mkfs.btrfs:btrfs-progs mkfs.ntfs:ntfs-3g ntfs-3g:ntfs-3g mkfs.fat:dosfstools mcopy:mtools \
        mkswap:util-linux losetup:mount ip:iproute2 tc:iproute2 ethtool:ethtool jq:jq; do
        command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
    done
    [ "${#missing[@]}" = 0 ] || die "Debian packages are missing (make setup installs them):" \
        "$(printf '%s\n' "${missing[@]}" | sort -u | tr '\n' ' ')"
    [ -c /dev/fuse ] || die "/dev/fuse is missing: NTFS and the capture need FUSE"
}

need_binaries() {
    local program
    for program in img imgserv; do
        [ -x "$BIN/$program" ] || die "$BIN/$program is missing: run make build (or set IMG_BIN_DIR)"
    done
}

make_workspace() {
    local parent=${TMPDIR:-/var/tmp} free
    free=$(df --output=avail -BM "$parent" | tail -n 1 | tr -dc 0-9)
    [ "$free" -ge "$SPACE_MB" ] || die "$parent has $free MB free, the demo asks for $SPACE_MB (set TMPDIR)"
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    trap 'clean_up $?' EXIT
    trap 'echo "demo: stopped at ${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND (status $?)" >&2' ERR
    set -o errtrace
    WORK=$(mktemp -d "$parent/img-$NAME.XXXXXX")
    LOG=$WORK/log
    : >"$LOG"
    mkdir "$WORK/mnt" "$WORK/state"
}

# attach FILE [OPTION...]: prints the loop device made for FILE.
attach() {
    local file=$1
    shift
    losetup --find --show "$@" "$file"
}

# detach DEVICE...: returns once the device has let go of its file.
detach() {
    local device tries
    for device in "$@"; do
        losetup --detach "$device"
        tries=0
        while [ -e "/sys/block/${device#/dev/}/loop/backing_file" ]; do
            tries=$((tries + 1))
            [ "$tries" -le 100 ] || die "$device does not let go of its file"
            sleep 0.05
        done
    done
}

# start LOGFILE COMMAND...: starts a program of ours in the background; its process id is in $!.
start() {
    local log=$1
    shift
    echo "+ $*" >>"$LOG"
    "$@" >"$log" 2>&1 </dev/null &
    PROGRAMS+=("$!")
}

alive() { [ -n "$(jobs -rp | grep -x "$1")" ]; }

# Ends what this run started and takes away what it made, found by its name, not by memory: an interrupt may
# come between making a thing and noting it down.
clean_up() {
    local status=$1 pid namespace device target deadline
    trap '' INT TERM HUP
    trap - EXIT ERR
    set +e
    for pid in "${PROGRAMS[@]}"; do alive "$pid" && kill -TERM "$pid"; done 2>/dev/null
    deadline=$((SECONDS + GRACE))
    for pid in "${PROGRAMS[@]}"; do
        while alive "$pid" && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.1; done
        alive "$pid" && kill -KILL "$pid" 2>/dev/null
    done
    for namespace in $(ip netns list | awk -v n="$NAME-" 'index($1, n) == 1 { print $1 }'); do
        for pid in $(ip netns pids "$namespace"); do kill -KILL "$pid" 2>/dev/null; done
        ip netns delete "$namespace"
    done
    if [ -n "$WORK" ]; then
        findmnt -rno TARGET | grep -F "$WORK/" | tac | while read -r target; do umount "$target"; done
        losetup -nO NAME,BACK-FILE | awk -v w="$WORK/" 'index($2, w) == 1 { print $1 }' |
            while read -r device; do
                partx --delete "$device" 2>/dev/null
                losetup --detach "$device"
            done
        btrfs device scan --forget >/dev/null 2>&1
        if [ "$status" != 0 ] && [ -n "${DEMO_KEEP_LOG:-}" ]; then cp "$LOG" "$DEMO_KEEP_LOG"; fi
        rm -rf --one-file-system "$WORK"
    fi
    exit "$status"
}
