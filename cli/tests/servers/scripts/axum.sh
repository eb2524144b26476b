# An axum server on four threads and clients of it: JSON, parts both ways, blocking work, errors, an end in order.
PORT=8080 axum-server >/tmp/said 2>&1 &
server=$!
until grep -q ready /tmp/said; do sleep 0.05; done
ask() { busybox wget -q -O - "$@" http://127.0.0.1:8080"$path" 2>&1 | grep -v '^$'; }
path=/; ask
path='/parts?parts=20'; ask | tail -n 2
path=/order; ask --header 'content-type: application/json' --post-data '{"name":"tea","amounts":[3,1,4,1,5]}'; ask --post-data '{}'
path=/fibonacci/25; ask; path=/fibonacci/99; ask; path=/none; ask
seq 1 100000 >/tmp/numbers
path=/sum; ask --post-file /tmp/numbers
for client in $(seq 1 16); do
    (for n in 1 2 3 4 5; do path=/fibonacci/$((client + n)); ask; path=/sum; ask --post-data "$client"; path=/count; ask >/dev/null; done >/tmp/client$client) &
    clients="$clients $!"
done
wait $clients
cat $(seq -f /tmp/client%g 1 16) | sha256sum
path=/count; ask
# What has begun is finished; what comes after is refused.
busybox wget -q -O /tmp/parts 'http://127.0.0.1:8080/parts?parts=200' & last=$!
until [ -s /tmp/parts ]; do sleep 0.01; done
kill -TERM $server
until grep -q asked /tmp/said; do sleep 0.01; done
wait $last; wc -l </tmp/parts
wait $server; echo "exit code $?"
path=/; ask; cat /tmp/said
seq 1 100000 | grep 99 >/dev/null; echo $?
