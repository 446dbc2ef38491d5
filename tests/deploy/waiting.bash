# Tries a command until it succeeds; patient, as other work may share the machine.
within_2_min() {
    local end=$((SECONDS + 120))
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}
