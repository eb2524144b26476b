# sqlite3: a speed test of the kind its authors publish, with checks of integrity, in a rollback journal and in a write-ahead log; lua.
cat >/tmp/speed.sql <<'END'
create table one (a integer, b integer, c text);
create table two (a integer primary key, b integer, c text);
begin;
with recursive n (i) as (select 1 union all select i + 1 from n where i < 6000)
insert into one select i, i * 7919 % 100003, printf('%d is a number of %x', i, i * 7919 % 100003) from n;
insert into two select * from one;
commit;
create index of_b on one (b);
create index of_c on two (c);
select count(*), avg(b), min(c), max(c) from one where b >= 1000 and b < 20000;
select count(*) from one where c like '%77%';
select count(*), sum(x.b) from one x join two y on x.b = y.a;
update one set b = b * 2 where a % 3 = 0;
update two set c = c || ' and more' where b between 5000 and 50000;
delete from one where c like '%5%';
insert or replace into two select a, b, 'again ' || c from two where a % 5 = 1;
select count(*), sum(length(c)), sum(b) from one;
select count(*), sum(length(c)), sum(b) from two;
with recursive m (x, y) as (select 1, 1 union all select x % 1000 + 1, y + 1 from m where y < 20000) select sum(x) from m;
create virtual table words using fts5 (c);
insert into words select c from two limit 3000;
select count(*) from words where words match 'number OR again';
pragma integrity_check;
vacuum;
pragma integrity_check;
select count(*) from sqlite_schema;
END
for mode in delete wal memory; do
    sqlite3 -cmd "pragma journal_mode = $mode" /tmp/$mode.db </tmp/speed.sql 2>&1
    sqlite3 /tmp/$mode.db 'pragma integrity_check; select count(*) from two' '.sha3sum'
done
# Two connections: one reads while the other has written to the log and not come back yet.
sqlite3 /tmp/wal.db "pragma wal_checkpoint(truncate); begin; delete from one; select count(*) from one;" ".shell sqlite3 /tmp/wal.db 'select count(*) > 0 from one'" "rollback; select count(*) > 0 from one"
sqlite3 /tmp/wal.db .dump | sqlite3 /tmp/copy.db && sqlite3 /tmp/copy.db 'pragma integrity_check'
lua5.4 - <<'END'
local t = {}
for i = 1, 200000 do t[i] = (i * 7919) % 100003 end
table.sort(t)
print(#t, t[1], t[#t], string.format("%.3f", math.sin(t[1000])))
local co = coroutine.wrap(function () for word in ("a quick brown fox"):gmatch("%a+") do coroutine.yield(word) end end)
for i = 1, 4 do io.write(co(), " ") end print()
local pipe = io.popen("seq 1 10 | sort -r", "r")
print(pipe:read("a"):gsub("\n", ","))
print(pipe:close())
print(os.execute("exit 3"))
print(pcall(error, { code = 1 }), select("#", table.unpack({}, 1, 200)))
collectgarbage() print(string.rep("x", 1 << 20):len(), load("return 1 << 62")())
END
