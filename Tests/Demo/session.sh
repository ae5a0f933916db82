# The work of img and imgserv: capture both disks, host the session, take part in it.
# shellcheck shell=bash

LIMIT=150                      # seconds a capture or a session may take
WAIT_MINUTES=1                 # the host starts so long after the last machine joined, if not all did
declare -A SECONDS_OF=()       # machine → seconds from the start of its img session to its end
declare -A SESSION_STATUS=()   # machine → what img session ended with
USED_BYTES=0 IMAGE_BYTES=0 CAPTURE_SECONDS=0 SENT_BYTES=0 SENT_PACKETS=0

now() { echo "$EPOCHREALTIME"; }

# show_end LOGFILE LINES: how a program's output ended.
show_end() { tail -n "$2" "$1" | tr '\r' '\n' | tail -n "$2" | sed 's/^/   | /'; }

# outcome STATUS: how a program ended; timeout reports its own doing as 124.
outcome() { if [ "$1" = 124 ]; then echo "because $LIMIT s were over"; else echo "with status $1"; fi; }

# capture: makes $WORK/image of both source disks, and sees that they are as before.
capture() {
    local a b disk began pid status=0
    for disk in a b; do
        cp --sparse=always --reflink=auto "$WORK/source-$disk.disk" "$WORK/before-$disk.disk"
    done
    a=$(attach "$WORK/source-a.disk" --partscan)
    b=$(attach "$WORK/source-b.disk" --partscan)
    began=$(now)
    start "$WORK/makel.log" timeout -k "$GRACE" "$LIMIT" "$BIN/img" makel "$WORK/image" "disks=$a,$b"
    pid=$!
    wait "$pid" || status=$?
    CAPTURE_SECONDS=$(calc "$(now) - $began" %.1f)
    show_end "$WORK/makel.log" 12
    [ "$status" = 0 ] || die "img makel ended $(outcome "$status")"
    free_disks "$a" "$b"
    for disk in a b; do
        quiet cmp "$WORK/before-$disk.disk" "$WORK/source-$disk.disk" ||
            die "the capture has changed disk ${disk^^}"
        rm "$WORK/before-$disk.disk"
    done
    say "the source disks are bit for bit as before (cmp with copies made before)"
    IMAGE_BYTES=$(stat -c %s "$WORK/image")
    "$BIN/img" info "$WORK/image" --json >"$WORK/info.json"
    USED_BYTES=$(jq -e .manifest.usedBytes "$WORK/info.json") || die "img info --json names no usedBytes"
    need_used_blocks
}

# need_used_blocks: a restore of whole partitions would prove nothing about the maps of used blocks.
need_used_blocks() {
    local whole
    whole=$(jq -r '.manifest.partitions[] | select(.fileSystem | IN("ext4", "ntfs", "xfs", "btrfs"))
        | select(.content != "used") | "\(.fileSystem) (\(.reason))"' "$WORK/info.json")
    [ -z "$whole" ] || die "captured whole instead of its used blocks: $(tr '\n' ' ' <<<"$whole")"
    say "of ext4, NTFS, XFS and btrfs only the used blocks are in the image (img info)"
}

# free_disks DEVICE...: whatever partition nodes somebody made go with them.
free_disks() {
    local device
    for device in "$@"; do partx --delete "$device" 2>>"$LOG" || true; done
    detach "$@"
}

# run_session: one host, all machines at once; false if any of them failed.
run_session() {
    local machine server failed=0 began bytes packets status done_pid
    local -A disks=() machine_of=()
    for machine in "${MACHINES[@]}"; do
        disks[$machine]=$(attach "$WORK/m$machine-a.disk" --partscan)
        disks[$machine]+=,$(attach "$WORK/m$machine-b.disk" --partscan)
    done
    bytes=$(sent bytes) packets=$(sent packets)
    start "$WORK/imgserv.log" ip netns exec "$NAME-srv" timeout -k "$GRACE" "$LIMIT" \
        "$BIN/imgserv" mcast "$NAME" -p "$WORK/image" -c "${#MACHINES[@]}" -t "$WAIT_MINUTES" \
        -i "$SERVER_ADDRESS" --state "$WORK/state"
    server=$!
    began=$(now)
    for machine in "${MACHINES[@]}"; do
        start "$WORK/m$machine.log" ip netns exec "$NAME-m$machine" timeout -k "$GRACE" "$LIMIT" \
            "$BIN/img" session "$NAME" "disks=${disks[$machine]}"
        machine_of[$!]=$machine
    done
    while [ "${#machine_of[@]}" -gt 0 ]; do
        status=0
        wait -n -p done_pid "${!machine_of[@]}" || status=$?
        machine=${machine_of[$done_pid]}
        unset "machine_of[$done_pid]"
        SESSION_STATUS[$machine]=$status
        SECONDS_OF[$machine]=$(calc "$(now) - $began" %.2f)
        say "machine $machine ended after ${SECONDS_OF[$machine]} s $(outcome "$status")"
        if [ "$status" != 0 ]; then
            failed=1
            show_end "$WORK/m$machine.log" 8
        fi
    done
    status=0
    wait "$server" || status=$?
    SENT_BYTES=$(($(sent bytes) - bytes)) SENT_PACKETS=$(($(sent packets) - packets))
    say "imgserv ended $(outcome "$status"):"
    show_end "$WORK/imgserv.log" 8
    [ "$status" = 0 ] || failed=1
    for machine in "${MACHINES[@]}"; do
        # shellcheck disable=SC2046
        free_disks $(tr , ' ' <<<"${disks[$machine]}")
    done
    return "$failed"
}
