# As postgres.sh, for a server that runs no other program.
. /client/postgres.sh
work() {
    sql app <<'SQL'
CREATE TABLE IF NOT EXISTS kept (n int);
INSERT INTO kept VALUES (1);
SELECT count(*) > 0 FROM kept;
CREATE TEMP TABLE big AS SELECT g, md5(g::text) AS h FROM generate_series(1, 60000) g;
SET work_mem = '64kB';
SELECT count(*) FROM (SELECT * FROM big ORDER BY h) x;
SET jit_above_cost = 0;
SELECT sum(g) FROM big WHERE g % 7 = 3;
SET force_parallel_mode = on;
SELECT count(*) FROM kept WHERE n = 2;
CREATE EXTENSION IF NOT EXISTS plpgsql;
CHECKPOINT;
SQL
}
