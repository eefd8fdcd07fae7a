sql() { psql -h 127.0.0.1 -U postgres -At -v ON_ERROR_STOP=1 "$@"; }
ready() { await sql -c 'SELECT 1 FROM hook' app; }
work() {
    sql app <<'SQL'
CREATE TABLE IF NOT EXISTS kept (n int);
INSERT INTO kept VALUES (1);
SELECT count(*) > 0 FROM kept;
CREATE TEMP TABLE big AS SELECT g, md5(g::text) AS h FROM generate_series(1, 60000) g;
SET work_mem = '64kB';
SELECT count(*) FROM (SELECT * FROM big ORDER BY h) x;
SET jit_above_cost = 0;
SET jit_inline_above_cost = 0;
SELECT sum(g) FROM big WHERE g % 7 = 3;
COPY (SELECT 1) TO PROGRAM 'cat >/tmp/copied';
CREATE INDEX ON big (h);
ANALYZE big;
CHECKPOINT;
SHOW work_mem;
SQL
}
reload() {
    sql -c "ALTER SYSTEM SET log_min_duration_statement = 12345"
    kill -HUP 1
    await says 12345 sql -c "SHOW log_min_duration_statement"
}
