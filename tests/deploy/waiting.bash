# Repeats a command until it succeeds. The limit is generous, because the machine may be busy.
eventually() {
    local end=$((SECONDS + 600))
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}
