<?php
// Answers with its pool's name and how many times its cache of compiled scripts was reset; with ?reset=1 resets it.
require __DIR__ . '/common.php';
header('Content-Type: text/plain');
print getenv('POOL') . ' ';
if (number('reset', 0) === 1) {
    print opcache_reset() ? "reset\n" : "not reset\n";
} else {
    print opcache_get_status(false)['opcache_statistics']['manual_restarts'] . "\n";
}
