<?php
// Reads the whole body; answers with its length and hash. X-Worker is the pid of the child that served it.
header('Content-Type: text/plain');
header('X-Worker: ' . getmypid());
$input = fopen('php://input', 'rb');
$hash = hash_init('fnv1a64');
$length = hash_update_stream($hash, $input);
print "length=$length\nfnv1a64=" . hash_final($hash) . "\n";
