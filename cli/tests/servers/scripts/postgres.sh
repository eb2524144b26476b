# PostgreSQL in single-user mode. It refuses to be root.
cat >/tmp/work <<'END'
id -u; id -g
bin=/usr/lib/postgresql/15/bin
$bin/initdb -D /tmp/db -A trust --no-sync --locale=C >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
stat -c '%u %g %a %F' /tmp/db /tmp/db/PG_VERSION
single() { $bin/postgres --single -D /tmp/db -c log_checkpoints=off -c log_line_prefix= postgres 2>&1; }
single <<SQL
create table words (id serial primary key, word text not null, n int);
insert into words (word, n) select md5(i::text), i % 97 from generate_series(1, 5000) i;
create index on words (n, word);
select n, count(*), min(word) from words group by n order by 2 desc, 1 limit 3;
update words set n = n + 1 where id % 3 = 0;
begin;
delete from words;
select count(*) from words;
rollback;
select count(*), sum(n) from words where n between 10 and 20;
select json_agg(w) from (select id, word from words order by word limit 2) w;
with recursive f(a, b) as (select 0::bigint, 1::bigint union all select b, a + b from f where b < 1000000000) select max(a) from f;
create function fib(n int) returns int language plpgsql as 'begin if n < 2 then return n; end if; return fib(n - 1) + fib(n - 2); end';
select fib(15);
select 1 / 0;
select nothing;
insert into words (id, word) values (1, 'again');
vacuum full analyze words;
checkpoint;
SQL
echo "select count(*), sum(n), max(length(word)) from words" | single
$bin/pg_controldata /tmp/db | grep -E 'state|block size|Catalog version'
END
busybox su nobody -s /bin/sh -c 'sh /tmp/work'
