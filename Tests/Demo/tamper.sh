# The proof of the proof: disks are damaged, each time a little, and the proof must see just that.
# shellcheck shell=bash

# tamper_all FILE_A FILE_B: both must be proven before; only the last damage is not undone.
tamper_all() {
    local a=$1 b=$2 missed=0
    notice "one byte of a file on A2 (ext4)" "A2 .*SHA-256" a "$a" "$(data_byte "$a" a 2)" || missed=1
    notice "one byte of the GPT's entries" "A (GPT|sgdisk|no other)" a "$a" "$((1024 + 128 + 56))" || missed=1
    notice "one byte of a logical partition's table" "B MBR" b "$b" "$(ebr_byte "$b")" || missed=1
    change_file "$b" 5 xfs
    expect "one file on B5 (xfs), changed as a program would" "B5 .*(SHA-256|names)" b "$b" || missed=1
    return "$missed"
}

# notice WHAT PATTERN a|b FILE OFFSET: damages one byte of FILE and puts it right again afterwards.
notice() {
    local status=0
    flip "$4" "$5"
    expect "$1" "$2" "$3" "$4" || status=1
    flip "$4" "$5"
    return "$status"
}

# expect WHAT PATTERN a|b FILE: the proof of that disk must fail, and each of its failures must match PATTERN.
expect() {
    local what=$1 pattern=$2 failure
    FAILURES=() PASSED=()
    prove_disk "$3" "$4" >>"$LOG"
    if [ "${#FAILURES[@]}" = 0 ]; then
        say "MISSED  $what"
        return 1
    fi
    for failure in "${FAILURES[@]}"; do
        if [[ ! $failure =~ ^$pattern ]]; then
            say "MISSED  $what; the proof failed elsewhere: $(join_words "${FAILURES[@]}")"
            return 1
        fi
    done
    say "seen    $what: does not hold: $(join_words "${FAILURES[@]}")"
}

# flip FILE OFFSET: inverts one byte; twice is as before.
flip() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    # shellcheck disable=SC2059
    printf "\\x$(printf %02x $((255 - byte)))" | write_at "$1" "$2"
}

# data_byte FILE DISK NUMBER: where the first byte of some file's content lies on FILE, found by debugfs.
data_byte() {
    local device name block
    name=$(awk -F'\t' '$1 == "f" && $5 > 100000 { print $8; exit }' "$WORK/source-$2$3.tree")
    device=$(attach_partition "$1" "$3" --read-only)
    block=$(debugfs -R "blocks \"/$name\"" "$device" 2>>"$LOG" | awk 'NR == 1 { print $1 }')
    detach "$device"
    [ -n "$block" ] || die "debugfs does not tell where /$name lies"
    echo "$((OFFSET[$2$3] + block * 4096))"
}

# ebr_byte FILE: where the size of disk B's first logical partition is written (the first EBR begins the
# extended partition).
ebr_byte() { echo "$(($(offset_of "$1" 2) + 446 + 12))"; }

# change_file FILE NUMBER KIND: one more byte at the end of one file, through the file system.
change_file() {
    local device name
    device=$(attach_partition "$1" "$2")
    name=$(awk -F'\t' '$1 == "f" { print $8; exit }' "$WORK/source-b$2.tree")
    mount_partition "$device" "$3" rw
    printf x >>"$WORK/mnt/$name"
    unmount
    quiet sync "$device"
    detach "$device"
}
