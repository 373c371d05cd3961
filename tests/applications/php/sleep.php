<?php
// Says nothing for ?ms= milliseconds, then answers.
require __DIR__ . '/common.php';
header('Content-Type: text/plain');
header('X-Worker: ' . getmypid());
usleep(1000 * number('ms', 100));
print "awake\n";
