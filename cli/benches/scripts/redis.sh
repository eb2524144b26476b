# Requests a second of Redis over loopback, server and clients in one place, by number of clients.
redis-server --port 6379 --bind 127.0.0.1 --save "" --appendonly no --logfile /dev/null &
server=$!
until [ "$(redis-cli ping 2>/dev/null)" = PONG ]; do sleep 0.05; done
for clients in 50 1; do
    redis-benchmark -t set,get -n $((clients * 800 + 4000)) -c $clients --csv |
        sed -n "s/^\"\([SG]ET\)\",\"\([0-9.]*\)\".*/redis_\1_$clients \2/p"
done
kill $server
