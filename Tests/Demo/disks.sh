# The disks: the two that are captured, filled with real files of this machine, and the machines' own.
# shellcheck shell=bash

MIB=1048576
SOURCE_A_MIB=1536
SOURCE_B_MIB=768
LARGER_MIB=512                 # by how much the disks of machine 3 exceed the source's
GAP_BYTES=$((MIB - 17408))     # disk A: between the GPT (34 sectors) and the first partition

# Every partition with content to compare: disk, number, file system, MB of files, label.
PARTITIONS=(
    "a 1 fat 10 EFI"
    "a 2 ext4 300 root"
    "a 3 ntfs 60 windows"
    "a 4 swap 0 swap"
    "b 1 ext4 50 boot"
    "b 5 xfs 90 home"
    "b 6 btrfs 30 data"
)

# offset_of FILE NUMBER and size_of FILE NUMBER: bytes, from the partition table in FILE.
offset_of() { table_number "$1" "$2" start; }
size_of() { table_number "$1" "$2" size; }
table_number() {
    sfdisk --json "$1" | jq --arg node "$1$2" --arg key "$3" \
        '.partitiontable.partitions[] | select(.node == $node)[$key] * 512'
}

# attach_partition FILE NUMBER [OPTION...]: prints a loop device over one partition, which lies where it does
# on the source.
attach_partition() {
    local file=$1 number=$2 disk
    shift 2
    disk=${file##*-}
    attach "$file" --offset "${OFFSET[${disk%.disk}$number]}" --sizelimit "${SIZE[${disk%.disk}$number]}" "$@"
}

declare -A OFFSET=() SIZE=()
read_layout() {
    local disk number rest
    while read -r disk number rest; do
        OFFSET[$disk$number]=$(offset_of "$WORK/source-$disk.disk" "$number")
        SIZE[$disk$number]=$(size_of "$WORK/source-$disk.disk" "$number")
    done < <(printf '%s\n' "${PARTITIONS[@]}")
    : "$rest"
}

# make_source PERCENT: both source disks, their files, and the list of what is on them.
make_source() {
    local percent=$1 line disk number kind amount label
    make_tables
    read_layout
    list_real_files
    for line in "${PARTITIONS[@]}"; do
        read -r disk number kind amount label <<<"$line"
        fill_partition "$disk" "$number" "$kind" "$((amount * percent / 100))" "$label"
        record_partition "$WORK/source-$disk.disk" "$disk" "$number" "$kind"
    done
    say "disk A: $SOURCE_A_MIB MiB, disk B: $SOURCE_B_MIB MiB," \
        "$(cat "$WORK"/source-*.sha256 | wc -l) files, $(mb "$(disk_usage)") MB of them"
}

disk_usage() { cat "$WORK"/source-*.tree | awk -F'\t' '$1 == "f" { sum += $5 } END { printf "%.0f", sum }'; }

# Both tables, with boot code in the first sector and a boot loader's bytes in the gap behind it.
make_tables() {
    local a=$WORK/source-a.disk b=$WORK/source-b.disk
    truncate --size "${SOURCE_A_MIB}M" "$a"
    quiet sgdisk --new 1:0:+64M --typecode 1:EF00 --change-name "1:EFI system" \
        --new 2:0:+860M --typecode 2:8300 --change-name "2:Linux root" --attributes 2:set:2 \
        --new 3:0:+240M --typecode 3:0700 --change-name "3:Windows data" \
        --new 4:0:+128M --typecode 4:8200 --change-name "4:Swap" "$a"
    truncate --size "${SOURCE_B_MIB}M" "$b"
    quiet sfdisk --quiet "$b" <<-END
		label: dos
		b1: start=2048, size=160MiB, type=83, bootable
		b2: size=560MiB, type=5
		b5: size=320MiB, type=83
		b6: size=160MiB, type=83
	END
    head -c 440 /dev/urandom | write_at "$a" 0
    head -c "$GAP_BYTES" /dev/urandom | write_at "$a" 17408
    head -c 440 /dev/urandom | write_at "$b" 0
    head -c "$((MIB - 512))" /dev/urandom | write_at "$b" 512
}

# write_at FILE OFFSET: standard input into FILE, the rest of it as it was.
write_at() { dd of="$1" bs=64K oflag=seek_bytes seek="$2" conv=notrunc status=none; }

# One list of this machine's own files in a fixed shuffled order, small and large ones mixed; each partition
# takes the next ones.
list_real_files() {
    find /usr/bin /usr/lib /usr/share -xdev \( -type f -size -24M -o -type l \) -printf '%s\t%P\t%H\n' \
        2>/dev/null | awk -F'\t' '{ print $1 "\t" substr($3, 2) "/" $2 }' |
        grep -v '[\\"]' | sort -k2 | sort --random-sort --random-source=<(yes) >"$WORK/real" || true
    [ -s "$WORK/real" ] || die "found no files under /usr to fill the disks with"
    NEXT_FILE=1
}

# next_files MB: the names of the next files that hold so much together, relative to /.
next_files() {
    local last
    last=$(awk -F'\t' -v first="$NEXT_FILE" -v limit="$1" -v names="$WORK/names" '
        BEGIN { limit *= 1000000; printf "" >names }
        NR < first || $1 > limit / 10 || sum + $1 > limit { next }
        { sum += $1; print $2 >names; last = NR }
        sum > limit * 0.98 { exit }
        END { print last + 0 }' "$WORK/real")
    NEXT_FILE=$((last + 1))
}

# fill_partition DISK NUMBER KIND MB LABEL: the file system and what lies in it.
fill_partition() {
    local disk=$1 number=$2 kind=$3 amount=$4 label=$5 device
    device=$(attach_partition "$WORK/source-$disk.disk" "$number")
    case $kind in
        fat) quiet mkfs.fat -F 32 -s 1 -n "$label" "$device" ;;
        ext4) quiet mkfs.ext4 -q -F -L "$label" "$device" ;;
        ntfs) quiet mkfs.ntfs --force --quick --quiet --label "$label" "$device" ;;
        xfs) quiet mkfs.xfs -q -f -L "$label" "$device" ;;
        btrfs) quiet mkfs.btrfs --quiet --force --label "$label" "$device" ;;
        swap) quiet mkswap --label "$label" "$device" ;;
    esac
    [ "$kind" = swap ] || next_files "$amount"
    case $kind in
        swap) ;;
        fat) fill_fat "$device" ;;
        *) fill_mounted "$device" "$kind" ;;
    esac
    quiet sync "$device"
    detach "$device"
}

