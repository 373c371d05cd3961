<?php
// Reads the whole body and appends a line with its pool's name and ?number= to the file MARKS. With ?hold=1 it waits until
// there is a file of that name with .go behind it, otherwise for ?ms= milliseconds. Then it answers with that line and the
// body's length and hash.
require __DIR__ . '/common.php';
$hash = hash_init('fnv1a64');
$length = hash_update_stream($hash, fopen('php://input', 'rb'));
$mark = getenv('POOL') . ' ' . number('number', 0) . "\n";
file_put_contents(getenv('MARKS'), $mark, FILE_APPEND | LOCK_EX);
if (number('hold', 0) === 1) {
    while (!file_exists(getenv('MARKS') . '.go')) {
        usleep(5000);
        clearstatcache();
    }
} else {
    usleep(1000 * number('ms', 0));
}
header('Content-Type: text/plain');
print $mark . "length=$length\nfnv1a64=" . hash_final($hash) . "\n";
