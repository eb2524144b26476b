#!/bin/busybox sh
# One full HTTP invocation of a Python and of a native function. Everything here is emulated, hence the long timeouts.
set -eu
spore doctor
spore up --listen 127.0.0.1:8080 --data /tmp/data > /tmp/up.log 2>&1 &
up=$!
waited=0
until grep -q '^listening on ' /tmp/up.log; do
    if [ $waited -ge 120 ] || ! kill -0 $up; then
        echo "spore up did not start:"
        cat /tmp/up.log
        exit 1
    fi
    sleep 1
    waited=$((waited + 1))
done
failed() {
    echo "$1"
    cat /tmp/up.log
    exit 1
}
for function in python-hello rust-hello; do
    spore deploy /spore/$function --timeout 2m || failed "deploy of $function failed"
    for call in 1 2 3; do
        answer=$(spore invoke $function -v) || failed "call $call of $function failed"
        echo "$function: $answer"
        [ -n "$answer" ] || failed "$function answered nothing"
    done
done
spore ps
kill -INT $up
wait $up || failed "spore up did not stop cleanly"
