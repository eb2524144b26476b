# redis: commands, scripts, expiry, publishing, a background save (fork), an append-only file, a restart, the benchmark.
start() {
    redis-server --port 6379 --bind 127.0.0.1 --dir /tmp --save "" --logfile /tmp/log "$@" &
    server=$!
    until [ "$(redis-cli ping 2>/dev/null)" = PONG ]; do sleep 0.05; done
}
stop() {
    redis-cli shutdown "$1"
    wait $server
    echo "server ended with $?"
}
start --appendonly yes --appendfsync always
redis-cli <<END
set name value
get name
incrby counter 41
incr counter
rpush list c a b
sort list alpha
zadd scores 3 three 1 one 2 two
zrangebyscore scores (1 +inf withscores
hset hash a 1 b 2
hgetall hash
setrange text 5 x
getbit text 42
pfadd hll 1 2 3 2 1
pfcount hll
xadd stream 1-1 field value
xrange stream - +
multi
incr counter
get counter
exec
eval "local t = {} for i = 1, tonumber(ARGV[1]) do t[i] = redis.call('incr', KEYS[1]) end return t" 1 made 5
set brief x px 60
wrong command
get list
END
seq 1 2000 | sed 's/.*/set key:& value&/' | redis-cli --pipe 2>&1
until [ "$(redis-cli exists brief)" = 0 ]; do sleep 0.02; done
redis-cli dbsize
redis-cli subscribe news >/tmp/heard &
listener=$!
until [ "$(redis-cli publish news hello)" = 1 ]; do sleep 0.02; done
until grep -q hello /tmp/heard; do sleep 0.02; done
cat /tmp/heard
kill $listener
redis-cli blpop queue 0 >/tmp/popped &
waiting=$!
until redis-cli client list | grep -q 'cmd=blpop'; do sleep 0.02; done
redis-cli rpush queue work
wait $waiting
cat /tmp/popped
redis-cli bgsave
until redis-cli info persistence | grep -q rdb_bgsave_in_progress:0; do sleep 0.02; done
redis-cli info persistence | grep -E 'rdb_last_bgsave_status|aof_last_write_status'
redis-check-rdb /tmp/dump.rdb | grep -E 'keys read|expires'
redis-cli --scan --pattern 'key:19[0-9][0-9]' | sort | md5sum
stop nosave
start --appendonly yes
redis-cli dbsize
redis-cli get key:1234
redis-benchmark -t ping_inline,set,get,incr,lpush,lpop,sadd,hset,spop,zadd,mset -n 2000 -q 2>&1 | tr '\r' '\n' | sed -n 's/: .* requests per second.*/: done/p'
redis-benchmark -t set,get -n 5000 -P 16 -c 10 -q 2>&1 | tr '\r' '\n' | sed -n 's/: .* requests per second.*/: done/p'
stop save
grep -c 'DB saved on disk' /tmp/log
