# The settings: settings.txt and the kernel command line (which wins) become variables of the environment.
# Values are data: nothing here runs a line of the file, and a value that could do harm on a screen is refused.

setting_keys="PROXYADDR IPADDR NETMASK GATEWAY DNSNAMESERVER DNSDOMAINSUFFIX netdevice PROMPT MANUALREBOOT SESSION SERVERKEY NETWORKFIRST insecure"

# Takes one setting; WHERE names its source in warnings: take_setting KEY VALUE WHERE
take_setting() {
    local key="$1" value="$2" where="$3"
    case "$key" in
        "" | *[!A-Za-z]*)
            echo "$where: a line is not KEY=value and is not used" >&2
            return
            ;;
    esac
    case " $setting_keys " in
        *" $key "*) ;;
        *)
            echo "$where: unknown key $key" >&2
            return
            ;;
    esac
    if [ ${#value} -gt 255 ]; then
        echo "$where: the value of $key is longer than 255 bytes and is not used" >&2
        return
    fi
    case "$value" in
        *[![:print:]]*)
            echo "$where: the value of $key has a character that cannot be printed and is not used" >&2
            return
            ;;
    esac
    export "$key=$value"
}

# Reads KEY=value lines: # begins a comment line, blanks around key and value do not count, nor do quotes around a
# value, nor the carriage return of a file written on Windows: read_settings FILE WHERE
read_settings() {
    local line key value return_character
    return_character=$(printf '\r')
    [ -r "$1" ] || return 0
    while IFS= read -r line || [ -n "$line" ]; do
        line=${line%"$return_character"}
        line=${line#"${line%%[![:blank:]]*}"}
        line=${line%"${line##*[![:blank:]]}"}
        case "$line" in
            "" | "#"*) continue ;;
            *=*) ;;
            *)
                echo "$2: a line is not KEY=value and is not used" >&2
                continue
                ;;
        esac
        key=${line%%=*}
        key=${key%"${key##*[![:blank:]]}"}
        value=${line#*=}
        value=${value#"${value%%[![:blank:]]*}"}
        case "$value" in
            '"'*'"') value=${value#?} value=${value%?} ;;
            "'"*"'") value=${value#?} value=${value%?} ;;
        esac
        take_setting "$key" "$value" "$2"
    done <"$1"
}

# Reads img.KEY=value from the kernel command line; img.mode is the boot menu's choice: read_command_line FILE
read_command_line() {
    local word words
    IFS= read -r words <"$1" || true
    set -f
    for word in $words; do
        # The kernel keeps quotes: img.SESSION="lab1" and "img.SESSION=lab1".
        word=${word#'"'}
        case "$word" in
            img.*=*) ;;
            *) continue ;;
        esac
        word=${word#img.}
        local key="${word%%=*}" value="${word#*=}"
        value=${value#'"'}
        value=${value%'"'}
        if [ "$key" != mode ]; then
            take_setting "$key" "$value" "kernel command line"
        elif [ "$value" = auto ] || [ "$value" = manual ] || [ "$value" = local ]; then
            export mode="$value"
        else
            take_setting mode "$value" "kernel command line, img.mode=auto, manual or local"
        fi
    done
    set +f
}

# The value of a key; false when it is not set: setting KEY
setting() {
    awk -v key="$1" 'BEGIN { if (!(key in ENVIRON)) exit 1; print ENVIRON[key] }'
}

# Unsets values that cannot be what their key stands for, with a sentence each, and completes what is left.
check_settings() {
    local key value
    for key in PROXYADDR IPADDR NETMASK GATEWAY DNSNAMESERVER; do
        value=$(setting "$key") || continue
        case "$key=$value" in
            *=) unset "$key" ;;
            PROXYADDR=*[!A-Za-z0-9.:-]* | PROXYADDR=-*) refuse_setting "$key" "an address or a name" ;;
            PROXYADDR=*) ;;
            DNSNAMESERVER=*[!0-9.,\ ]*) refuse_setting "$key" "one or more addresses" ;;
            DNSNAMESERVER=*) ;;
            NETMASK=[0-9] | NETMASK=[12][0-9] | NETMASK=3[0-2]) ;;
            IPADDR=*/*) is_address "${value%/*}" && is_prefix "${value#*/}" || refuse_setting "$key" "an IPv4 address" ;;
            *) is_address "$value" || refuse_setting "$key" "an IPv4 address" ;;
        esac
    done
    case "${DNSDOMAINSUFFIX:-}" in *[!A-Za-z0-9.\ -]*) refuse_setting DNSDOMAINSUFFIX "a domain" ;; esac
    case "${netdevice:-}" in *[!A-Za-z0-9._:-]*) refuse_setting netdevice "a link's name or MAC address" ;; esac
    case "${SERVERKEY:-}" in *[!A-Za-z0-9:-]*) refuse_setting SERVERKEY "a fingerprint" ;; esac
    case "${SESSION:-}" in -*) refuse_setting SESSION "a session's name" ;; esac
    for key in PROMPT MANUALREBOOT NETWORKFIRST insecure; do
        value=$(setting "$key") || continue
        case "$value" in
            1 | [Yy] | [Yy][Ee][Ss]) export "$key=1" ;;
            0 | [Nn] | [Nn][Oo] | "") export "$key=0" ;;
            *) refuse_setting "$key" "0 or 1" ;;
        esac
    done
}

refuse_setting() { # refuse_setting KEY WHAT
    echo "$1 takes $2, not '$(setting "$1")': it is not used" >&2
    unset "$1"
}

is_prefix() {
    case "$1" in [0-9] | [12][0-9] | 3[0-2]) ;; *) return 1 ;; esac
}

is_address() {
    local rest="$1." number count=0
    case "$1" in "" | *[!0-9.]*) return 1 ;; esac
    while [ -n "$rest" ]; do
        number=${rest%%.*}
        rest=${rest#*.}
        case "$number" in [0-9] | [0-9][0-9] | [0-9][0-9][0-9]) ;; *) return 1 ;; esac
        [ "$number" -le 255 ] || return 1
        count=$((count + 1))
    done
    [ $count = 4 ]
}

# VALUE as one word to type at a prompt: quoted VALUE
quoted() {
    case "$1" in
        "" | *[!A-Za-z0-9._:@%+-]*) printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
        *) printf '%s' "$1" ;;
    esac
}
