# The proof: a machine's disks against what was recorded of the source, by tools that are not ours.
# shellcheck shell=bash

FAILURES=()                    # what failed on the machine now looked at, e.g. "B5 files"
SHOWN_LINES=6                  # of the output of a proof that does not hold
PASSED=()                      # what held, for the line that is shown

# try WORDS COMMAND...: one proof; what the tool said is shown, in part, if it does not hold.
try() {
    local words=$1
    shift
    if "$@" >"$WORK/proof" 2>&1; then
        PASSED+=("$words")
    else
        FAILURES+=("$WHERE $words")
        echo "   $WHERE: $words? $1 says:"
        head -n "$SHOWN_LINES" "$WORK/proof" | cut -c 1-120 | sed 's/^/   | /'
    fi
}

# report_line FAILURES_BEFORE WHAT: one line for the proofs since then.
report_line() {
    local before=$1 what=$2
    if [ "${#FAILURES[@]}" = "$before" ]; then
        printf '   ok    %-9s %s\n' "$what" "$(join_words "${PASSED[@]}")"
    else
        printf '   FAIL  %-9s does not hold: %s\n' "$what" "$(join_words "${FAILURES[@]:$before}")"
    fi
    PASSED=()
}

# prove_machine FILE_A FILE_B: false if anything differs; FAILURES then names it.
prove_machine() {
    FAILURES=() PASSED=()
    prove_disk a "$1"
    prove_disk b "$2"
    [ "${#FAILURES[@]}" = 0 ]
}

# prove_disk a|b FILE: adds to FAILURES.
prove_disk() {
    local disk=$1 file=$2 on number kind rest before=${#FAILURES[@]}
    WHERE=${disk^^}
    if [ "$disk" = a ]; then prove_gpt "$file"; else prove_mbr "$file"; fi
    report_line "$before" "$WHERE"
    while read -r on number kind rest; do
        [ "$on" = "$disk" ] || continue
        WHERE=${disk^^}$number
        before=${#FAILURES[@]}
        prove_partition "$file" "$disk" "$number" "$kind"
        report_line "$before" "$WHERE $kind"
    done < <(printf '%s\n' "${PARTITIONS[@]}")
    : "$rest"
}

# The table as text without what a disk's own name and size decide.
table_text() {
    sfdisk --dump "$1" 2>&1 | sed -e '/^device:/d' -e '/^last-lba:/d' -e "s|^$1||"
    sgdisk --print "$1" 2>&1 | awk '/^ +[0-9]+ /'
}
same_table() { diff <(table_text "$1") <(table_text "$2"); }
# The kinds of content the whole disk shows, so that no remains of an older table are taken for one.
signatures() { wipefs --noheadings --output TYPE "$1" | sort; }
same_signatures() { diff <(signatures "$1") <(signatures "$2"); }
sound_gpt() {
    local text
    text=$(sgdisk --verify "$1" 2>&1) || return 1
    echo "$text"
    grep -q '^No problems found' <<<"$text" && ! grep -qiE 'problem:|caution|warning' <<<"$text"
}
# same_bytes FILE FILE OFFSET LENGTH
same_bytes() { cmp --ignore-initial="$3" --bytes="$4" "$1" "$2"; }

prove_gpt() {
    try "GPT equal (sfdisk, sgdisk)" same_table "$WORK/source-a.disk" "$1"
    try "sgdisk -v: no problems" sound_gpt "$1"
    try "no other signatures" same_signatures "$WORK/source-a.disk" "$1"
    try "boot code" same_bytes "$WORK/source-a.disk" "$1" 0 440
    try "gap" same_bytes "$WORK/source-a.disk" "$1" 17408 "$GAP_BYTES"
}

prove_mbr() {
    try "MBR and logical partitions equal (sfdisk)" same_table "$WORK/source-b.disk" "$1"
    try "no other signatures" same_signatures "$WORK/source-b.disk" "$1"
    try "boot code" same_bytes "$WORK/source-b.disk" "$1" 0 440
    try "gap" same_bytes "$WORK/source-b.disk" "$1" 512 "$((MIB - 512))"
}

prove_partition() {
    local file=$1 disk=$2 number=$3 kind=$4 record=$WORK/source-$2$3 device
    device=$(attach_partition "$file" "$number" --read-only)
    try "same label and UUID" same_identity "$record.blkid" "$device"
    case $kind in
        fat) try "fsck.fat -n clean" fsck.fat -n "$device" ;;
        ext4) try "e2fsck -fn clean" e2fsck -fn "$device" ;;
        xfs) try "xfs_repair -n clean" xfs_repair -n "$device" ;;
        btrfs) try "btrfs check clean" btrfs check --readonly --check-data-csum "$device" ;;
        ntfs) try "ntfsfix -n clean" ntfsfix --no-action "$device" ;;
        swap) try "header equal" cmp --bytes=4096 "$record.header" "$device" ;;
    esac
    if [ "$kind" != swap ]; then
        if (open_files "$device" "$kind") >>"$LOG" 2>&1; then
            try "$(wc -l <"$record.sha256") files' SHA-256" equal_files "$record.sha256"
            try "names, owners, modes, times" equal_tree "$record.tree" "$kind"
        else
            FAILURES+=("$WHERE files readable")
        fi
        close_files "$kind"
    fi
    detach "$device"
}

identity() {
    blkid --probe --output export --match-tag TYPE --match-tag LABEL --match-tag UUID "$1" | grep -v ^DEVNAME
}
same_identity() { diff "$1" <(identity "$2"); }
equal_files() { (cd "$WORK/mnt" && sha256sum --check --strict --quiet "$1"); }
equal_tree() { diff "$1" <(tree_text "$2"); }

# open_files DEVICE KIND: the files appear under $WORK/mnt, read-only; FAT's are copied there by mtools.
open_files() {
    case $2 in
        fat) quiet mcopy -s -m -n -i "$1" "::*" "$WORK/mnt" ;;
        *) mount_partition "$1" "$2" ro ;;
    esac
}
close_files() {
    case $1 in
        fat) find "$WORK/mnt" -mindepth 1 -delete ;;
        *) if mountpoint -q "$WORK/mnt"; then unmount; fi ;;
    esac
}

# tree_text KIND: what hashes of contents do not tell, one line per file.
tree_text() {
    local only=()
    [ "$1" != fat ] || only=(-type f)
    (cd "$WORK/mnt" && find . "${only[@]}" -printf '%y\t%m\t%U:%G\t%T@\t%s\t%n\t%l\t%P\n' | sort)
}

# record_partition FILE DISK NUMBER KIND: what the proofs compare with.
record_partition() {
    local file=$1 number=$3 kind=$4 record=$WORK/source-$2$3 device
    device=$(attach_partition "$file" "$number" --read-only)
    identity "$device" >"$record.blkid"
    if [ "$kind" = swap ]; then
        head -c 4096 "$device" >"$record.header"
    else
        open_files "$device" "$kind"
        (cd "$WORK/mnt" && find . -type f -print0 | sort -z | xargs -0 -r sha256sum) >"$record.sha256"
        tree_text "$kind" >"$record.tree"
        close_files "$kind"
        [ -s "$record.sha256" ] || die "no files came to lie on $kind partition $2$number"
    fi
    detach "$device"
}
