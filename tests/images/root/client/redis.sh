ready() { await says PONG redis-cli ping; }
work() {
    [ "$PHASE" != first ] || redis-cli set kept yes
    redis-cli get kept
    redis-cli -n 1 eval 'for i = 1, 5000 do redis.call("set", "k" .. i, i) end return redis.call("dbsize")' 0
    redis-cli bgsave >/dev/null
    await says 'rdb_bgsave_in_progress:0' redis-cli info persistence
    redis-cli info persistence | grep -a rdb_last_bgsave_status
    redis-cli bgrewriteaof >/dev/null
    await says 'aof_rewrite_in_progress:0' redis-cli info persistence
    redis-cli config set maxmemory 64mb
}
