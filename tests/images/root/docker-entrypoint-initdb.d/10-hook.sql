CREATE TABLE hook (n int);
