sql() { mariadb --no-defaults -h 127.0.0.1 -u root -psecret -N "$@"; }
ready() { await sql -e 'SELECT * FROM hook' app; }
work() {
    sql app <<'SQL'
CREATE TABLE IF NOT EXISTS kept (n int) ENGINE=InnoDB;
INSERT INTO kept VALUES (1);
SELECT count(*) > 0 FROM kept;
CREATE TEMPORARY TABLE big ENGINE=Aria AS SELECT seq AS g, md5(seq) AS h FROM seq_1_to_60000;
SET sort_buffer_size = 32768;
SELECT count(*) FROM (SELECT DISTINCT h FROM big ORDER BY h) x;
ALTER TABLE kept ENGINE=InnoDB;
SELECT 1 INTO OUTFILE '/tmp/out.NAME';
SQL
    rm -f /tmp/out.NAME
}
reload() {
    sql -e 'SET GLOBAL max_connections = 77; FLUSH LOGS; FLUSH TABLES'
    kill -HUP 1
    sql -e 'SELECT @@max_connections'
}
