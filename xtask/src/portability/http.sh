#!/bin/sh
# One full HTTP invocation of a Python and of a native function. All of it is emulated, hence the long timeouts.
set -eu
log=$TMPDIR/up.log
"$SPORE" doctor
"$SPORE" up --listen 127.0.0.1:8080 --data "$TMPDIR/data" --boot-timeout 300 > "$log" 2>&1 &
up=$!
failed() {
    echo "$1; the platform says:"
    cat "$log"
    exit 1
}
waited=0
until grep -q '^listening on ' "$log"; do
    [ $waited -lt 120 ] && kill -0 $up || failed 'spore up does not listen'
    sleep 1
    waited=$((waited + 1))
done
try() {
    "$SPORE" deploy "$2" --name "$1" --timeout 2m || failed "deploy of $1 failed"
    for call in 1 2 3; do
        answer=$("$SPORE" invoke "$1" --path '/?name=Spore' -v) || failed "call $call of $1 failed"
        echo "$answer"
        case $answer in
            *Spore*) ;;
            *) failed "call $call of $1 has a wrong answer" ;;
        esac
    done
}
try python-hello "$EXAMPLES/python-hello"
try rust-hello "$NATIVE"
"$SPORE" ps
kill -INT $up
wait $up || failed 'spore up did not stop cleanly'
