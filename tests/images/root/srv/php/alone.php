<?php
$sum = 0;
for ($i = 0; $i < 200000; $i++) $sum = ($sum + $i * 7) % 1000;
echo "sum $sum\n";
$file = tempnam('/tmp', 'php');
file_put_contents($file, 'hello');
echo 'file ', filesize($file), "\n";
unlink($file);
session_save_path('/tmp');
session_start();
$_SESSION['n'] = 1;
session_write_close();
echo 'resolved ', gethostbyname('localhost'), "\n";