# Files with names that FAT can hold, copied by mtools (this kernel may have no vfat).
fill_fat() {
    local device=$1 name count=0 tree=$WORK/fat
    mkdir -p "$tree/EFI/BOOT" "$tree/EFI/debian"
    cp /usr/bin/bash "$tree/EFI/BOOT/BOOTX64.EFI"
    while read -r name; do
        if [ -L "/$name" ] || [ ! -f "/$name" ] || [[ $name =~ [^A-Za-z0-9._/-] ]]; then continue; fi
        count=$((count + 1))
        cp "/$name" "$tree/EFI/debian/$count-${name##*/}"
    done <"$WORK/names"
    quiet mcopy -s -m -i "$device" "$tree/EFI" ::
    rm -r "$tree"
}

# Real files, and the kinds that are easily got wrong: empty, with holes, linked, oddly named; and a deleted
# one, whose old content must not matter.
fill_mounted() {
    local device=$1 kind=$2 mnt=$WORK/mnt odd
    mount_partition "$device" "$kind" rw
    head -c "$((8 * MIB))" /dev/urandom >"$mnt/deleted"
    sync "$mnt/deleted"
    tar -C / --no-recursion --ignore-failed-read -T "$WORK/names" -cf - 2>>"$LOG" | tar -C "$mnt" -xpf - ||
        [ "${PIPESTATUS[1]}" = 0 ] || die "could not copy files to the source ($kind)"
    odd="$mnt/odd names/mit Leerzeichen, Ümläuten und 100 %"
    mkdir -p "$odd"
    : >"$odd/empty"
    printf 'after a hole\n' | write_at_new "$odd/holes" "$((3 * MIB))"
    ln "$odd/holes" "$odd/second name"
    ln -s ../nowhere "$odd/symbolic"
    rm "$mnt/deleted"
    unmount
}
write_at_new() { dd of="$1" bs=64K oflag=seek_bytes seek="$2" status=none; }

# mount_partition DEVICE KIND ro|rw: at $WORK/mnt, without replaying a journal when ro.
mount_partition() {
    local device=$1 kind=$2 mode=$3
    case $kind:$mode in
        ext4:ro) quiet mount -t ext4 -o ro,noload "$device" "$WORK/mnt" ;;
        xfs:ro) quiet mount -t xfs -o ro,norecovery,nouuid "$device" "$WORK/mnt" ;;
        ntfs:*) quiet ntfs-3g -o "$mode" "$device" "$WORK/mnt" ;;
        btrfs:*)
            # Several machines hold the same file system; the kernel must not remember another's.
            btrfs device scan --forget >>"$LOG" 2>&1 || true
            quiet mount -t btrfs -o "$mode" "$device" "$WORK/mnt"
            ;;
        *) quiet mount -t "$kind" -o "$mode" "$device" "$WORK/mnt" ;;
    esac
}
unmount() { quiet umount "$WORK/mnt"; }

# make_machines: two disks per machine. Machine 1's are blank, machine 2's carry an older installation, and
# machine 3's are larger than the source's.
make_machines() {
    local machine disk size
    for machine in "${MACHINES[@]}"; do
        for disk in a b; do
            size=$SOURCE_A_MIB
            [ "$disk" = a ] || size=$SOURCE_B_MIB
            [ "$machine" != 3 ] || size=$((size + LARGER_MIB))
            truncate --size "${size}M" "$WORK/m$machine-$disk.disk"
        done
    done
    for disk in a b; do
        quiet sgdisk --new 1:0:+300M --new 2:0:0 "$WORK/m2-$disk.disk"
        quiet mkfs.ext4 -q -F -L old -E "offset=$MIB" "$WORK/m2-$disk.disk" 300M
    done
    say "machine 1: blank disks; machine 2: an older installation on both;" \
        "machine 3: $LARGER_MIB MiB more each"
}

# copy_to_machines: the machines' disks as a faultless restore leaves them, made without img.
copy_to_machines() {
    local machine disk
    for machine in "${MACHINES[@]}"; do
        for disk in a b; do cp --sparse=always "$WORK/source-$disk.disk" "$WORK/m$machine-$disk.disk"; done
    done
    truncate --size "+${LARGER_MIB}M" "$WORK/m3-a.disk" "$WORK/m3-b.disk"
    quiet sgdisk --move-second-header "$WORK/m3-a.disk"
}
