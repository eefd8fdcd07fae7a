ready() { await get -f http://127.0.0.1:9100/metrics; }
work() { for i in 1 2 3; do get http://127.0.0.1:9100/metrics | grep -c '^node_load1 '; done; }
