# The boot media themselves, for initrd/build: an ISO for CD and USB stick, and a directory for network boot.

signed=$stage/usr/lib/grub/x86_64-efi-signed
shim=$stage/usr/lib/shim
bios=$stage/usr/lib/grub/i386-pc
mkimage=$stage/usr/bin/grub-mkimage
setting_keys=(PROXYADDR IPADDR NETMASK GATEWAY DNSNAMESERVER DNSDOMAINSUFFIX netdevice PROMPT MANUALREBOOT SESSION SERVERKEY NETWORKFIRST
    insecure)
# What the menu of a BIOS core can do; no module is loaded later, as under Secure Boot.
modules_bios=(normal configfile linux boot chain drivemap echo test regexp sleep serial terminal minicmd ls cat help
    halt reboot search search_fs_file biosdisk part_msdos part_gpt iso9660 fat ext2 read true newc)

stamp() { find "$@" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; }

# The menu, and the settings given to make.
write_configuration() { # write_configuration GRUB_CFG SETTINGS_TXT
    local key server= unanswered=local
    if [ -n "${SESSION:-}" ] && [ -n "${SERVERKEY:-}${insecure:-}" ]; then unanswered=auto; fi
    # GRUB has no names: only an address is one to ask for the boot configuration.
    case ${PROXYADDR:-} in *[!0-9.]*) ;; *) server=${PROXYADDR:-} ;; esac
    sed "s/@UNANSWERED@/$unanswered/; s/@SERVER@/$server/" "$here/grub.cfg" >"$1"
    cp "$here/settings.txt" "$2"
    for key in "${setting_keys[@]}"; do
        [ -z "${!key:-}" ] || printf '%s=%s\n' "$key" "${!key}" >>"$2"
    done
}

# settings.txt reaches the kernel as a member of the initramfs, whatever the medium is: the boot loader hands over a
# header, the file as it is, and zeros; the header says 64 KiB, so the file's end is filled from the zeros, and what
# is left of them the kernel skips. (GRUB 2.06 makes such a member itself by "newc:", but one that the kernel refuses.)
write_settings_member() { # write_settings_member DIRECTORY
    local name=settings.txt size=65536
    # newc: magic, inode, mode, uid, gid, links, time, size, device ×2, special device ×2, length of name, checksum
    printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\0\0' \
        1 $((8#100600)) 0 0 1 "$SOURCE_DATE_EPOCH" $size 0 0 0 0 $((${#name} + 1)) 0 $name >"$1/settings.head"
    head -c $size /dev/zero >"$1/settings.tail"
}

need_initrd() {
    [ -f "$media/initrd" ] && [ -f "$media/vmlinuz" ] || fail "there is no initrd yet: run make initrd"
    packages
}

iso() {
    need xorriso mformat mcopy mmd
    need_initrd
    local tree=$media/iso efi=$media/efi.img id
    rm -rf "$tree" "$efi" "$media/efi"
    mkdir -p "$tree/boot/grub" "$tree/img" "$media/efi/EFI/BOOT" "$media/efi/boot/grub" "$media/efi/img"
    write_configuration "$tree/boot/grub/grub.cfg" "$tree/settings.txt"
    cp "$media/vmlinuz" "$media/initrd" "$tree/img/"
    write_settings_member "$tree/img"
    # A loader finds its own medium among several by this name.
    id=$(cat "$media/vmlinuz" "$media/initrd" "$tree/boot/grub/grub.cfg" "$tree/settings.txt" | sha256sum | cut -c1-16)
    : >"$tree/img/$id.iso"
    : >"$media/efi/img/$id.set"
    {
        echo "search --no-floppy --file --set=media /img/$id.iso"
        echo "search --no-floppy --file --set=settings /img/$id.set"
        echo "set root=\$media"
        echo "export media settings"
        echo "configfile (\$media)/boot/grub/grub.cfg"
    } >"$media/efi/boot/grub/grub.cfg"
    # UEFI: Debian's signed chain on a FAT partition, whose settings.txt can be edited on a stick.
    cp "$shim/shimx64.efi.signed" "$media/efi/EFI/BOOT/BOOTX64.EFI"
    cp "$signed/gcdx64.efi.signed" "$media/efi/EFI/BOOT/grubx64.efi"
    cp "$shim/mmx64.efi.signed" "$media/efi/EFI/BOOT/mmx64.efi"
    cp "$tree/settings.txt" "$media/efi/settings.txt"
    stamp "$media/efi"
    truncate -s 8M "$efi"
    mformat -i "$efi" -N "${id:0:8}" -v IMGSETTINGS ::
    (cd "$media/efi" && mcopy -i "$efi" -s -m -Q EFI boot img settings.txt ::/)

    # BIOS: GRUB made here, since nothing verifies it.
    "$mkimage" -d "$bios" -O i386-pc-eltorito -p /boot/grub -c "$media/efi/boot/grub/grub.cfg" \
        -o "$tree/boot/grub/eltorito.img" "${modules_bios[@]}"
    stamp "$tree"
    xorriso -as mkisofs -quiet -R -J -V IMG -o "$media/img.iso.new" \
        --modification-date="$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S00)" \
        -b boot/grub/eltorito.img -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info \
        --grub2-mbr "$bios/boot_hybrid.img" \
        -append_partition 2 0xef "$efi" \
        -eltorito-alt-boot -e --interval:appended_partition_2:all:: -no-emul-boot \
        "$tree"
    mv "$media/img.iso.new" "$media/img.iso"
    echo "img.iso: $(stat -c %s "$media/img.iso") bytes"
}

pxe() {
    need_initrd
    local tree=$media/pxe
    rm -rf "$tree"
    mkdir -p "$tree/grub" "$tree/img"
    write_configuration "$tree/grub/grub.cfg" "$tree/settings.txt"
    cp "$media/vmlinuz" "$media/initrd" "$tree/img/"
    write_settings_member "$tree/img"
    # UEFI: shim asks for grubx64.efi beside itself; the signed network GRUB asks for /grub/grub.cfg.
    cp "$shim/shimx64.efi.signed" "$tree/bootx64.efi"
    cp "$signed/grubnetx64.efi.signed" "$tree/grubx64.efi"
    cp "$shim/mmx64.efi.signed" "$tree/mmx64.efi"
    # Beside a DHCP server that is not ours GRUB would ask that one for files: TFTP=ADDRESS tells a BIOS core better.
    local early=$media/pxe.cfg
    {
        [ -z "${TFTP:-}" ] || printf 'set root=tftp,%s\nset prefix=(tftp,%s)/grub\n' "$TFTP" "$TFTP"
        echo normal
    } >"$early"
    case ${TFTP:-} in *[!0-9.]*) fail "TFTP takes the IPv4 address of the machine that serves the directory, not '$TFTP'" ;; esac
    "$mkimage" -d "$bios" -O i386-pc-pxe -p /grub -c "$early" -o "$tree/bios.0" "${modules_bios[@]}" pxe tftp http net
    cp "$here"/pxe/* "$tree/"
    chmod -R a+rX "$tree"
    stamp "$tree"
    echo "pxe: $(du -sb "$tree" | cut -f1) bytes in $tree"
}
