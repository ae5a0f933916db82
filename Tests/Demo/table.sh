# The outcome in a few lines.
# shellcheck shell=bash

print_table() {
    local machine speed image_share capture_speed
    image_share=$(calc "100 * $IMAGE_BYTES / $USED_BYTES" %.0f)
    capture_speed=$(calc "$USED_BYTES / 1000000 / $CAPTURE_SECONDS" %.0f)
    printf '   %-22s %s\n' \
        "used on both disks" "$(mb "$USED_BYTES") MB of $(mb "$(((SOURCE_A_MIB + SOURCE_B_MIB) * MIB))") MB" \
        "image" "$(mb "$IMAGE_BYTES") MB ($image_share % of what is used)" \
        "capture" "$CAPTURE_SECONDS s, $capture_speed MB/s of used disk" \
        "sent by the server" "$(mb "$SENT_BYTES") MB in $SENT_PACKETS packets for ${#MACHINES[@]} machines" \
        "overhead of sending" "$(calc "100 * ($SENT_BYTES / $IMAGE_BYTES - 1)") % over the image's size"
    printf '\n   %-9s %9s %12s   %s\n' machine seconds "MB/s of disk" verdict
    for machine in "${MACHINES[@]}"; do
        if [ -n "${SESSION_STATUS[$machine]-}" ] && [ "${SESSION_STATUS[$machine]}" = 0 ]; then
            speed=$(calc "$USED_BYTES / 1000000 / ${SECONDS_OF[$machine]}" %.0f)
        else
            speed=-
        fi
        printf '   %-9s %9s %12s   %s\n' "$machine" "${SECONDS_OF[$machine]}" "$speed" "${VERDICT[$machine]}"
    done
}
