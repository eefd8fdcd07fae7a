<?php
// What php-fpm serves: JIT, children, files, regular expressions, a session.
if ($_SERVER['REQUEST_URI'] === '/') {
    header('Content-Length: 2');
    exit('ok');
}
function hot(): int {
    $sum = 0;
    for ($i = 0; $i < 3000000; $i++) {
        $sum = ($sum + $i * 7) % 1000003;
    }
    return $sum;
}
$said = ['sum ' . hot(), 'jit ' . (opcache_get_status(false)['jit']['on'] ? 'on' : 'off')];

$child = proc_open(['sh', '-c', 'tr a-z A-Z; exit 3'], [['pipe', 'r'], ['pipe', 'w']], $pipes);
fwrite($pipes[0], 'child');
fclose($pipes[0]);
$said[] = 'child ' . stream_get_contents($pipes[1]) . ' ' . proc_close($child);
$said[] = 'shell ' . trim(shell_exec('echo shell | tr a-z A-Z'));

session_start();
$_SESSION['visits'] = 1;
session_write_close();
$file = tempnam(sys_get_temp_dir(), 'php');
file_put_contents($file, 'hello', LOCK_EX);
rename($file, "$file.moved");
$said[] = 'file ' . filesize("$file.moved");
unlink("$file.moved");
$said[] = 'regex ' . preg_match('/^(a+b?)+c$/', str_repeat('ab', 50) . 'c');

$body = implode("\n", $said);
header('Content-Length: ' . strlen($body));
echo $body;
