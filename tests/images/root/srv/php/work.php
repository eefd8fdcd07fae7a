<?php
$sum = 0;
for ($i = 0; $i < 200000; $i++) $sum = ($sum + $i * 7) % 1000;
echo "sum $sum\n";
$child = proc_open(['tr', 'a-z', 'A-Z'], [['pipe', 'r'], ['pipe', 'w']], $pipes);
fwrite($pipes[0], 'child');
fclose($pipes[0]);
echo 'child ', stream_get_contents($pipes[1]), ' ', proc_close($child), "\n";
echo 'shell ', shell_exec('echo shell');
$file = tempnam('/tmp', 'php');
file_put_contents($file, 'hello');
echo 'file ', filesize($file), "\n";
unlink($file);
session_save_path('/tmp');
session_start();
$_SESSION['n'] = 1;
session_write_close();
echo 'resolved ', gethostbyname('localhost'), "\n";
