pragma journal_mode = delete;
create table t (id integer primary key, a integer, b text); create index i on t (a);
with recursive n(x) as (select 1 union all select x + 1 from n where x < 20000)
    insert into t select x, (x * 7919) % 10007, printf('text %d', x) from n;
select count(*), sum(a), min(b), max(b) from t;
update t set a = a + 1 where id % 3 = 0; delete from t where id % 7 = 0;
select a, count(*) from t group by a order by 2 desc, 1 limit 5;
select id from t where a between 100 and 110 order by id;
begin; delete from t; rollback; select count(*) from t;
vacuum; pragma integrity_check; select json_extract('{"a": [1, 2]}', '$.a[1]');
select * from missing;
