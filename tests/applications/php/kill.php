<?php
// Kills its own child process in the middle of the response, after ?size= bytes were flushed.
require __DIR__ . '/common.php';
header('Content-Type: application/octet-stream');
print_pattern(0, number('size', 1000));
flush();
exec('kill -KILL ' . getmypid());
